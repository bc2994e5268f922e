"""Projections that only tests have: nothing but a class and a row of the catalogue for each."""

import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from packledger.cli.main import main
from packledger.domain.events.event import tag_of
from packledger.feeds.feed import Recorded
from packledger.projections import catalogue
from packledger.projections.catalogue import Row

GATE = "gate"
"""A file in a registry's folder, without which `SlowTags` gets nowhere."""


class Tags:
    """Counts the events of each tag."""

    name = "tags"
    schema = 1
    renderer = 1
    tables = "CREATE TABLE tags (tag TEXT PRIMARY KEY, events INTEGER NOT NULL)"
    indexes = "CREATE INDEX tags_by_events ON tags (events)"
    concerns = None

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        db.executemany(
            "INSERT INTO tags VALUES (?, 1) ON CONFLICT (tag) DO UPDATE SET events = events + 1",
            [(tag_of(type(recorded.event)),) for recorded in page],
        )

    def flush(self, db: sqlite3.Connection) -> None:
        """Nothing is kept."""

    spill = flush

    def kept(self) -> int:
        return 0

    def forget(self) -> None:
        """Nothing is kept."""

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        for tag, events in db.execute("SELECT tag, events FROM tags ORDER BY tag"):
            yield tag, str(events).encode()


class SlowTags(Tags):
    """As long as nobody opens the gate: one event takes for ever."""

    name = "slow-tags"
    gate = Path(GATE)

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        while not self.gate.exists():
            time.sleep(0.01)
        super().apply(db, page)


TAGS = Row(kind=Tags, slot=400, weight_us=2, affects="who reads tests", awaited=True)
SLOW_TAGS = Row(kind=SlowTags, slot=408, weight_us=2, affects="nobody", awaited=False)


if __name__ == "__main__":  # `packledger` with one projection more; its gate is the first argument
    SlowTags.gate = Path(sys.argv.pop(1))
    catalogue.CATALOGUE = (*catalogue.CATALOGUE, SLOW_TAGS)
    main()
