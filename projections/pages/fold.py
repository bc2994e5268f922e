"""What people read about crates and packages: one row per version, for both ecosystems.

A publish writes one row, however many versions there are; owners and dist-tags are in the head.
"""

import sqlite3
from collections.abc import Iterator
from sys import intern
from typing import Any, ClassVar

import msgspec

from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import (
    CrateOwnerAdded,
    CrateOwnerRemoved,
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
)
from packledger.domain.events.npm import (
    NpmDistTagRemoved,
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmOwnerRemoved,
    NpmRegistered,
    NpmUnpublished,
    NpmVersionDeprecated,
    NpmVersionPublished,
    NpmVersionUndeprecated,
    NpmVersionUnpublished,
)
from packledger.domain.streams import PACKAGES, stream_of
from packledger.projections.heads import Folds, FragmentProjection, Heads
from packledger.projections.pages.form import crate_details, npm_details

LISTED, YANKED, UNPUBLISHED = 0, 1, 2
_encode = msgspec.json.Encoder().encode

PAGES = "pages"
Row = tuple[int, str, str, str, str, int, str, int, str, bytes]


class PageHead(msgspec.Struct):
    """What changes about a crate or package. created: RFC 3339."""

    name: str
    created: str
    owners: list[str]
    dist_tags: dict[str, str] = {}


class Pages(FragmentProjection[PageHead]):
    """Folds both ecosystems into rows for people."""

    name = PAGES
    schema = 3
    renderer = 1
    tables = """
        CREATE TABLE packages (name TEXT PRIMARY KEY, head BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE versions (position INTEGER PRIMARY KEY, key TEXT NOT NULL,
            version TEXT NOT NULL, published_at TEXT NOT NULL, published_by TEXT NOT NULL,
            size_bytes INTEGER NOT NULL, readme TEXT NOT NULL, state INTEGER NOT NULL,
            deprecated TEXT NOT NULL, details BLOB NOT NULL, purged TEXT NOT NULL);
        CREATE TABLE totals (ecosystem TEXT PRIMARY KEY, packages INTEGER NOT NULL,
            versions INTEGER NOT NULL);
        INSERT INTO totals VALUES ('cargo', 0, 0), ('npm', 0, 0)
    """
    indexes = "CREATE UNIQUE INDEX versions_by_key ON versions (key, version)"

    def __init__(self) -> None:
        super().__init__(
            Heads("packages", PageHead),
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
        )
        self._totals = _no_totals()

    def _register_crate(
        self, db: sqlite3.Connection, position: int, event: CrateRegistered
    ) -> None:
        self._heads.add(_key_of(event), PageHead(event.name, event.at, [intern(event.owner)]))
        self._totals[CARGO][0] += 1

    def _register_npm(self, db: sqlite3.Connection, position: int, event: NpmRegistered) -> None:
        self._heads.add(_key_of(event), PageHead(event.name, event.at, [intern(event.owner)]))

    def _publish_crate(
        self, db: sqlite3.Connection, position: int, event: CrateVersionPublished
    ) -> None:
        self._published.append(_row(position, event, crate_details(event.manifest)))
        self._totals[CARGO][1] += 1

    def _publish_npm(
        self, db: sqlite3.Connection, position: int, event: NpmVersionPublished
    ) -> None:
        self._published.append(_row(position, event, npm_details(event.manifest)))
        self._totals[NPM][1] += 1

    def _set_tag(self, db: sqlite3.Connection, position: int, event: NpmDistTagSet) -> None:
        """Point a tag; a package is counted while it has any, since a listed one has `latest`."""
        tags = self._head(db, _key_of(event)).dist_tags
        self._totals[NPM][0] += not tags
        tags[intern(event.dist_tag)] = intern(event.version)

    def _remove_tag(self, db: sqlite3.Connection, position: int, event: NpmDistTagRemoved) -> None:
        tags = self._head(db, _key_of(event)).dist_tags
        tags.pop(event.dist_tag)
        self._totals[NPM][0] -= not tags

    def _add_owner(
        self, db: sqlite3.Connection, position: int, event: CrateOwnerAdded | NpmOwnerAdded
    ) -> None:
        self._head(db, _key_of(event)).owners.append(intern(event.owner))

    def _remove_owner(
        self, db: sqlite3.Connection, position: int, event: CrateOwnerRemoved | NpmOwnerRemoved
    ) -> None:
        self._head(db, _key_of(event)).owners.remove(event.owner)

    def _yank(self, db: sqlite3.Connection, position: int, event: CrateVersionYanked) -> None:
        self._later(_set_state, _key_of(event), event.version, YANKED)

    def _unyank(self, db: sqlite3.Connection, position: int, event: CrateVersionUnyanked) -> None:
        self._later(_set_state, _key_of(event), event.version, LISTED)

    def _deprecate(
        self, db: sqlite3.Connection, position: int, event: NpmVersionDeprecated
    ) -> None:
        self._later(_set_deprecated, _key_of(event), event.version, event.message)

    def _undeprecate(
        self, db: sqlite3.Connection, position: int, event: NpmVersionUndeprecated
    ) -> None:
        self._later(_set_deprecated, _key_of(event), event.version, "")

    def _purge(self, db: sqlite3.Connection, position: int, event: BlobPurged) -> None:
        self._later(_set_purged, _key_of(event), event.version, event.reason)

    def _unpublish_version(
        self, db: sqlite3.Connection, position: int, event: NpmVersionUnpublished
    ) -> None:
        self._later(self._empty, _key_of(event), "version = ?", event.version)

    def _unpublish(self, db: sqlite3.Connection, position: int, event: NpmUnpublished) -> None:
        tags = self._head(db, _key_of(event)).dist_tags
        self._totals[NPM][0] -= bool(tags)
        tags.clear()
        self._later(self._empty, _key_of(event), "position < ?", position)

    def _empty(self, db: sqlite3.Connection, key: str, which: str, value: str | int) -> None:
        values = (UNPUBLISHED, key, UNPUBLISHED, value)
        self._totals[NPM][1] -= db.execute(_UNPUBLISH + which, values).rowcount

    _folds: ClassVar[Folds] = {
        CrateRegistered: _register_crate,
        CrateVersionPublished: _publish_crate,
        CrateVersionYanked: _yank,
        CrateVersionUnyanked: _unyank,
        CrateOwnerAdded: _add_owner,
        CrateOwnerRemoved: _remove_owner,
        NpmRegistered: _register_npm,
        NpmVersionPublished: _publish_npm,
        NpmVersionDeprecated: _deprecate,
        NpmVersionUndeprecated: _undeprecate,
        NpmVersionUnpublished: _unpublish_version,
        NpmUnpublished: _unpublish,
        NpmDistTagSet: _set_tag,
        NpmDistTagRemoved: _remove_tag,
        NpmOwnerAdded: _add_owner,
        NpmOwnerRemoved: _remove_owner,
        BlobPurged: _purge,
    }
    concerns = frozenset(_folds)

    def flush(self, db: sqlite3.Connection) -> None:
        """Write what was kept."""
        super().flush(db)
        statement = (
            "UPDATE totals SET packages = packages + ?, versions = versions + ? WHERE ecosystem = ?"
        )
        db.executemany(statement, [(*more, key) for key, more in self._totals.items()])
        self._totals = _no_totals()

    def forget(self) -> None:
        """Drop what was kept and cached."""
        super().forget()
        self._totals = _no_totals()

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield every head with its versions, then the totals."""
        for key, head in db.execute("SELECT name, head FROM packages ORDER BY name"):
            rows = db.execute("SELECT * FROM versions WHERE key = ? ORDER BY position", (key,))
            yield key, head + _encode(rows.fetchall())
        totals = db.execute("SELECT * FROM totals ORDER BY ecosystem").fetchall()
        yield "totals", repr(totals).encode()


_UNPUBLISH = (
    "UPDATE versions SET state = ?, deprecated = '', readme = '', details = x'7b7d'"
    " WHERE key = ? AND state <> ? AND "
)


def _set_deprecated(db: sqlite3.Connection, key: str, version: str, message: str) -> None:
    statement = "UPDATE versions SET deprecated = ? WHERE key = ? AND version = ?"
    db.execute(statement, (message, key, version))


def _set_purged(db: sqlite3.Connection, key: str, version: str, reason: str) -> None:
    statement = "UPDATE versions SET purged = ?, readme = '' WHERE key = ? AND version = ?"
    db.execute(statement, (reason, key, version))


def _set_state(db: sqlite3.Connection, key: str, version: str, state: int) -> None:
    statement = "UPDATE versions SET state = ? WHERE key = ? AND version = ?"
    db.execute(statement, (state, key, version))


def _key_of(event: Any) -> str:
    """Return the key of an event's package, or of its crate, whatever the case of its letters."""
    if stream_of(event) is PACKAGES:
        return f"{NPM}:{event.name}"
    return f"{CARGO}:{event.name.lower()}"


def _no_totals() -> dict[str, list[int]]:
    """Return how many packages and versions came, by ecosystem: none yet."""
    return {CARGO: [0, 0], NPM: [0, 0]}


def _row(position: int, event: CrateVersionPublished | NpmVersionPublished, details: bytes) -> Row:
    return (
        position,
        _key_of(event),
        event.version,
        event.published_at or event.at,
        event.by,
        event.size_bytes,
        event.readme,
        LISTED,
        "",
        details,
    )
