"""What is read from the tables of `Packuments`: both forms, versions, tarballs, stars and keys."""

import sqlite3
from typing import Any

import msgspec

from packledger.domain.npm.package import LATEST
from packledger.domain.npm.versions import npm_version_key
from packledger.eventstore.blobs.store import BlobStore
from packledger.projections.packuments.form import (
    PackumentHead,
    VersionRow,
    assemble_abbreviated,
    assemble_full,
    version_object,
)

_decode_head = msgspec.json.Decoder(PackumentHead).decode


class Tarball(msgspec.Struct, frozen=True):
    """Where a version's bytes are. digest: SHA-256 hex; purged: why they are gone, else empty."""

    digest: str
    size_bytes: int
    purged: str


class PublicKey(msgspec.Struct, frozen=True):
    """A key for npm signatures: base64 of its DER; expires: RFC 3339, None while it signs."""

    keyid: str
    key: str
    expires: str | None


def signing_keys_of(db: sqlite3.Connection) -> list[PublicKey]:
    """Return every key that versions are signed with, the oldest first."""
    rows = db.execute("SELECT keyid, public_key, expires FROM signing_keys ORDER BY rowid")
    return [PublicKey(*row) for row in rows]


def public_url_of(db: sqlite3.Connection) -> str:
    """Return the public URL that documents carry, as of the checkpoint."""
    row = db.execute("SELECT public_url FROM configuration").fetchone()
    return row[0] if row else ""


def head_of(db: sqlite3.Connection, name: str) -> PackumentHead | None:
    """Return a package's head."""
    row = db.execute("SELECT head FROM packages WHERE name = ?", (name,)).fetchone()
    return _decode_head(row[0]) if row else None


def revision_of(db: sqlite3.Connection, name: str) -> tuple[int, int] | None:
    """Return what changes with a package's documents, None if there is no such package."""
    row: tuple[int, int] | None = db.execute(
        "SELECT head ->> 'revision', (SELECT position FROM configuration) FROM packages"
        " WHERE name = ?",
        (name,),
    ).fetchone()
    return row


def _version_rows(db: sqlite3.Connection, name: str, form: str) -> list[VersionRow]:
    return db.execute(
        f"SELECT version, published_at, {form}, deprecated FROM versions"  # noqa: S608 - constant
        " WHERE name = ? ORDER BY position",
        (name,),
    ).fetchall()


def abbreviated_of(db: sqlite3.Connection, name: str) -> bytes | None:
    """Return the abbreviated packument, None if the package was never published."""
    head = head_of(db, name)
    if head is None:
        return None
    return assemble_abbreviated(head, _version_rows(db, name, "abbreviated"), public_url_of(db))


def full_of(db: sqlite3.Connection, name: str, blobs: BlobStore | None) -> bytes | None:
    """Return the full packument, None if the package was never published.

    Without a blob store the README's digest stands for its text.

    Raises:
        MissingBlob: the README's blob was lost.
    """
    head = head_of(db, name)
    if head is None:
        return None
    rows = _version_rows(db, name, "full_form")
    latest, readme = None, ("", "")
    shown = head.dist_tags.get(LATEST)
    if shown is not None:
        latest = version_of(db, name, shown)
        readme = _readme_of(db, name, shown, blobs)
    return assemble_full(head, rows, latest, readme, public_url_of(db))


def _readme_of(
    db: sqlite3.Connection, name: str, version: str, blobs: BlobStore | None
) -> tuple[str, str]:
    digest, filename = db.execute(
        "SELECT readme, readme_filename FROM versions WHERE name = ? AND version = ?",
        (name, version),
    ).fetchone()
    if not digest or blobs is None:
        return digest, filename
    with blobs.open(digest) as file:
        return file.read().decode(errors="replace"), filename


def version_of(db: sqlite3.Connection, name: str, version: str) -> bytes | None:
    """Return one version object, None if it is not there or was unpublished.

    version: any text that npm cleans to the version.
    """
    row = _one_version(
        db,
        "SELECT version, published_at, full_form, deprecated FROM versions"
        " WHERE name = ? AND version = ?",
        name,
        version,
    )
    return version_object(name, row, public_url_of(db)) if row and row[2] else None


def tarball_of(db: sqlite3.Connection, name: str, version: str) -> Tarball | None:
    """Return where a version's tarball is, None if it is not there or was only unpublished.

    version: any text that npm cleans to the version.
    """
    row = _one_version(
        db,
        "SELECT tarball, size_bytes, purged FROM versions"
        " WHERE name = ? AND version = ? AND (full_form <> x'' OR purged <> '')",
        name,
        version,
    )
    return Tarball(*row) if row else None


def _one_version(db: sqlite3.Connection, query: str, name: str, version: str) -> Any:
    """Return the row of a version by its exact text, else by npm's form of it."""
    row = db.execute(query, (name, version)).fetchone()
    if row is None and (key := npm_version_key(version)) != version:
        row = db.execute(query, (name, key)).fetchone()
    return row


def starred_by(db: sqlite3.Connection, account: str) -> list[str]:
    """Return the packages that carry an account's star, by name."""
    rows = db.execute("SELECT name FROM stars WHERE account = ? ORDER BY name", (account,))
    return [name for (name,) in rows]
