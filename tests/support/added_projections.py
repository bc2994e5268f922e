"""Projections that only tests have: nothing but a class and a row of the catalogue for each."""

import hashlib
import json
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
from packledger.projections.projection import Difference, Digest, Meta
from packledger.projections.sqlite_projection import SQLiteProjection

GATE = "gate"
"""A file in a registry's folder, without which `SlowTags` gets nowhere."""


class Tags(SQLiteProjection):
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


class Names:
    """A file for each package, with how many events it has; a folder instead of a database.

    Each file says its position, so what a crash cut off is written again: see `apply`.
    """

    name = "names"
    schema = 1
    renderer = 1
    has_files = False

    def open(self, folder: Path, *, private: bool = False, lazy: bool = False) -> "NamesFolder":
        return NamesFolder(folder, (self.schema, self.renderer))

    def meta(self, folder: Path) -> Meta | None:
        try:
            position, schema, renderer, built = json.loads((folder / "meta").read_bytes())
        except (OSError, ValueError):
            return None
        return Meta(position, schema, renderer, built)

    def damage(self, folder: Path) -> str:
        return "" if self.meta(folder) else "its `meta` is missing or damaged"

    def lacks(self, folder: Path) -> str:
        return ""


class NamesFolder:
    """A generation that is written: files first, then their position."""

    def __init__(self, folder: Path, stamp: tuple[int, int]) -> None:
        self._folder = folder
        self._meta = Names().meta(folder) or Meta(0, *stamp, False)
        self._save()

    def _save(self) -> None:
        write_whole(self._folder / "meta", json.dumps(self._meta).encode())

    def position(self) -> int:
        return self._meta.position

    def stamp(self) -> tuple[int, int]:
        return self._meta.schema, self._meta.renderer

    def built(self) -> bool:
        return self._meta.built

    def set_built(self) -> None:
        self._meta = self._meta._replace(built=True)
        self._save()

    def apply(self, page: Sequence[Recorded]) -> int:
        for recorded in page:
            name = getattr(recorded.event, "name", "")
            if recorded.position > self._meta.position and name:
                path = self._folder / f"of-{name}"
                events, at = json.loads(path.read_bytes()) if path.exists() else (0, 0)
                if at < recorded.position:
                    write_whole(path, json.dumps([events + 1, recorded.position]).encode())
        self._meta = self._meta._replace(position=max(self._meta.position, page[-1].position))
        self._save()
        return self._meta.position

    def end(self) -> None:
        """Nothing is kept."""

    share = hold = close = end

    def digest(self) -> Digest:
        held = sorted(files_of(self._folder).items())
        return Digest(len(held), hashlib.sha256(repr(held).encode()).hexdigest())

    def beside(self, live: Path) -> "NamesBeside | None":
        return NamesBeside(self._folder, live) if Names().meta(live) else None


class NamesBeside:
    """What is live is read while nobody writes it, when the comparison begins."""

    def __init__(self, replay: Path, live: Path) -> None:
        self._replay, self._live = replay, live
        self._theirs = self._read(live)
        self._files: dict[str, bytes] = {}

    @staticmethod
    def _read(folder: Path) -> Meta:
        meta = Names().meta(folder)
        assert meta is not None
        return meta

    def position(self) -> int:
        return self._theirs.position

    def begin(self) -> bool:
        self._theirs = self._read(self._live)
        self._files = files_of(self._live)
        return self._read(self._replay)[:3] == self._theirs[:3]

    def difference(self) -> Difference:
        ours, theirs = files_of(self._replay), self._files
        keys = sorted({*ours, *theirs})
        return Difference([key for key in keys if ours.get(key) != theirs.get(key)], [])

    def damage(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing is open."""


def write_whole(path: Path, content: bytes) -> None:
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").rename(path)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("of-*") if path.suffix != ".new"}


NAMES = Row(kind=Names, slot=416, weight_us=2, affects="who reads files", awaited=True)
TAGS = Row(kind=Tags, slot=400, weight_us=2, affects="who reads tests", awaited=True)
SLOW_TAGS = Row(kind=SlowTags, slot=408, weight_us=2, affects="nobody", awaited=False)


if __name__ == "__main__":  # `packledger` with one projection more; its gate is the first argument
    SlowTags.gate = Path(sys.argv.pop(1))
    catalogue.CATALOGUE = (*catalogue.CATALOGUE, SLOW_TAGS)
    main()
