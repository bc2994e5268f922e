"""The sparse index: per crate one line per version, oldest first.

A publish writes one fragment row, however many versions there are; the file is put together when it
is read. Source: https://doc.rust-lang.org/cargo/reference/registry-index.html
"""

import sqlite3
from collections.abc import Iterator, Sequence
from sys import intern

import msgspec

from packledger.domain.ecosystems import CARGO
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import (
    CrateOwnerAdded,
    CrateOwnerRemoved,
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
)
from packledger.domain.events.event import Event
from packledger.domain.streams import CRATES
from packledger.feeds.feed import Recorded
from packledger.projections.heads import FragmentProjection, Heads
from packledger.projections.sparse_index.form import index_file, render_entry

SPARSE_INDEX = "sparse-index"
_OF_CRATES = CRATES.events - {BlobPurged}
"""What moves a crate's revision. `isinstance` costs ten times as much where the answer is no."""


def crate_changed_by(event: Event) -> str | None:
    """Return the name of the crate whose revision an event moves, None if it is no such event."""
    return event.name if type(event) in _OF_CRATES else None  # type: ignore[attr-defined]


class CrateHead(msgspec.Struct):
    """What changes about a crate. revision: number of events in its stream."""

    name: str
    owners: list[str]
    revision: int


class CrateFile(msgspec.Struct, frozen=True):
    """Where a version's bytes are. cksum: SHA-256 hex; purged: why they are gone, else empty."""

    name: str
    version: str
    cksum: str
    purged: str


class SparseIndex(FragmentProjection[CrateHead]):
    """Folds crates into heads and fragments."""

    name = SPARSE_INDEX
    schema = 3
    renderer = 1
    tables = """
        CREATE TABLE crates (name TEXT PRIMARY KEY, head BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE versions (position INTEGER PRIMARY KEY, name TEXT NOT NULL,
            version TEXT NOT NULL, cksum TEXT NOT NULL, yanked INTEGER NOT NULL,
            fragment BLOB NOT NULL, purged TEXT NOT NULL)
    """
    indexes = "CREATE UNIQUE INDEX versions_by_name ON versions (name, version)"
    concerns = _OF_CRATES | {BlobPurged}

    def __init__(self) -> None:
        super().__init__(
            Heads("crates", CrateHead), "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, '')"
        )

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        for recorded in page:
            event = recorded.event
            changed = crate_changed_by(event)
            if changed is None:
                self._purge(event)
                continue
            match event:
                case CrateVersionPublished():
                    self._publish(recorded.position, event)
                case CrateRegistered(name=name, owner=owner):
                    self._heads.add(name.lower(), CrateHead(name, [intern(owner)], 0))
                case CrateVersionYanked(name=name) | CrateVersionUnyanked(name=name):
                    yanked = type(event) is CrateVersionYanked
                    self._later(_set_yanked, name.lower(), event.version, yanked)
                case CrateOwnerAdded(name=name, owner=owner):
                    self._head(db, name.lower()).owners.append(intern(owner))
                case CrateOwnerRemoved(name=name, owner=owner):
                    self._head(db, name.lower()).owners.remove(owner)
            self._head(db, changed.lower()).revision = recorded.version
        self._insert_published(db)

    def _publish(self, position: int, event: CrateVersionPublished) -> None:
        fragment = render_entry(event.manifest, event.cksum, event.published_at or event.at)
        row = (position, event.name.lower(), event.version, event.cksum, 0, fragment)
        self._published.append(row)

    def _purge(self, event: Event) -> None:
        if type(event) is BlobPurged and event.ecosystem == CARGO:
            self._later(set_purged, event.name, event.version, event.reason)

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield every index file, where its versions' bytes are, and every crate's head."""
        files = "SELECT version, cksum, purged FROM versions WHERE name = ? ORDER BY position"
        for name, head in db.execute("SELECT name, head FROM crates ORDER BY name"):
            yield name, index_file_of(db, name) or b""
            yield f"{name} files", repr(db.execute(files, (name,)).fetchall()).encode()
            yield f"{name} head", head


def _set_yanked(db: sqlite3.Connection, name: str, version: str, yanked: bool) -> None:
    statement = "UPDATE versions SET yanked = ? WHERE name = ? AND version = ?"
    db.execute(statement, (yanked, name, version))


def set_purged(db: sqlite3.Connection, name: str, version: str, reason: str) -> None:
    """Say of a version that its bytes are gone; its line in the index file stays."""
    statement = "UPDATE versions SET purged = ? WHERE name = ? AND version = ?"
    db.execute(statement, (reason, name.lower(), version))


def revision_of(db: sqlite3.Connection, name: str) -> int | None:
    """Return the number of a crate's events, None if there is no such crate.

    name: in lower case, as index paths are.
    """
    row = db.execute("SELECT head ->> 'revision' FROM crates WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def index_file_of(db: sqlite3.Connection, name: str) -> bytes | None:
    """Return a crate's index file, None if it has no versions. name: in lower case."""
    rows = db.execute(
        "SELECT fragment, yanked FROM versions WHERE name = ? ORDER BY position", (name,)
    ).fetchall()
    return index_file(rows) if rows else None


def name_of(db: sqlite3.Connection, key: str) -> str | None:
    """Return a crate's own name, None if there is no such crate. key: in lower case."""
    row = db.execute("SELECT head ->> 'name' FROM crates WHERE name = ?", (key,)).fetchone()
    return row[0] if row else None


def head_of(db: sqlite3.Connection, name: str) -> CrateHead | None:
    """Return a crate's head by its exact name."""
    row = db.execute("SELECT head FROM crates WHERE name = ?", (name.lower(),)).fetchone()
    head = msgspec.json.decode(row[0], type=CrateHead) if row else None
    return head if head is not None and head.name == name else None


def crate_file_of(db: sqlite3.Connection, name: str, version: str) -> CrateFile | None:
    """Return where a published version's bytes are, yanked or not, and the crate's true name.

    name: in any case of letters.
    """
    row = db.execute(
        "SELECT head ->> 'name', cksum, purged FROM versions JOIN crates USING (name)"
        " WHERE name = ? AND version = ?",
        (name.lower(), version),
    ).fetchone()
    return CrateFile(row[0], version, row[1], row[2]) if row else None
