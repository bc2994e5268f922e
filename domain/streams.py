"""The kinds of streams: what is in one, what it is about, and how it is folded.

One stream per crate, package and account, named by its canonical name, so that the store's own
uniqueness of (stream, version) protects names, versions, owners and tags at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, Protocol, Self, TypeVar, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from packledger.domain import configuration, download_counts
from packledger.domain.accounts import account
from packledger.domain.accounts.account import Account, canonical_account_name
from packledger.domain.cargo import crate
from packledger.domain.cargo.crate import Crate
from packledger.domain.cargo.names import canonical_crate_name
from packledger.domain.configuration import Configuration
from packledger.domain.download_counts import Downloads
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.events.accounts import AccountEvent
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import CrateEvent
from packledger.domain.events.event import Event
from packledger.domain.events.npm import NpmEvent
from packledger.domain.events.registry import DownloadsCounted, RegistryEvent
from packledger.domain.npm import package
from packledger.domain.npm.names import canonical_npm_name
from packledger.domain.npm.package import NpmPackage


class Folded(Protocol):
    """What events add up to."""

    def copy(self) -> Self:
        """Return a copy that events may change."""
        ...


State = TypeVar("State", bound=Folded)
E = TypeVar("E", bound=Event)
Decision = Callable[[State | None, int], Sequence[E]]
"""Decides what happens to a stream: its state (None before its first event) and version in, new
events out, none if nothing is to change; pure."""


@dataclass(frozen=True, eq=False)
class Stream(Generic[State, E]):
    """A kind of stream.

    stored_as: part of the ids of its streams and of the tags of their snapshots, so it never
    changes. word: what people write before a name, the ecosystem of a package, empty where nobody
    asks for one. evolve: changes the state that it is given. canonical: of any spelling of a name
    the one that two colliding names share. name_in: the name that an event has in it, as spelt.
    """

    stored_as: str
    word: str
    state: type[State]
    events: frozenset[type[Event]]
    evolve: Callable[[State | None, E], State]
    canonical: Callable[[str], str]
    name_in: Callable[[Any], str]

    def id(self, name: str = "") -> UUID:
        """Return the id of the stream of a name, in any spelling."""
        return _id(self, name)

    def identifier(self, name: str) -> str:
        """Return what the id is made of."""
        return f"packledger:{self.stored_as}/{self.canonical(name)}"

    def fold(self, state: State | None, events: Iterable[E]) -> State | None:
        """Return the state after the events; the given one is never changed."""
        fresh = state.copy() if state is not None else None
        evolve = self.evolve
        for event in events:
            fresh = evolve(fresh, event)
        return fresh


@lru_cache(maxsize=4_096)
def _id(kind: "Stream[Any, Any]", name: str) -> UUID:
    return uuid5(NAMESPACE_URL, kind.identifier(name))


_name: Callable[[Any], str] = attrgetter("name")
CRATES: Stream[Crate, CrateEvent] = Stream(
    "crate",
    CARGO,
    Crate,
    frozenset(get_args(CrateEvent)),
    crate.evolve,
    canonical_crate_name,
    _name,
)
PACKAGES: Stream[NpmPackage, NpmEvent] = Stream(
    "npm",
    NPM,
    NpmPackage,
    frozenset(get_args(NpmEvent)),
    package.evolve,
    canonical_npm_name,
    _name,
)
ACCOUNTS: Stream[Account, AccountEvent] = Stream(
    "account",
    "user",
    Account,
    frozenset(get_args(AccountEvent)),
    account.evolve,
    canonical_account_name,
    lambda event: getattr(event, "account", "") or event.name,  # tokens have the first
)
REGISTRY: Stream[Configuration, RegistryEvent] = Stream(
    "registry",
    "",
    Configuration,
    frozenset(get_args(RegistryEvent)),
    configuration.evolve,
    str,
    lambda event: "",
)
DOWNLOADS: Stream[Downloads, DownloadsCounted] = Stream(
    "downloads",
    "",
    Downloads,
    frozenset({DownloadsCounted}),
    download_counts.evolve,
    str,
    attrgetter("node"),
)

AnyStream = Stream[Any, Any]
STREAMS: tuple[AnyStream, ...] = (CRATES, PACKAGES, ACCOUNTS, REGISTRY, DOWNLOADS)
OF_ECOSYSTEM: dict[str, AnyStream] = {CARGO: CRATES, NPM: PACKAGES}

_STREAM_OF = {event: kind for kind in STREAMS for event in kind.events}
_EVOLVE: dict[type[Event], Callable[[Any, Any], Any]] = {
    **{event: kind.evolve for event, kind in _STREAM_OF.items()},
    BlobPurged: lambda state, event: (CRATES if type(state) is Crate else PACKAGES).evolve(
        state, event
    ),
}


def stream_of(event: Event) -> AnyStream:
    """Return the kind of stream that an event says that it is in."""
    if type(event) is BlobPurged:
        return CRATES if event.ecosystem == CARGO else PACKAGES
    return _STREAM_OF[type(event)]


def evolve(state: Any, event: Event) -> Any:
    """Return the state after one event of whatever stream it is; the given one is changed."""
    return _EVOLVE[type(event)](state, event)
