"""What can be searched: one document per crate or package, in SQLite's FTS5.

`search_engine.py` asks. Downloads and the log's newest time are kept beside the documents, so that
counting a download does not write one anew.
"""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from packledger.domain.events import (
    CrateOwnerAdded,
    CrateOwnerRemoved,
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
    DownloadsCounted,
    Event,
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmOwnerRemoved,
    NpmRegistered,
    NpmUnpublished,
    NpmVersionPublished,
)
from packledger.domain.npm_package import LATEST, highest
from packledger.feeds.feed import Recorded
from packledger.projections.board import SEARCH
from packledger.projections.heads import FragmentProjection, Heads

CARGO, NPM = "cargo", "npm"
WRITTEN_TOGETHER = 1_000
"""Documents, each of about 1 KB: a rebuild writes all of them in one flush."""


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a search answer says of one version. by: who published it."""

    version: str
    date: str
    by: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    license: str = ""
    homepage: str = ""
    repository: str = ""
    author: str = ""


class SearchHead(msgspec.Struct):
    """A crate or package. shown: the version that stands for it, empty when none is visible."""

    id: int
    name: str
    owners: list[str]
    shown: str = ""


class _CrateTexts(msgspec.Struct, gc=False):
    """What search shows of a crate's manifest; texts that are not there are left out of it."""

    description: str = ""
    keywords: tuple[str, ...] = ()
    license: str = ""
    homepage: str = ""
    repository: str = ""


class _NpmTexts(msgspec.Struct, gc=False):
    """What search shows of a version object."""

    description: str = ""
    keywords: tuple[str, ...] = ()


_crate_texts = msgspec.json.Decoder(_CrateTexts).decode
_npm_texts = msgspec.json.Decoder(_NpmTexts).decode
_encode = msgspec.json.Encoder().encode

_FoundRow = tuple[int, str, str, str, str, bool, str, bytes, bytes]
_WordsRow = tuple[int, str, str, str]
_decode_summary = msgspec.json.Decoder(Summary).decode


_NEWEST = (
    "INSERT INTO newest VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = max(at, excluded.at)"
)


def fold_name(name: str) -> str:
    """Return a name as it is compared: in lower case, `_` as `-`."""
    return name.lower().replace("_", "-")


class Search(FragmentProjection[SearchHead]):
    """Folds both ecosystems into searchable documents."""

    name = SEARCH
    schema = 2
    renderer = 1
    tables = """
        CREATE TABLE packages (name TEXT PRIMARY KEY, head BLOB NOT NULL);
        CREATE TABLE versions (position INTEGER PRIMARY KEY, key TEXT NOT NULL,
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
    indexes = "CREATE UNIQUE INDEX versions_by_key ON versions (key, version)"

    def __init__(self) -> None:
        super().__init__(
            Heads("packages", SearchHead), "INSERT INTO versions VALUES (?, ?, ?, 0, ?)"
        )
        self._touched: dict[str, int] = {}
        self._registered: list[tuple[int, str]] = []
        self._unshown: dict[str, None] = {}
        self._newest = ""

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        for recorded in page:
            event = recorded.event
            match event:
                case CrateVersionPublished():
                    self._publish_crate(db, recorded.position, event)
                case NpmVersionPublished():
                    row = (recorded.position, f"npm:{event.name}", event.version)
                    self._published.append((*row, _encode(_npm_summary(event))))
                case NpmDistTagSet(name=name, dist_tag=tag, version=version):
                    if tag == LATEST:
                        self._head(db, f"npm:{name}").shown = version
                case CrateRegistered(name=name, owner=owner):
                    self._register(f"cargo:{name}", SearchHead(recorded.position, name, [owner]))
                case NpmRegistered(name=name, owner=owner):
                    self._register(f"npm:{name}", SearchHead(recorded.position, name, [owner]))
                case _:
                    self._change(db, event)
        self._insert_published(db)
        self._newest = max(self._newest, max(recorded.event.at for recorded in page))

    def _register(self, key: str, head: SearchHead) -> None:
        self._heads.add(key, head)
        self._registered.append((head.id, fold_name(head.name)))

    def _head(self, db: sqlite3.Connection, key: str) -> SearchHead:
        head = self._heads.get(db, key)
        assert head is not None, key
        self._touched[key] = head.id
        return head

    def _publish_crate(
        self, db: sqlite3.Connection, position: int, event: CrateVersionPublished
    ) -> None:
        key = f"cargo:{event.name}"
        self._published.append((position, key, event.version, _encode(_crate_summary(event))))
        head = self._head(db, key)
        head.shown = highest([event.version, head.shown]) if head.shown else event.version

    def _set_yanked(
        self, db: sqlite3.Connection, event: CrateVersionYanked | CrateVersionUnyanked
    ) -> None:
        key = f"cargo:{event.name}"
        self._later(_set_hidden, key, event.version, isinstance(event, CrateVersionYanked))
        head = self._head(db, key)
        if isinstance(event, CrateVersionUnyanked):
            head.shown = highest([event.version, head.shown]) if head.shown else event.version
        elif head.shown == event.version:
            self._unshown[key] = None

    def _change(self, db: sqlite3.Connection, event: Event) -> None:
        match event:
            case CrateVersionYanked() | CrateVersionUnyanked():
                self._set_yanked(db, event)
            case NpmUnpublished(name=name):
                self._head(db, f"npm:{name}").shown = ""
            case CrateOwnerAdded(name=name, owner=owner):
                self._head(db, f"cargo:{name}").owners.append(owner)
            case NpmOwnerAdded(name=name, owner=owner):
                self._head(db, f"npm:{name}").owners.append(owner)
            case CrateOwnerRemoved(name=name, owner=owner):
                self._head(db, f"cargo:{name}").owners.remove(owner)
            case NpmOwnerRemoved(name=name, owner=owner):
                self._head(db, f"npm:{name}").owners.remove(owner)
            case DownloadsCounted(counts=counts):
                _count_downloads(db, counts)
            case _:
                pass

    def _change_rows(self, db: sqlite3.Connection) -> None:
        super()._change_rows(db)
        for key in self._unshown:
            rows = db.execute("SELECT version FROM versions WHERE key = ? AND NOT hidden", (key,))
            visible = [row[0] for row in rows]
            self._head(db, key).shown = highest(visible) if visible else ""
        self._unshown.clear()

    def flush(self, db: sqlite3.Connection) -> None:
        """Write the changed documents."""
        self._change_rows(db)
        new = {row for row, _ in self._registered}
        ids = sorted(set(self._touched.values()) - new)
        db.executemany("DELETE FROM words WHERE rowid = ?", zip(ids))
        db.executemany("DELETE FROM found WHERE id = ?", zip(ids))
        # FTS5 writes out what it gathered when ids go back.
        keys = iter(sorted(self._touched, key=self._touched.__getitem__))
        while some := list(islice(keys, WRITTEN_TOGETHER)):
            self._show(db, some)
        db.executemany("INSERT INTO names (rowid, folded) VALUES (?, ?)", self._registered)
        if self._newest:
            db.execute(_NEWEST, (self._newest,))
        self._registered.clear()
        self._touched.clear()
        super().flush(db)

    def _show(self, db: sqlite3.Connection, keys: Sequence[str]) -> None:
        heads = [(key, self._heads.look(db, key)) for key in keys]
        shown = [_shown(db, key, head) for key, head in heads if head.shown]
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
        self._touched.clear()
        self._registered.clear()
        self._unshown.clear()
        self._newest = ""

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


def _set_hidden(db: sqlite3.Connection, key: str, version: str, hidden: bool) -> None:
    statement = "UPDATE versions SET hidden = ? WHERE key = ? AND version = ?"
    db.execute(statement, (hidden, key, version))


def _count_downloads(db: sqlite3.Connection, counts: Mapping[str, int]) -> None:
    for key, count in counts.items():
        row = db.execute("SELECT total FROM downloads WHERE key = ?", (key,)).fetchone()
        total = count + (row[0] if row else 0)
        values = (key, total, math.log2(1 + total))
        db.execute("INSERT OR REPLACE INTO downloads VALUES (?, ?, ?)", values)


def _shown(db: sqlite3.Connection, key: str, head: SearchHead) -> tuple[_FoundRow, _WordsRow]:
    """Return a document's rows, from the version that stands for it."""
    (packed,) = db.execute(
        "SELECT summary FROM versions WHERE key = ? AND version = ?", (key, head.shown)
    ).fetchone()
    summary = _decode_summary(packed)
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


def _crate_summary(event: CrateVersionPublished) -> Summary:
    texts = _crate_texts(event.manifest)
    return Summary(
        version=event.version,
        date=event.published_at or event.at,
        by=event.by,
        description=texts.description,
        keywords=texts.keywords,
        license=texts.license,
        homepage=texts.homepage,
        repository=texts.repository,
    )


def _npm_summary(event: NpmVersionPublished) -> Summary:
    texts = _npm_texts(event.manifest)
    return Summary(
        version=event.version,
        date=event.published_at or event.at,
        by=event.by,
        description=texts.description,
        keywords=texts.keywords,
    )
