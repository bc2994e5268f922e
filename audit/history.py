"""The log as people read it: who did what to what, when, by which token and request."""

from collections.abc import Iterator
from typing import Any

import msgspec

from packledger.domain.events import Event, tag_of
from packledger.eventstore.log import Log, Recorded

PAGE_EVENTS = 500


class Entry(msgspec.Struct, frozen=True):
    """One event. subject: `cargo:NAME`, `npm:NAME`, `user:NAME` or `registry`."""

    position: int
    at: str
    by: str
    what: str
    subject: str
    version: str
    token: str
    request: str


_ECOSYSTEM = {"crate": "cargo", "npm": "npm", "account": "user", "token": "user"}


def entry_of(recorded: Recorded) -> Entry:
    """Return what people see of an event."""
    event: Any = recorded.event
    tag = tag_of(type(recorded.event))
    kind, _, action = tag.partition(".")
    name = getattr(event, "account", getattr(event, "name", ""))
    subject = f"{_ECOSYSTEM[kind]}:{name}" if kind in _ECOSYSTEM else kind
    return Entry(
        position=recorded.position,
        at=event.at,
        by=event.by,
        what=action.rpartition(".")[0],
        subject=subject,
        version=_detail(event),
        token=event.token,
        request=event.request,
    )


def _detail(event: Event) -> str:
    """Return what tells two events of one kind apart."""
    fields = ("dist_tag", "version", "owner", "token_id", "role", "public_url")
    return " ".join(str(getattr(event, field)) for field in fields if hasattr(event, field))


def history(log: Log, subject: str = "", since: str = "", until: str = "") -> Iterator[Entry]:
    """Yield entries in order, in constant memory.

    since, until: a position or an RFC 3339 time (or its beginning, such as a date), both included.
    """
    after = int(since) - 1 if since.isdecimal() else 0
    last = int(until) if until.isdecimal() else None
    from_time = "" if since.isdecimal() else since
    to_time = "" if until.isdecimal() else until
    while page := log.read(after, PAGE_EVENTS, last):
        after = page[-1].position
        for recorded in page:
            entry = entry_of(recorded)
            if entry.at < from_time or (to_time and entry.at[: len(to_time)] > to_time):
                continue
            if not subject or subject in {entry.subject, f"user:{entry.by}"}:
                yield entry
