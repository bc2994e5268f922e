"""Head rows: the small part of each document that changes, cached between pages.

A head is read once, changed in memory by the events of a page, and written once. A rebuild keeps
all of them to its end, or as many as it may: `read_model.py: KEEP_ROWS`. Texts in heads are
interned: each one replaced would leave a hole among them in which objects of the pages to come end
up, so that these are all over the memory, and in no cache of a core: that doubled the cost of an
event by the end of two million.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import ClassVar, Generic, TypeVar, TypeVarTuple

import msgspec

from packledger.domain.events.event import Event
from packledger.feeds.feed import Recorded
from packledger.projections.sqlite_projection import SQLiteProjection

Head = TypeVar("Head", bound=msgspec.Struct)
What = TypeVarTuple("What")

CACHED_HEADS = 4_096
"""Kept after they were written: about 1 KB each."""
WAITING = 4_096
"""Changes of rows that wait in memory, 0.3 KB each; in the temporary table they have 0.1 KB."""
_WAITING_TABLE = "CREATE TEMP TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY, changes BLOB)"
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[tuple[int, list[str | int | bool]]]).decode

Folds = dict[type[Event], Callable[..., None]]
"""What a projection does with each type of event: a method that is given the connection, the
position and the event. `isinstance` costs ten times as much where the answer is no."""


class Heads(Generic[Head]):
    """Heads of one table `(name TEXT PRIMARY KEY, head BLOB) WITHOUT ROWID`."""

    def __init__(self, table: str, kind: type[Head]) -> None:
        self._select = f"SELECT head FROM {table} WHERE name = ?"  # noqa: S608 - our own constant
        self._upsert = (
            f"INSERT INTO {table} VALUES (?, ?)"  # noqa: S608
            " ON CONFLICT (name) DO UPDATE SET head = excluded.head"
        )
        self._decode: Callable[[bytes], Head] = msgspec.json.Decoder(kind).decode
        self._encode = msgspec.json.Encoder().encode
        self._clean: dict[str, Head] = {}
        self._dirty: dict[str, Head] = {}

    def get(self, db: sqlite3.Connection, name: str) -> Head | None:
        """Return a head to be changed in place, or None; it is written at the next flush."""
        head = self._dirty.get(name)
        if head is not None:
            return head
        head = self._clean.pop(name, None)
        if head is None:
            row = db.execute(self._select, (name,)).fetchone()
            if row is None:
                return None
            head = self._decode(row[0])
        self._dirty[name] = head
        return head

    def add(self, name: str, head: Head) -> None:
        """Add the head of a new document."""
        self._dirty[name] = head

    def changed(self) -> dict[str, Head]:
        """Return the heads that wait to be written."""
        return self._dirty

    def flush(self, db: sqlite3.Connection) -> None:
        """Write the changed heads."""
        self._write(db, self._dirty)
        if len(self._clean) + len(self._dirty) > CACHED_HEADS:
            self._clean.clear()
        if len(self._dirty) <= CACHED_HEADS:
            self._clean.update(self._dirty)
        self._dirty.clear()

    def spill(self, db: sqlite3.Connection) -> None:
        """Write half of the changed heads and drop them: those that were read or added first."""
        old = list(islice(self._dirty, (len(self._dirty) + 1) // 2))
        self._write(db, old)
        for name in old:
            del self._dirty[name]

    def _write(self, db: sqlite3.Connection, names: Iterable[str]) -> None:
        """Write changed heads in the order of the table, so that each of its pages comes once."""
        encode, dirty = self._encode, self._dirty
        db.executemany(self._upsert, ((name, encode(dirty[name])) for name in sorted(names)))

    def forget(self) -> None:
        """Drop everything."""
        self._clean.clear()
        self._dirty.clear()


class FragmentProjection(SQLiteProjection, Generic[Head]):
    """What projections with heads and one row per version have in common.

    Rows of a page are inserted together: one statement for many rows costs a third. What changes
    rows that are there waits for `flush`: it looks them up in an index that a rebuild has not made.
    Many of them wait in a temporary table.
    """

    _folds: ClassVar[Folds] = {}

    def __init__(self, heads: Heads[Head], insert: str) -> None:
        self._heads, self._insert = heads, insert
        self._published: list[tuple[object, ...]] = []
        self._changes: list[tuple[Callable[..., None], tuple[str | int, ...]]] = []
        self._kinds: dict[Callable[..., None], int] = {}
        self._aside = False

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        folds = self._folds
        for recorded in page:
            fold = folds.get(type(recorded.event))
            if fold is not None:
                fold(self, db, recorded.position, recorded.event)
        self._insert_published(db)

    def _head(self, db: sqlite3.Connection, key: str) -> Head:
        """Return the head of a crate or package that was registered, to be changed in place."""
        head = self._heads.get(db, key)
        assert head is not None, key
        return head

    def _insert_published(self, db: sqlite3.Connection) -> None:
        """Insert the page's rows; call it at the end of each."""
        db.executemany(self._insert, self._published)
        self._published.clear()
        if len(self._changes) >= WAITING:
            self._set_aside(db)

    def _later(self, change: Callable[[sqlite3.Connection, *What], None], *what: *What) -> None:
        """Change rows when `flush` comes; rows of later events may be there by then.

        what: texts and numbers, as they may have to wait in a table.
        """
        self._changes.append((change, what))  # type: ignore[arg-type]

    def _set_aside(self, db: sqlite3.Connection) -> None:
        """Move what waits in memory to the temporary table."""
        kinds = self._kinds
        packed = [(kinds.setdefault(change, len(kinds)), what) for change, what in self._changes]
        db.execute(_WAITING_TABLE)
        db.execute("INSERT INTO waiting (changes) VALUES (?)", (_pack(packed),))
        self._changes.clear()
        self._aside = True

    def _change_rows(self, db: sqlite3.Connection) -> None:
        """Change rows as the events said, in their order."""
        if self._aside:
            kinds = list(self._kinds)
            for (packed,) in db.execute("SELECT changes FROM waiting ORDER BY id"):
                for kind, what in _unpack(packed):
                    kinds[kind](db, *what)
            db.execute("DELETE FROM waiting")
            self._aside = False
        for change, values in self._changes:
            change(db, *values)
        self._changes.clear()

    def spill(self, db: sqlite3.Connection) -> None:
        """Write half of the heads; changes of rows go on waiting, for the indexes."""
        self._set_aside(db)
        self._heads.spill(db)

    def flush(self, db: sqlite3.Connection) -> None:
        """Change rows, and write the heads."""
        self._change_rows(db)
        self._heads.flush(db)

    def kept(self) -> int:
        """Return how many heads and changes are in memory."""
        return len(self._heads.changed()) + len(self._changes)

    def forget(self) -> None:
        """Drop what was kept and cached."""
        self._heads.forget()
        self._published.clear()
        self._changes.clear()
        self._aside = False
