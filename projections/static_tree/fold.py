"""The static tree: index files and packuments as files, for nginx in front of the app.

This projection only says which documents changed: it removes their files before it commits, so a
command is answered when nginx asks the app for what it changed. `static_writer` writes them again
from the other read models, once for many changes.

nginx's ETag is the modification time in seconds and the size, so every state of a document has a
time of its own: the second of its last event, or two more than that of its state before. All this
comes from the log, so every node and every rebuild gives a file the same ETag.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.events.event import Event
from packledger.domain.events.npm import NpmRegistered
from packledger.domain.events.registry import RegistryConfigured
from packledger.feeds.feed import Recorded
from packledger.projections.packuments.fold import package_changed_by
from packledger.projections.sparse_index.fold import crate_changed_by
from packledger.projections.sqlite_projection import SQLiteProjection
from packledger.projections.static_tree.files import StaticFiles

STATIC_TREE = "static-tree"
_Row = tuple[str, str, int, int]
_CHANGE = (
    "INSERT INTO documents (kind, name, revision, seconds, dirty) VALUES (?, ?, ?, ?, 1)"
    " ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision,"
    " seconds = max(excluded.seconds, seconds + 2), dirty = 1"
)
_CHANGE_ALL = "UPDATE documents SET seconds = max(?, seconds + 2), dirty = 1 WHERE kind = ?"


class StaticTree(SQLiteProjection):
    """Folds which documents there are, and when each changed.

    revision: as the document's own read model tells it; seconds: even, its forms differ by one;
    dirty: the file is missing or about to be. files: None to leave the tree alone.
    """

    name = STATIC_TREE
    schema = 1
    renderer = 2
    has_files = True
    tables = """
        CREATE TABLE documents (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,
            revision INTEGER NOT NULL, seconds INTEGER NOT NULL, dirty INTEGER NOT NULL);
        CREATE UNIQUE INDEX documents_by_name ON documents (kind, name);
        CREATE INDEX dirty_documents ON documents (id) WHERE dirty = 1;
        CREATE TABLE configuration (id INTEGER PRIMARY KEY, position INTEGER NOT NULL)
    """
    indexes = ""
    concerns = None

    def __init__(self, files: StaticFiles | None = None) -> None:
        self._files = files

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        rows: list[_Row] = []
        for recorded in page:
            event = recorded.event
            if (crate := crate_changed_by(event)) is not None:
                rows.append((CARGO, crate.lower(), recorded.version, _second(event.at)))
            elif (name := _package_of(event)) is not None:
                rows.append((NPM, name, recorded.version, _second(event.at)))
            elif isinstance(event, RegistryConfigured):
                self._change(db, rows)
                self._configure(db, recorded.position, event)
        self._change(db, rows)

    def _change(self, db: sqlite3.Connection, rows: list[_Row]) -> None:
        if self._files is not None:
            for kind, name in dict.fromkeys((row[0], row[1]) for row in rows):
                self._files.remove(kind, name)
        db.executemany(_CHANGE, rows)
        rows.clear()

    def _configure(self, db: sqlite3.Connection, at: int, event: RegistryConfigured) -> None:
        """The public URL is in every packument."""
        if self._files is not None:
            self._files.set_aside(NPM)
        db.execute(_CHANGE_ALL, (_second(event.at), NPM))
        db.execute("INSERT OR REPLACE INTO configuration VALUES (1, ?)", (at,))

    def flush(self, db: sqlite3.Connection) -> None:
        """Nothing is kept."""

    spill = flush

    def kept(self) -> int:
        """Nothing is kept."""
        return 0

    def forget(self) -> None:
        """Nothing is kept."""

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield each document's revision and time; `static_check` looks at the files."""
        rows = db.execute("SELECT kind, name, revision, seconds FROM documents ORDER BY kind, name")
        for kind, name, *row in rows:
            yield f"{kind} {name}", repr(row).encode()


def _package_of(event: Event) -> str | None:
    return event.name if isinstance(event, NpmRegistered) else package_changed_by(event)


def _second(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp()) & ~1
