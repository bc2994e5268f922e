"""What can be searched: one document per crate or package, in SQLite's FTS5.

`search_engine.py` asks. Downloads and the log's newest time are kept beside the documents, so that
counting a download does not write one anew.
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from sys import intern
from typing import Any, ClassVar

import msgspec

from packledger.domain.events.cargo import (
    CrateOwnerAdded,
    CrateOwnerRemoved,
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
)
from packledger.domain.events.npm import (
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmOwnerRemoved,
    NpmRegistered,
    NpmUnpublished,
    NpmVersionPublished,
)
from packledger.domain.events.registry import DownloadsCounted
from packledger.domain.npm.package import LATEST, highest
from packledger.domain.streams import stream_of
from packledger.feeds.feed import Recorded
from packledger.projections.heads import Folds, FragmentProjection, Heads
from packledger.projections.search.form import Summary, crate_summary, npm_summary, read_summary

SEARCH = "search"
WRITTEN_TOGETHER = 1_000
"""Documents, each of about 1 KB: a rebuild writes all of them in one flush."""


class SearchHead(msgspec.Struct):
    """A crate or package. shown: the version that stands for it, empty when none is visible."""

    id: int
    name: str
    owners: list[str]
    shown: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SearchHead).decode

_FoundRow = tuple[int, str, str, str, str, bool, str, bytes, bytes]
_WordsRow = tuple[int, str, str, str]


_LATEST = (
    "INSERT INTO newest VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = max(at, excluded.at)"
)


def fold_name(name: str) -> str:
    """Return a name as it is compared: in lower case, `_` as `-`."""
    return name.lower().replace("_", "-")


class Search(FragmentProjection[SearchHead]):
    """Folds both ecosystems into searchable documents."""

    name = SEARCH
    schema = 3
    renderer = 1
    tables = """
        CREATE TABLE packages (name TEXT PRIMARY KEY, head BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE versions (position INTEGER PRIMARY KEY, package INTEGER NOT NULL,
            version TEXT NOT NULL, hidden INTEGER NOT NULL, summary BLOB NOT NULL);
        CREATE TABLE found (id INTEGER PRIMARY KEY, ecosystem TEXT NOT NULL, name TEXT NOT NULL,
            folded TEXT NOT NULL, scope TEXT NOT NULL, unstable INTEGER NOT NULL,
            date TEXT NOT NULL, owners BLOB NOT NULL, summary BLOB NOT NULL);
        CREATE INDEX found_by_name ON found (ecosystem, name);
        CREATE TABLE downloads (key TEXT PRIMARY KEY, total INTEGER NOT NULL,
            popularity REAL NOT NULL);
        CREATE TABLE newest (id INTEGER PRIMARY KEY, at TEXT NOT NULL);
        CREATE VIRTUAL TABLE names USING fts5 (folded, tokenize = 'trigram');
        CREATE VIRTUAL TABLE words USING fts5 (name, keywords, description,
            tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')
    """
    indexes = "CREATE UNIQUE INDEX versions_by_package ON versions (package, version)"
    concerns = None

    def __init__(self) -> None:
        super().__init__(
            Heads("packages", SearchHead), "INSERT INTO versions VALUES (?, ?, ?, 0, ?)"
        )
        self._registered: list[str] = []
        self._spilled = False
        self._unshown: set[str] = set()
        self._latest = ""

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        super().apply(db, page)
        self._latest = max(self._latest, *[recorded.event.at for recorded in page])

    def _register(
        self, db: sqlite3.Connection, position: int, event: CrateRegistered | NpmRegistered
    ) -> None:
        key = _key_of(event)
        self._heads.add(key, SearchHead(position, event.name, [intern(event.owner)]))
        if not self._spilled:
            self._registered.append(key)

    def _publish_crate(
        self, db: sqlite3.Connection, position: int, event: CrateVersionPublished
    ) -> None:
        head = self._publish(db, position, event, crate_summary(event))
        _show_highest(head, event.version)

    def _publish_npm(
        self, db: sqlite3.Connection, position: int, event: NpmVersionPublished
    ) -> None:
        self._publish(db, position, event, npm_summary(event))

    def _publish(
        self,
        db: sqlite3.Connection,
        position: int,
        event: CrateVersionPublished | NpmVersionPublished,
        summary: Summary,
    ) -> SearchHead:
        head = self._head(db, _key_of(event))
        self._published.append((position, head.id, event.version, _encode(summary)))
        return head

    def _yank(self, db: sqlite3.Connection, position: int, event: CrateVersionYanked) -> None:
        key = _key_of(event)
        head = self._head(db, key)
        self._later(_set_hidden, head.id, event.version, True)
        if head.shown == event.version:
            self._unshown.add(key)

    def _unyank(self, db: sqlite3.Connection, position: int, event: CrateVersionUnyanked) -> None:
        head = self._head(db, _key_of(event))
        self._later(_set_hidden, head.id, event.version, False)
        _show_highest(head, event.version)

    def _set_tag(self, db: sqlite3.Connection, position: int, event: NpmDistTagSet) -> None:
        if event.dist_tag == LATEST:
            self._head(db, _key_of(event)).shown = intern(event.version)

    def _unpublish(self, db: sqlite3.Connection, position: int, event: NpmUnpublished) -> None:
        self._head(db, _key_of(event)).shown = ""

    def _add_owner(
        self, db: sqlite3.Connection, position: int, event: CrateOwnerAdded | NpmOwnerAdded
    ) -> None:
        self._head(db, _key_of(event)).owners.append(intern(event.owner))

    def _remove_owner(
        self, db: sqlite3.Connection, position: int, event: CrateOwnerRemoved | NpmOwnerRemoved
    ) -> None:
        self._head(db, _key_of(event)).owners.remove(event.owner)

    def _count_downloads(
        self, db: sqlite3.Connection, position: int, event: DownloadsCounted
    ) -> None:
        for key, count in event.counts.items():
            row = db.execute("SELECT total FROM downloads WHERE key = ?", (key,)).fetchone()
            total = count + (row[0] if row else 0)
            values = (key, total, math.log2(1 + total))
            db.execute("INSERT OR REPLACE INTO downloads VALUES (?, ?, ?)", values)

    _folds: ClassVar[Folds] = {
        CrateRegistered: _register,
        CrateVersionPublished: _publish_crate,
        CrateVersionYanked: _yank,
        CrateVersionUnyanked: _unyank,
        CrateOwnerAdded: _add_owner,
        CrateOwnerRemoved: _remove_owner,
        NpmRegistered: _register,
        NpmVersionPublished: _publish_npm,
        NpmDistTagSet: _set_tag,
        NpmUnpublished: _unpublish,
        NpmOwnerAdded: _add_owner,
        NpmOwnerRemoved: _remove_owner,
        DownloadsCounted: _count_downloads,
    }

    def _change_rows(self, db: sqlite3.Connection) -> None:
        super()._change_rows(db)
        for key in self._unshown:
            head = self._head(db, key)
            rows = db.execute(
                "SELECT version FROM versions WHERE package = ? AND NOT hidden", (head.id,)
            )
            visible = [row[0] for row in rows]
            head.shown = highest(visible) if visible else ""
        self._unshown.clear()

    def spill(self, db: sqlite3.Connection) -> None:
        """Write half of the heads; every document waits for `flush`, as there is none yet."""
        super().spill(db)
        self._spilled = True
        self._registered.clear()

    def flush(self, db: sqlite3.Connection) -> None:
        """Write the changed documents."""
        self._change_rows(db)
        self._show_all(db) if self._spilled else self._show_changed(db)
        if self._latest:
            db.execute(_LATEST, (self._latest,))
        self._heads.flush(db)
        self._drop_changes()

    def _show_changed(self, db: sqlite3.Connection) -> None:
        changed, new = self._heads.changed(), set(self._registered)
        old = sorted((head.id,) for key, head in changed.items() if key not in new)
        db.executemany("DELETE FROM words WHERE rowid = ?", old)
        db.executemany("DELETE FROM found WHERE id = ?", old)
        # FTS5 writes out what it gathered when ids go back.
        heads = iter(sorted(changed.items(), key=lambda item: item[1].id))
        while some := list(islice(heads, WRITTEN_TOGETHER)):
            self._show(db, some)
        _name(db, ((key, changed[key].id) for key in self._registered))

    def _show_all(self, db: sqlite3.Connection) -> None:
        """Write the documents of all heads, of which most may be in the table alone."""
        self._heads.flush(db)
        rows = db.execute("SELECT name, head FROM packages ORDER BY head ->> 'id'")
        while some := [(key, _decode(head)) for key, head in rows.fetchmany(WRITTEN_TOGETHER)]:
            self._show(db, some)
            _name(db, ((key, head.id) for key, head in some))

    def _show(self, db: sqlite3.Connection, heads: Sequence[tuple[str, SearchHead]]) -> None:
        shown = [_shown(key, head, _summary_of(db, head)) for key, head in heads if head.shown]
        db.executemany(
            "INSERT INTO found VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [row for row, _ in shown]
        )
        db.executemany(
            "INSERT INTO words (rowid, name, keywords, description) VALUES (?, ?, ?, ?)",
            [words for _, words in shown],
        )

    def forget(self) -> None:
        """Drop what was kept and cached."""
        super().forget()
        self._drop_changes()

    def _drop_changes(self) -> None:
        self._registered.clear()
        self._spilled = False
        self._unshown.clear()
        self._latest = ""

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield every hit that a search could give, by ecosystem and name, and its words."""
        rows = db.execute(
            "SELECT ecosystem || ':' || found.name, owners, summary, json_array(found.folded,"
            " scope, unstable, date, words.name, words.keywords, words.description, names.folded,"
            " downloads.total) FROM found LEFT JOIN words ON words.rowid = found.id"
            " LEFT JOIN names ON names.rowid = found.id"
            " LEFT JOIN downloads ON downloads.key = ecosystem || ':' || found.name ORDER BY 1"
        )
        for key, owners, summary, columns in rows:
            yield key, b"\n".join((owners, summary, columns.encode()))


def _name(db: sqlite3.Connection, registered: Iterable[tuple[str, int]]) -> None:
    """Make new crates and packages known by their names."""
    names = ((id_, fold_name(key.partition(":")[2])) for key, id_ in registered)
    db.executemany("INSERT INTO names (rowid, folded) VALUES (?, ?)", names)


def _set_hidden(db: sqlite3.Connection, package: int, version: str, hidden: bool) -> None:
    statement = "UPDATE versions SET hidden = ? WHERE package = ? AND version = ?"
    db.execute(statement, (hidden, package, version))


def _show_highest(head: SearchHead, version: str) -> None:
    head.shown = intern(highest([version, head.shown]) if head.shown else version)


def _key_of(event: Any) -> str:
    return f"{stream_of(event).word}:{event.name}"


def _summary_of(db: sqlite3.Connection, head: SearchHead) -> bytes:
    """Return the summary of the version that stands for a document."""
    found = "SELECT summary FROM versions WHERE package = ? AND version = ?"
    summary: bytes = db.execute(found, (head.id, head.shown)).fetchone()[0]
    return summary


def _shown(key: str, head: SearchHead, packed: bytes) -> tuple[_FoundRow, _WordsRow]:
    """Return a document's rows. packed: the summary of the version that stands for it."""
    summary = read_summary(packed)
    found = (
        head.id,
        key.partition(":")[0],
        head.name,
        fold_name(head.name),
        head.name[1:].partition("/")[0] if head.name.startswith("@") else "unscoped",
        summary.version.startswith("0."),
        summary.date,
        _encode(head.owners),
        packed,
    )
    return found, (head.id, head.name, " ".join(summary.keywords), summary.description)
