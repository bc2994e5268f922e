"""Short logs, in memory or in a store: one crate whose owners come."""

import sys
from collections.abc import Sequence

from event_stores import AT, add_owner, recorded
from packledger.domain.events.cargo import CrateOwnerAdded, CrateRegistered
from packledger.domain.events.event import Event
from packledger.domain.streams import CRATES
from packledger.eventstore.log import Log
from packledger.feeds.feed import Recorded


class ListFeed:
    """A log in memory as a feed: as long as a test lets it be, in pages no larger than it wants."""

    def __init__(
        self,
        log: Sequence[Recorded],
        length: int | None = None,
        page_events: int = sys.maxsize,
    ) -> None:
        self.log = list(log)
        self.length = len(self.log) if length is None else length
        self.page_events = page_events

    def read(self, after: int, limit: int) -> list[Recorded]:
        return self.log[after : min(after + min(limit, self.page_events), self.length)]

    def wait(self, timeout_s: float) -> bool:
        return False

    def last_position(self) -> int:
        return self.length

    def close(self) -> None:
        """Nothing is open."""


def grow(log: Log, events: int) -> None:
    """Let a log have so many events."""
    registered = CrateRegistered(at=AT, by="alice", name="demo", owner="alice")
    if log.last_position() == 0:
        log.execute(CRATES, "demo", lambda state, version: [registered])
    for position in range(log.last_position(), events):
        add_owner(log, "demo", f"owner-{position}")


def owners_come(events: int, name: str = "demo") -> list[Recorded]:
    """Return a log of so many events; another name makes another log."""

    def event(position: int) -> Event:
        if position == 1:
            return CrateRegistered(at=AT, by="alice", name=name, owner="alice")
        return CrateOwnerAdded(at=AT, by="alice", name=name, owner=f"owner-{position}")

    return [
        recorded(position, position, event(position), CRATES, name)
        for position in range(1, events + 1)
    ]
