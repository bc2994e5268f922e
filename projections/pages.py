"""What people read about crates and packages: one row per version, for both ecosystems.

A publish writes one row, however many versions there are; owners and dist-tags are in the head.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from packledger.domain.events import (
    BlobPurged,
    CrateOwnerAdded,
    CrateOwnerRemoved,
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
    Event,
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
from packledger.feeds.feed import Recorded
from packledger.projections.board import PAGES
from packledger.projections.heads import FragmentProjection, Heads
from packledger.projections.page_details import crate_details, npm_details

CARGO, NPM = "cargo", "npm"
LISTED, YANKED, UNPUBLISHED = 0, 1, 2
_encode = msgspec.json.Encoder().encode

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
    schema = 2
    renderer = 1
    tables = """
        CREATE TABLE packages (name TEXT PRIMARY KEY, head BLOB NOT NULL);
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

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        for recorded in page:
            event = recorded.event
            match event:
                case CrateVersionPublished():
                    self._published.append(_crate_row(recorded.position, event))
                    self._totals[CARGO][1] += 1
                case NpmVersionPublished():
                    self._published.append(_npm_row(recorded.position, event))
                    self._totals[NPM][1] += 1
                case NpmDistTagSet():
                    self._set_tag(db, event)
                case CrateRegistered(name=name, owner=owner, at=at):
                    self._heads.add(f"cargo:{name.lower()}", PageHead(name, at, [owner]))
                    self._totals[CARGO][0] += 1
                case NpmRegistered(name=name, owner=owner, at=at):
                    self._heads.add(f"npm:{name}", PageHead(name, at, [owner]))
                case _:
                    self._change(db, event, recorded.position)
        self._insert_published(db)

    def _head(self, db: sqlite3.Connection, key: str) -> PageHead:
        head = self._heads.get(db, key)
        assert head is not None, key
        return head

    def _set_tag(self, db: sqlite3.Connection, event: NpmDistTagSet) -> None:
        """Point a tag; a package is counted while it has any, since a listed one has `latest`."""
        tags = self._head(db, f"npm:{event.name}").dist_tags
        self._totals[NPM][0] += not tags
        tags[event.dist_tag] = event.version

    def _remove_tags(self, db: sqlite3.Connection, name: str, *removed: str) -> None:
        """Remove one tag, or all of them without a name."""
        tags = self._head(db, f"npm:{name}").dist_tags
        counted = bool(tags)
        for tag in removed or [*tags]:
            tags.pop(tag)
        self._totals[NPM][0] -= counted and not tags

    def _change(self, db: sqlite3.Connection, event: Event, position: int) -> None:
        match event:
            case NpmDistTagRemoved(name=name, dist_tag=tag):
                self._remove_tags(db, name, tag)
            case CrateOwnerAdded(name=name, owner=owner):
                self._head(db, f"cargo:{name.lower()}").owners.append(owner)
            case NpmOwnerAdded(name=name, owner=owner):
                self._head(db, f"npm:{name}").owners.append(owner)
            case CrateOwnerRemoved(name=name, owner=owner):
                self._head(db, f"cargo:{name.lower()}").owners.remove(owner)
            case NpmOwnerRemoved(name=name, owner=owner):
                self._head(db, f"npm:{name}").owners.remove(owner)
            case _:
                self._change_versions(db, event, position)

    def _change_versions(self, db: sqlite3.Connection, event: Event, position: int) -> None:
        match event:
            case CrateVersionYanked() | CrateVersionUnyanked():
                self._later(_set_state, event)
            case NpmVersionDeprecated(name=name, version=version, message=message):
                self._later(_deprecate, name, version, message)
            case NpmVersionUndeprecated(name=name, version=version):
                self._later(_deprecate, name, version, "")
            case NpmVersionUnpublished(name=name, version=version):
                self._later(self._unpublish, name, "version = ?", version)
            case BlobPurged(ecosystem=ecosystem, name=name, version=version, reason=reason):
                key = f"{ecosystem}:{name if ecosystem == NPM else name.lower()}"
                self._later(_purge, key, version, reason)
            case NpmUnpublished(name=name):
                self._remove_tags(db, name)
                self._later(self._unpublish, name, "position < ?", position)
            case _:
                pass

    def _unpublish(self, db: sqlite3.Connection, name: str, which: str, value: str | int) -> None:
        values = (UNPUBLISHED, f"npm:{name}", UNPUBLISHED, value)
        self._totals[NPM][1] -= db.execute(_UNPUBLISH + which, values).rowcount

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


def _deprecate(db: sqlite3.Connection, name: str, version: str, message: str) -> None:
    statement = "UPDATE versions SET deprecated = ? WHERE key = ? AND version = ?"
    db.execute(statement, (message, f"npm:{name}", version))


def _purge(db: sqlite3.Connection, key: str, version: str, reason: str) -> None:
    statement = "UPDATE versions SET purged = ?, readme = '' WHERE key = ? AND version = ?"
    db.execute(statement, (reason, key, version))


def _no_totals() -> dict[str, list[int]]:
    """Return how many packages and versions came, by ecosystem: none yet."""
    return {CARGO: [0, 0], NPM: [0, 0]}


def _crate_row(position: int, event: CrateVersionPublished) -> Row:
    return (
        position,
        f"cargo:{event.name.lower()}",
        event.version,
        event.published_at or event.at,
        event.by,
        event.size_bytes,
        event.readme,
        LISTED,
        "",
        crate_details(event.manifest),
    )


def _npm_row(position: int, event: NpmVersionPublished) -> Row:
    return (
        position,
        f"npm:{event.name}",
        event.version,
        event.published_at or event.at,
        event.by,
        event.size_bytes,
        event.readme,
        LISTED,
        "",
        npm_details(event.manifest),
    )


def _set_state(db: sqlite3.Connection, event: CrateVersionYanked | CrateVersionUnyanked) -> None:
    state = YANKED if isinstance(event, CrateVersionYanked) else LISTED
    statement = "UPDATE versions SET state = ? WHERE key = ? AND version = ?"
    db.execute(statement, (state, f"cargo:{event.name.lower()}", event.version))
