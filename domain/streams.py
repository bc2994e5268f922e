"""Which stream an event belongs to, and how a stream of any kind is folded.

One stream per crate, package and account, named by its canonical name, so that the store's own
uniqueness of (stream, version) protects names, versions, owners and tags at once.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from packledger.domain import configuration
from packledger.domain import download_counts as downloads
from packledger.domain.accounts import account
from packledger.domain.accounts.account import Account
from packledger.domain.cargo import crate
from packledger.domain.cargo.crate import Crate
from packledger.domain.configuration import Configuration
from packledger.domain.download_counts import Downloads
from packledger.domain.events import EVENTS
from packledger.domain.events.event import Event
from packledger.domain.npm import package as npm_package
from packledger.domain.npm.package import NpmPackage

type_of_state = {
    "crate": Crate,
    "npm": NpmPackage,
    "account": Account,
    "registry": Configuration,
    "downloads": Downloads,
}
State = Crate | NpmPackage | Account | Configuration | Downloads

_EVOLVE: dict[str, Callable[[Any, Event], State]] = {
    "crate": crate.evolve,
    "npm": npm_package.evolve,
    "account": account.evolve,
    "token": account.evolve,
    "registry": configuration.evolve,
    "downloads": downloads.evolve,
    "blob": lambda state, event: (
        crate.evolve(state, event) if isinstance(state, Crate) else npm_package.evolve(state, event)
    ),
}

_EVOLVE_BY = {kind: _EVOLVE[tag.partition(".")[0]] for tag, kind in EVENTS.items()}


@lru_cache(maxsize=4_096)
def stream_id(kind: str, canonical_name: str = "") -> UUID:
    """Return the id of a stream. kind: a key of `type_of_state`."""
    assert kind in type_of_state, kind
    return uuid5(NAMESPACE_URL, f"packledger:{kind}/{canonical_name}")


def kind_of(state: State) -> str:
    """Return the kind of stream that folds to this state."""
    return next(kind for kind, cls in type_of_state.items() if isinstance(state, cls))


def fold(state: State | None, events: Iterable[Event]) -> State | None:
    """Return the state after the events; the given one is never changed."""
    fresh = state.copy() if state is not None else None
    for event in events:
        fresh = evolve(fresh, event)
    return fresh


def evolve(state: State | None, event: Event) -> State:
    """Return the state after one event; the given one is changed."""
    return _EVOLVE_BY[type(event)](state, event)
