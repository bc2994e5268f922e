"""Packuments: per npm package a head, and a fragment of each form for every version.

A publish writes one row, however many versions there are; a document is put together when it is
read. The public URL is part of every document, so it is folded from the log like the rest.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from sys import intern

import msgspec

from packledger.domain.ecosystems import NPM
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.event import Event
from packledger.domain.events.npm import (
    NpmDistTagRemoved,
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmOwnerRemoved,
    NpmRegistered,
    NpmSignature,
    NpmStarred,
    NpmUnpublished,
    NpmUnstarred,
    NpmVersionDeprecated,
    NpmVersionPublished,
    NpmVersionSigned,
    NpmVersionUndeprecated,
    NpmVersionUnpublished,
)
from packledger.domain.events.registry import RegistryConfigured, SigningKeyAdded, SigningKeyRetired
from packledger.domain.npm.package import LATEST
from packledger.domain.streams import PACKAGES
from packledger.feeds.feed import Recorded
from packledger.projections.heads import FragmentProjection, Heads
from packledger.projections.packuments.form import (
    PackumentHead,
    assemble_abbreviated,
    assemble_full,
    fragments,
    signed,
    version_object,
)
from packledger.projections.packuments.reads import public_url_of, signing_keys_of

PACKUMENTS = "packuments"
_OF_NPM = PACKAGES.events - {NpmRegistered, BlobPurged}
"""What moves a package's revision; `NpmRegistered` begins it. `isinstance` costs ten times as much
where the answer is no."""
_OF_THE_REGISTRY: frozenset[type[Event]] = frozenset(
    {RegistryConfigured, SigningKeyAdded, SigningKeyRetired}
)
_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(PackumentHead).decode


def package_changed_by(event: Event) -> str | None:
    """Return the name of the package whose revision an event moves, None if it is no such event."""
    if type(event) in _OF_NPM or (type(event) is BlobPurged and event.ecosystem == NPM):
        return event.name  # type: ignore[attr-defined,no-any-return]
    return None


class Packuments(FragmentProjection[PackumentHead]):
    """Folds npm packages into heads and fragments."""

    name = PACKUMENTS
    schema = 5
    renderer = 3
    tables = """
        CREATE TABLE packages (name TEXT PRIMARY KEY, head BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE versions (position INTEGER PRIMARY KEY, name TEXT NOT NULL,
            version TEXT NOT NULL, published_at TEXT NOT NULL, deprecated TEXT NOT NULL,
            tarball TEXT NOT NULL, size_bytes INTEGER NOT NULL, readme TEXT NOT NULL,
            readme_filename TEXT NOT NULL, full_form BLOB NOT NULL, abbreviated BLOB NOT NULL,
            purged TEXT NOT NULL);
        CREATE TABLE configuration (id INTEGER PRIMARY KEY, public_url TEXT NOT NULL,
            position INTEGER NOT NULL);
        CREATE TABLE stars (account TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account, name))
            WITHOUT ROWID;
        CREATE TABLE signing_keys (keyid TEXT PRIMARY KEY, public_key TEXT NOT NULL, expires TEXT)
    """
    indexes = "CREATE UNIQUE INDEX versions_by_name ON versions (name, version)"
    concerns: frozenset[type[Event]] = frozenset({*PACKAGES.events, *_OF_THE_REGISTRY, BlobPurged})

    def __init__(self) -> None:
        super().__init__(
            Heads("packages", PackumentHead),
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
        )

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        for recorded in page:
            event = recorded.event
            if (name := package_changed_by(event)) is not None:
                head = self._head(db, name)
                head.revision, head.modified = recorded.version, event.at
                self._fold(head, event, recorded.position)
            elif type(event) is NpmRegistered:
                owners = [intern(event.owner)]
                head = PackumentHead(event.name, 1, event.at, event.at, {}, owners)
                self._heads.add(event.name, head)
            elif type(event) in _OF_THE_REGISTRY:
                _configure(db, event, recorded.position)
        self._insert_published(db)

    def _fold(self, head: PackumentHead, event: Event, position: int) -> None:
        match event:
            case NpmVersionPublished():
                head.unpublished_at = head.unpublished_by = ""
                self._published.append(_row(position, event))
            case NpmDistTagSet(dist_tag=tag, version=version):
                head.dist_tags[intern(tag)] = intern(version)
            case NpmVersionDeprecated(version=version, message=message):
                self._later(_deprecate, head.name, version, message)
            case NpmVersionUndeprecated(version=version):
                self._later(_deprecate, head.name, version, "")
            case NpmVersionSigned(version=version, signature=signature):
                self._later(_sign, head.name, version, signature.keyid, signature.sig)
            case NpmVersionUnpublished(version=version):
                self._later(_empty, head.name, "version = ?", version)
            case BlobPurged(version=version, reason=reason):
                self._later(set_purged, head.name, version, reason)
            case _:
                self._change_head(head, event, position)

    def _change_head(self, head: PackumentHead, event: Event, position: int) -> None:
        match event:
            case NpmDistTagRemoved(dist_tag=tag):
                head.dist_tags.pop(tag)
            case NpmOwnerAdded(owner=owner):
                head.maintainers.append(intern(owner))
            case NpmOwnerRemoved(owner=owner):
                head.maintainers.remove(owner)
            case NpmStarred(by=account):
                head.stars.append(intern(account))
                self._later(_star, account, head.name)
            case NpmUnstarred(by=account):
                head.stars.remove(account)
                self._later(_unstar, account, head.name)
            case NpmUnpublished(at=at, by=by):
                head.dist_tags.clear()
                head.unpublished_at, head.unpublished_by = at, by
                self._later(_empty, head.name, "position < ?", position)

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield both forms of every packument, READMEs by their digest, and where tarballs are."""
        public_url = public_url_of(db)
        for name, packed in db.execute("SELECT name, head FROM packages ORDER BY name"):
            head = _decode_head(packed)
            rows = db.execute(_SELECT_ALL_OF_VERSIONS, (name,)).fetchall()
            short = [(row[0], row[1], row[3], row[4]) for row in rows]
            yield f"{name} 1 abbreviated", assemble_abbreviated(head, short, public_url)
            full = [(row[0], row[1], row[2], row[4]) for row in rows]
            shown = head.dist_tags.get(LATEST)
            at = next((at for at, row in enumerate(rows) if row[0] == shown), None)
            latest = None if at is None else version_object(name, full[at], public_url)
            readme = ("", "") if at is None else rows[at][7:9]
            yield f"{name} 2 full", assemble_full(head, full, latest, readme, public_url)
            tarballs = [(row[0], row[5], row[6], row[7], row[9]) for row in rows]
            yield f"{name} 3 tarballs", _encode(tarballs)
        yield "~ signing keys", _encode(signing_keys_of(db))


_SELECT_ALL_OF_VERSIONS = (
    "SELECT version, published_at, full_form, abbreviated, deprecated, tarball, size_bytes,"
    " readme, readme_filename, purged FROM versions WHERE name = ? ORDER BY position"
)


def _row(position: int, event: NpmVersionPublished) -> tuple[str | int | bytes, ...]:
    return (
        position,
        event.name,
        event.version,
        event.published_at or event.at,
        "",
        event.tarball,
        event.size_bytes,
        event.readme,
        event.readme_filename,
        *fragments(event),
    )


def _configure(db: sqlite3.Connection, event: Event, position: int) -> None:
    match event:
        case RegistryConfigured(public_url=public_url):
            row = (1, public_url, position)
            db.execute("INSERT OR REPLACE INTO configuration VALUES (?, ?, ?)", row)
        case SigningKeyAdded(keyid=keyid, key=key):
            db.execute("INSERT INTO signing_keys VALUES (?, ?, NULL)", (keyid, key))
        case SigningKeyRetired(keyid=keyid, expires=expires):
            db.execute("UPDATE signing_keys SET expires = ? WHERE keyid = ?", (expires, keyid))


def _deprecate(db: sqlite3.Connection, name: str, version: str, message: str) -> None:
    statement = "UPDATE versions SET deprecated = ? WHERE name = ? AND version = ?"
    db.execute(statement, (message, name, version))


def _star(db: sqlite3.Connection, account: str, name: str) -> None:
    db.execute("INSERT INTO stars VALUES (?, ?)", (account, name))


def _unstar(db: sqlite3.Connection, account: str, name: str) -> None:
    db.execute("DELETE FROM stars WHERE account = ? AND name = ?", (account, name))


def _empty(db: sqlite3.Connection, name: str, which: str, value: str | int) -> None:
    """Empty the fragments of unpublished versions; their times stay."""
    emptied = "UPDATE versions SET full_form = x'', abbreviated = x'', deprecated = ''"
    db.execute(f"{emptied} WHERE name = ? AND {which}", (name, value))


def set_purged(db: sqlite3.Connection, name: str, version: str, reason: str) -> None:
    """Say of a version that its bytes are gone, and its README with them."""
    statement = "UPDATE versions SET purged = ?, readme = '' WHERE name = ? AND version = ?"
    db.execute(statement, (reason, name, version))


def _sign(db: sqlite3.Connection, name: str, version: str, keyid: str, sig: str) -> None:
    where = " WHERE name = ? AND version = ?"
    key = (name, version)
    forms = db.execute(f"SELECT full_form, abbreviated FROM versions{where}", key).fetchone()  # noqa: S608
    full, short = (signed(form, NpmSignature(keyid, sig)) for form in forms)
    update = f"UPDATE versions SET full_form = ?, abbreviated = ?{where}"  # noqa: S608 - constant
    db.execute(update, (full, short, *key))
