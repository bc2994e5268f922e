"""A backup: the event store as it is at one moment, then every blob that it names (ADR 0026).

A second backup into the same directory adds the blobs that are new and replaces the snapshot.
"""

import fcntl
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from packledger.audit.backups.form import (
    FORMAT,
    BackupPlaces,
    Manifest,
    copy_blob,
    copy_private,
    sha256,
    sha256_of,
)
from packledger.audit.blob_references import BlobReferences
from packledger.audit.translog.keys import LogKeys
from packledger.domain.errors import Conflict, NotFound
from packledger.eventstore.blobs.disk import DiskBlobs
from packledger.eventstore.blobs.store import BlobStore, DamagedBlob, MissingBlob, sync_directory
from packledger.eventstore.log import Log
from packledger.eventstore.sqlite.backup import copy_database, last_event
from packledger.feeds.progress import NamedProgress


class Original(msgspec.Struct, frozen=True):
    """What is backed up. events: the event store's file."""

    log: Log
    events: Path
    blobs: BlobStore
    keys: LogKeys


class BackedUp(msgspec.Struct, frozen=True):
    """What a backup did. copied: blobs that were not in it; removed: purged ones that were."""

    manifest: Manifest
    copied: int
    removed: int


def back_up(original: Original, to: Path, at: str, progress: NamedProgress) -> BackedUp:
    """Make or renew a backup while the registry is in use. at: now, RFC 3339.

    Every blob is read and compared with its digest when it comes in. One that is missing or damaged
    does not stop the others: the manifest names it.

    Raises:
        Conflict: another backup runs there, or it is one of another registry.
        Unavailable: the event store is damaged, or something cannot be read or written.
    """
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = BackupPlaces(to)
    with _alone(to):
        old = places.read()
        _check_same(original.log, old, to)
        for stale in to.glob("snapshot-*"):
            if old is None or stale.name != old.snapshot:
                shutil.rmtree(stale)
        return _Backup(original, places, progress).run(old, at)


@contextmanager
def _alone(to: Path) -> Iterator[None]:
    with (to / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another backup to `{to}` is running; wait for it") from error
        yield


def _check_same(log: Log, old: Manifest | None, to: Path) -> None:
    """Refuse to mix registries, or to replace a longer history."""
    if old is None:
        return
    rows = log.read(old.position - 1, 1) if old.position else []
    if old.position and (not rows or sha256(rows[0].state) != old.event_sha256):
        raise Conflict(
            f"`{to}` is a backup of another registry, or has events that this one has lost; choose "
            "another directory"
        )


class _Backup:
    def __init__(self, original: Original, places: BackupPlaces, progress: NamedProgress) -> None:
        self._original, self._places, self._progress = original, places, progress
        self._target = DiskBlobs(places.blobs)
        self._target.create()
        for upload in self._target.spool_folder.iterdir():
            upload.unlink()  # of a backup that was interrupted

    def run(self, old: Manifest | None, at: str) -> BackedUp:
        name = f"snapshot-{secrets.token_hex(4)}"
        snapshot = self._places.folder / name
        snapshot.mkdir(mode=0o700)
        database = snapshot / "events.sqlite"
        copy_database(
            self._original.events,
            database,
            lambda *done: self._progress("copying the log", *done),
        )
        with closing(sqlite3.connect(database)) as db:
            position, state = last_event(db)
        key_sha256 = _copy_key(self._original.keys, snapshot)
        with closing(BlobReferences(self._original.log)) as references:
            references.catch_up(
                lambda *done: self._progress("replaying the log", *done), until=position
            )
            copied, missing = self._copy_blobs(references)
            manifest = Manifest(
                FORMAT,
                at,
                position,
                sha256(state) if position else "",
                name,
                sha256_of(database),
                key_sha256,
                references.count_needed() - len(missing),
                missing,
            )
            self._places.replace(manifest)
            if old is not None:
                shutil.rmtree(self._places.folder / old.snapshot)
            removed = self._remove_purged(references)
        return BackedUp(manifest, copied, removed)

    def _copy_blobs(self, references: BlobReferences) -> tuple[int, list[str]]:
        copied, missing, total = 0, [], references.count_needed()
        for done, digest in enumerate(references.needed(), 1):
            self._progress("copying blobs", done, total)
            if self._target.path(digest).exists():
                continue
            try:
                self._copy_blob(digest)
                copied += 1
            except (MissingBlob, DamagedBlob):
                missing.append(digest)
        for folder in sorted(self._target.path("00" * 32).parent.parent.iterdir()):
            sync_directory(folder)
        return copied, missing

    def _copy_blob(self, digest: str) -> None:
        source = self._original.blobs
        if not isinstance(source, DiskBlobs) or not _linked(source, self._target, digest):
            copy_blob(source, self._target, digest)

    def _remove_purged(self, references: BlobReferences) -> int:
        """Remove what no version needs any more: the bytes of purged versions."""
        unneeded = (b.digest for b in self._target.stored() if not references.needs(b.digest))
        return sum(self._target.remove(digest) for digest in unneeded)


def _linked(source: DiskBlobs, target: DiskBlobs, digest: str) -> bool:
    """Give a blob a second name if both are on one file system; return whether it has one.

    A blob's file is never written again, so it is as good as a copy against everything but the disk
    itself.
    """
    try:
        found = sha256_of(source.path(digest))
    except FileNotFoundError as error:
        raise MissingBlob(digest) from error
    if found != digest:
        raise DamagedBlob(digest)
    try:
        os.link(source.path(digest), target.path(digest))
    except OSError:
        return False
    return True


def _copy_key(keys: LogKeys, snapshot: Path) -> str:
    """Copy the log's keys, if this process's node has them; return their SHA-256."""
    try:
        keys.all()
    except NotFound:
        return ""
    copy_private(keys.path, snapshot / "log.key")
    return sha256_of(snapshot / "log.key")
