"""The log as people read it: who did what to what, when, by which token and request."""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import msgspec

from packledger.domain.errors import Invalid
from packledger.domain.events.event import Event, tag_of
from packledger.domain.streams import ACCOUNTS, OF_ECOSYSTEM, stream_of
from packledger.eventstore.log import Log, Recorded

PAGE_EVENTS = 500


class Entry(msgspec.Struct, frozen=True):
    """One event, `docs/AUDIT.md` describes its JSON form.

    subject: `cargo:NAME`, `npm:NAME`, `user:NAME`, `registry` or `downloads`; version: what tells
    two events of one kind apart, often a version.
    """

    position: int
    at: str
    by: str
    what: str
    subject: str
    version: str
    token: str
    request: str


class FullEntry(Entry, frozen=True):
    """An entry with all that is stored, from which everything can be rebuilt.

    stream: 32 hex digits; number: in its stream, from 1; type: the stored tag; event: exactly the
    stored bytes, which the transparency log has the SHA-256 of.
    """

    stream: str
    number: int
    type: str
    event: msgspec.Raw


def entry_of(recorded: Recorded) -> Entry:
    """Return what people see of an event."""
    return Entry(**_seen(recorded))


def full_entry_of(recorded: Recorded) -> FullEntry:
    """Return what auditors see of an event."""
    return FullEntry(
        **_seen(recorded),
        stream=recorded.stream,
        number=recorded.version,
        type=recorded.tag,
        event=msgspec.Raw(recorded.state),
    )


def _seen(recorded: Recorded) -> dict[str, Any]:
    event: Any = recorded.event
    kind = stream_of(event)
    action = tag_of(type(event)).partition(".")[2]
    return {
        "position": recorded.position,
        "at": event.at,
        "by": event.by,
        "what": action.rpartition(".")[0],
        "subject": f"{kind.word}:{kind.name_in(event)}" if kind.word else kind.stored_as,
        "version": _detail(event),
        "token": event.token,
        "request": event.request,
    }


def _detail(event: Event) -> str:
    """Return what tells two events of one kind apart."""
    fields = (
        "dist_tag",
        "version",
        "reason",
        "owner",
        "token_id",
        "session_id",
        "role",
        "public_url",
        "keyid",
    )
    return " ".join(str(getattr(event, field)) for field in fields if hasattr(event, field))


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to show; both ends are included.

    subject: of an entry, or `user:NAME` for what NAME did, too; empty for all. since, until: a
    position or a time in UTC (or its beginning, such as a date); after: a position, not included.

    Raises:
        Invalid: none of these.
    """

    subject: str = ""
    since: str = ""
    until: str = ""
    after: int = 0

    def __post_init__(self) -> None:
        kind, _, name = self.subject.partition(":")
        if self.subject and (kind not in _SUBJECTS or not name):
            raise Invalid(f"`{self.subject}` must be cargo:NAME, npm:NAME or user:NAME")
        for end in (self.since, self.until):
            if end and not (_POSITION.fullmatch(end) or _TIME.fullmatch(end)):
                raise Invalid(
                    f"`{end[:40]}` is neither a position nor a time; write a time in UTC, such as "
                    "`2026-11-21` or `2026-11-21T06:00:00Z`"
                )


_SUBJECTS = {*OF_ECOSYSTEM, ACCOUNTS.word}
_POSITION = re.compile(r"[0-9]{1,18}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}(-[0-9]{2}(T[0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,3})?)?)?)?)?Z?"
)


def history(log: Log, chosen: Chosen) -> Iterator[Recorded]:
    """Yield events in order, in constant memory; those of one package from its stream alone."""
    return chain.from_iterable(history_pages(log, chosen))


def history_pages(log: Log, chosen: Chosen) -> Iterator[list[Recorded]]:
    """Yield the same by pages, empty ones too: there is a rest after every page that is read."""
    wanted = _filter(chosen)
    for page in _candidates(log, chosen):
        yield [recorded for recorded in page if wanted(recorded)]


def _candidates(log: Log, chosen: Chosen) -> Iterator[list[Recorded]]:
    first = int(chosen.since) if chosen.since.isdecimal() else 0
    last = int(chosen.until) if chosen.until.isdecimal() else None
    after = max(chosen.after, first - 1)
    ecosystem, _, name = chosen.subject.partition(":")
    if ecosystem in OF_ECOSYSTEM:
        ours = package_events(log, ecosystem, name, until=last)
        yield [recorded for recorded in ours if recorded.position > after]
        return
    while page := log.read(after, PAGE_EVENTS, last):
        after = page[-1].position
        yield page


def is_known(log: Log, chosen: Chosen) -> bool:
    """Return whether the log has anything about the subject, at any time.

    An account that an embedding program vouches for has no events of its own, but acts.
    """
    kind, _, name = chosen.subject.partition(":")
    if kind in OF_ECOSYSTEM:
        return bool(package_events(log, kind, name, newest=1))
    if not kind or log.load(ACCOUNTS, name).version:
        return True
    return next(history(log, Chosen(subject=chosen.subject)), None) is not None


def package_events(
    log: Log, ecosystem: str, name: str, newest: int | None = None, until: int | None = None
) -> list[Recorded]:
    """Return the events of one package, oldest first; none if there is no such package.

    newest: only so many of them, the last ones.
    """
    return log.read_stream(OF_ECOSYSTEM[ecosystem], name, until, newest)


def _filter(chosen: Chosen) -> Callable[[Recorded], bool]:
    # Without the Z, a whole second is the beginning of its milliseconds.
    since = "" if chosen.since.isdecimal() else chosen.since.removesuffix("Z")
    until = "" if chosen.until.isdecimal() else chosen.until.removesuffix("Z")

    account = chosen.subject.lower()  # however it is spelt

    def wanted(recorded: Recorded) -> bool:
        at = recorded.event.at
        if at < since or (until and at[: len(until)] > until):
            return False
        if not chosen.subject.startswith("user:"):
            return True
        by = f"user:{recorded.event.by}"
        return account in {by.lower(), entry_of(recorded).subject.lower()}

    return wanted
