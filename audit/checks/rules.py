"""Replay the rules: an event that no decision could have given is a fault (ADR 0043).

Whoever writes into the event store by hand is bound to what commands would have decided, or is
found; one who is an owner's equal is not: that takes a witness, or a kept checkpoint.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from packledger.audit.checks.faults import EVERYBODY, RESTORE, Fault
from packledger.audit.checks.leaves import ReadableLog
from packledger.domain.accounts.permissions import Identity
from packledger.domain.cargo.crate import CrateVersion
from packledger.domain.events.accounts import (
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    TokenIssued,
)
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.event import Event
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.npm.package import NpmVersion
from packledger.domain.possible import BY_ADMINS, BY_OWNERS, BY_THEMSELVES, why_not
from packledger.domain.streams import evolve
from packledger.domain.versions import without_build
from packledger.eventstore.damaged_log import MISFITS, DamagedLog
from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import UnknownEvent
from packledger.feeds.progress import Progress

PAGE_EVENTS = 2_000
MOST = 1_000
"""Faults that are kept: one event out of place makes others impossible."""
BACK = timedelta(hours=1)
"""An upload is dated when it began, so a little disorder is usual."""
SHOWN_JUMPS = 5
_OF_ACCOUNTS = frozenset(
    {AccountRegistered, AccountPasswordChanged, AccountRoleChanged, TokenIssued}
)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
"""As `domain.times` writes them: others do not compare as text."""
_Stamp = tuple[str, str, str, str]


class Registered(NamedTuple):
    """What the log says of a password. stream: 32 hex digits; credential: maybe empty."""

    stream: str
    credential: str


class Rules:
    """A fold of the whole log that judges every event before it takes it in.

    admins: whom an embedding program vouches for. Kept in memory are the thin states of all
    packages, without digests: about 1.5 KB a package of ten versions.
    accounts: by their names; set_up: one of them was ever an administrator.
    """

    def __init__(self, admins: Iterable[str] = ()) -> None:
        self._admins = {"", *admins}  # the operator has no account
        self.set_up = False
        self._states: dict[str, Any] = {}
        self._tokens: dict[str, Identity] = {}
        self._crate_versions: dict[str, CrateVersion] = {}
        self._npm_versions: dict[tuple[str, bool], NpmVersion] = {}
        self._last: _Stamp = ("", "", "", "")
        self._at = ""
        self.accounts: dict[str, Registered] = {}
        self.position = 0
        self.jumps = 0
        self._faults: list[Fault] = []
        self._notes: list[str] = []

    def follow(self, page: Sequence[Recorded]) -> None:
        """Judge the events that come next in the log."""
        for one in page:
            why = self._why_not(one)
            if why and len(self._faults) < MOST:
                what = f"the event at position {one.position} could not have been decided: {why}"
                self._faults.append(Fault(what, EVERYBODY, RESTORE))
            if _TIME.fullmatch(one.event.at):
                if one.event.at < self._at:
                    self._back(one)
                self._at = one.event.at
        if page:
            self.position = page[-1].position

    def faults(self, log: ReadableLog, progress: Progress) -> Iterator[Fault]:
        """Follow the log to its end; yield the events that could not have been decided."""
        last = log.last_position()
        try:
            while page := log.read(self.position, PAGE_EVENTS, last):
                self.follow(page)
                progress(self.position, last)
        except (DamagedLog, UnknownEvent):
            pass  # that is told by others
        yield from self._faults

    def notes(self) -> list[str]:
        """Return what need not be wrong: where time goes back."""
        more = self.jumps - len(self._notes)
        return [*self._notes, *([f"time goes back {more} times more"] if more else [])]

    def _why_not(self, one: Recorded) -> str:
        event, state = one.event, self._states.get(one.stream)
        stamp = (one.stream, event.at, event.by, event.request)
        why = ""
        try:
            why = why_not(state, event) or self._who(state, event, stamp) or _when(event)
            self._states[one.stream] = self._after(state, event, one.stream)
        except MISFITS as error:
            why = why or f"it does not follow from those before ({type(error).__name__})"
        if not why:
            self._last = stamp
        return why

    def _who(self, state: Any, event: Any, stamp: _Stamp) -> str:
        """Return why this one could not bring the event about, empty if it could."""
        kind, by = type(event), event.by
        token = self._tokens.get(event.token)
        if token is not None:
            if token.account != by:
                return f"the token `{event.token}` is not `{by}`'s"
            if kind in BY_OWNERS and token.read_only:
                return f"the token `{event.token}` may only read"
        if by in self._admins or stamp == self._last:
            return ""  # events of one command: who removes themselves may have removed others, too
        if kind in BY_OWNERS:
            return "" if by in state.owners else f"`{by}` was neither an owner nor an administrator"
        if kind in BY_ADMINS:
            return f"`{by}` was no administrator"
        return self._who_for(event, by) if kind in BY_THEMSELVES else ""

    def _who_for(self, event: Any, by: str) -> str:
        account = getattr(event, "account", "") or event.name
        if by != account:
            return f"`{by}` was no administrator, and is not `{account}`"
        if self.set_up and isinstance(event, AccountRegistered) and event.role == "admin":
            return f"`{by}` made themselves an administrator"
        return ""

    def _after(self, state: Any, event: Event, stream: str) -> Any:
        """Return the state behind an event. Equal versions are one object, without digests."""
        if type(event) is CrateVersionPublished:
            crate = self._crate_versions.get(event.version)
            if crate is None:
                crate = CrateVersion(event.version, "")
                self._crate_versions[event.version] = crate
            state.versions[without_build(crate.version)] = crate
            return state
        if type(event) is NpmVersionPublished:
            key = event.version, bool(event.signatures)
            npm = self._npm_versions.get(key)
            if npm is None:
                npm = self._npm_versions[key] = NpmVersion(key[0], "", "", signed=key[1])
            state.versions[without_build(npm.version)] = npm
            return state
        if type(event) in _OF_ACCOUNTS:
            self._know(event, stream)
        return evolve(state, event)

    def _know(self, event: Any, stream: str) -> None:
        """Remember passwords, who may act in another's name, and what tokens may."""
        if type(event) in {AccountRegistered, AccountPasswordChanged}:
            self.accounts[event.name] = Registered(stream, event.credential or "")
        if type(event) is TokenIssued:
            self._tokens[event.token_id] = Identity(event.account, read_only=event.read_only)
        elif getattr(event, "role", "") == "admin":
            self._admins.add(event.name)
            self.set_up = True

    def _back(self, one: Recorded) -> None:
        before, at = self._at, one.event.at
        if datetime.fromisoformat(before) - datetime.fromisoformat(at) < BACK:
            return
        self.jumps += 1
        if len(self._notes) < SHOWN_JUMPS:
            self._notes.append(
                f"time goes back at position {one.position}: from {before} to {at}; a clock was "
                "wrong, or somebody wrote into the event store"
            )


def _when(event: Event) -> str:
    return "" if _TIME.fullmatch(event.at) else "its time is none that a registry writes"
