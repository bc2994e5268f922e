"""What pages ask the `pages` read model."""

import sqlite3
from collections.abc import Iterable

import msgspec

from packledger.domain.ecosystems import NPM
from packledger.domain.npm.package import LATEST, highest
from packledger.projections.pages.fold import LISTED, UNPUBLISHED, PageHead

_decode_head = msgspec.json.Decoder(PageHead).decode


class Totals(msgspec.Struct, frozen=True):
    """How many packages, and listed versions of them, an ecosystem has."""

    packages: int
    versions: int


class Newest(msgspec.Struct, frozen=True):
    """A version that was published lately. published_at: RFC 3339."""

    ecosystem: str
    name: str
    version: str
    published_at: str
    published_by: str
    description: str


class VersionLine(msgspec.Struct, frozen=True):
    """One version in a list of them.

    state: `LISTED`, `YANKED` or `UNPUBLISHED`; purged: why its bytes are gone, else empty.
    """

    version: str
    published_at: str
    published_by: str
    size_bytes: int
    state: int
    deprecated: str
    purged: str


class VersionPage(msgspec.Struct, frozen=True):
    """One version whole. readme: blob or empty; details: JSON as `page_details` picks it."""

    line: VersionLine
    readme: str
    details: bytes


def totals_of(db: sqlite3.Connection) -> dict[str, Totals]:
    """Return the totals of each ecosystem."""
    rows = db.execute("SELECT ecosystem, packages, versions FROM totals")
    return {ecosystem: Totals(packages, versions) for ecosystem, packages, versions in rows}


def newest(db: sqlite3.Connection, limit: int) -> list[Newest]:
    """Return what was published last, newest first; neither yanked nor unpublished versions."""
    rows = db.execute(
        "SELECT key, head ->> 'name', version, published_at, published_by,"
        " details ->> 'description' FROM versions JOIN packages ON packages.name = versions.key"
        " WHERE state = ? ORDER BY position DESC LIMIT ?",
        (LISTED, limit),
    )
    return [
        Newest(key.partition(":")[0], name, version, at, by, description or "")
        for key, name, version, at, by, description in rows
    ]


def package_of(db: sqlite3.Connection, ecosystem: str, name: str) -> PageHead | None:
    """Return a crate, by any case of its name, or an npm package."""
    row = db.execute(
        "SELECT head FROM packages WHERE name = ?", (_key(ecosystem, name),)
    ).fetchone()
    return _decode_head(row[0]) if row else None


def versions_of(db: sqlite3.Connection, ecosystem: str, name: str) -> list[VersionLine]:
    """Return every version, newest first by the order of publishing."""
    rows = db.execute(f"{_SELECT_LINE} ORDER BY position DESC", (_key(ecosystem, name),))
    return [VersionLine(*row) for row in rows]


def version_of(
    db: sqlite3.Connection, ecosystem: str, name: str, version: str
) -> VersionPage | None:
    """Return one version, None if it is not there or was unpublished."""
    row = db.execute(
        f"SELECT {_LINE}, readme, details FROM versions"  # noqa: S608 - our own constant
        " WHERE key = ? AND version = ? AND state <> ?",
        (_key(ecosystem, name), version, UNPUBLISHED),
    ).fetchone()
    return VersionPage(VersionLine(*row[:-2]), row[-2], row[-1]) if row else None


def shown_version(head: PageHead, lines: list[VersionLine]) -> str:
    """Return the version that stands for a package, empty when all were unpublished.

    npm's is what `latest` names; a crate's its highest release that is not yanked, else its
    highest.
    """
    if LATEST in head.dist_tags:
        return head.dist_tags[LATEST]
    listed = [line.version for line in lines if line.state == LISTED]
    there = listed or [line.version for line in lines if line.state != UNPUBLISHED]
    return highest(there) if there else ""


def which_exist(db: sqlite3.Connection, ecosystem: str, names: Iterable[str]) -> dict[str, str]:
    """Return those of the names that have a page here, as they were given → as published."""
    keys = {name: _key(ecosystem, name) for name in names}
    listed = msgspec.json.encode([*keys.values()]).decode()
    rows = db.execute(
        "SELECT name, head ->> 'name' FROM packages WHERE name IN (SELECT value FROM json_each(?))"
        " AND (? <> 'npm' OR head ->> 'dist_tags' <> '{}')",  # wholly unpublished: no tag is left
        (listed, ecosystem),
    )
    found = dict(rows)
    return {name: found[key] for name, key in keys.items() if key in found}


def _key(ecosystem: str, name: str) -> str:
    return f"{ecosystem}:{name if ecosystem == NPM else name.lower()}"


_LINE = "version, published_at, published_by, size_bytes, state, deprecated, purged"
_SELECT_LINE = f"SELECT {_LINE} FROM versions WHERE key = ?"  # noqa: S608 - our own constant
