"""Restoring a backup into an empty data directory: verified before anything is visible."""

import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from packledger.audit.backups.form import (
    BackupPlaces,
    Manifest,
    copy_blob,
    copy_private,
    sha256,
    sha256_of,
)
from packledger.audit.blob_references import BlobReferences
from packledger.domain.errors import Conflict, NotFound, Unavailable
from packledger.eventstore.blobs.disk import DiskBlobs
from packledger.eventstore.blobs.store import BlobStore, DamagedBlob, MissingBlob, sync_directory
from packledger.eventstore.log import Log
from packledger.eventstore.sqlite.backup import check_database, last_event
from packledger.eventstore.sqlite.store import SQLiteStore
from packledger.feeds.progress import NamedProgress

_PARTIAL = ".restoring-"
_RUN = "run"
"""Earlier releases made it with every command, even where there was no registry."""


class Restored(msgspec.Struct, frozen=True):
    """What was restored. missing: blobs that were missing already when the backup was made."""

    position: int
    blobs: int
    missing: list[str]


def restore(
    source: Path, data: Path, open_blobs: Callable[[Path], BlobStore], progress: NamedProgress
) -> Restored:
    """Restore a backup. data: does not exist or is empty; it appears whole, or stays as it is.

    open_blobs: opens the blob store of a data directory; a bucket keeps what it has.

    Raises:
        Conflict: there is something in the data directory.
        NotFound: there is no whole backup.
        Unavailable: the backup is damaged; the sentence says where.
    """
    places = BackupPlaces(source)
    manifest = places.read()
    if manifest is None:
        raise NotFound(
            f"there is no whole backup in `{source}`; it was interrupted, or `--from` is wrong"
        )
    partial = _make_room(data)
    try:
        _restore_events(places, manifest, partial)
        with closing(open_blobs(partial)) as target:
            target.create()
            blobs = _restore_blobs(places, manifest, partial, target, progress)
        _show(partial, data)
    finally:
        shutil.rmtree(partial)
    return Restored(manifest.position, blobs, manifest.missing)


def _make_room(data: Path) -> Path:
    """Return a new directory in the data directory, which may be a volume that is there already."""
    if data.exists() and not data.is_dir():
        raise Conflict(f"`{data}` is not a directory; choose another --data")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in data.iterdir():
        if path.name.startswith(_PARTIAL):
            shutil.rmtree(path)
        elif path.name != _RUN:
            raise Conflict(
                f"`{data}` is not empty, and nothing is ever written over; choose another --data"
            )
    partial = data / f"{_PARTIAL}{secrets.token_hex(4)}"
    partial.mkdir()
    return partial


def _show(partial: Path, data: Path) -> None:
    """Give everything its place, the event store last: without it there is no registry."""
    (partial / "events.lock").unlink(missing_ok=True)
    sync_directory(partial)
    for path in sorted(partial.iterdir(), key=lambda path: path.name == "events.sqlite"):
        path.rename(data / path.name)
        sync_directory(data)


def _restore_events(places: BackupPlaces, manifest: Manifest, partial: Path) -> None:
    events = partial / "events.sqlite"
    _copy_verified(places.database(manifest), events, manifest.database_sha256)
    with closing(sqlite3.connect(events)) as db:
        check_database(db)
        position, state = last_event(db)
    if position != manifest.position or (position and sha256(state) != manifest.event_sha256):
        raise _damaged(places.database(manifest))
    if manifest.log_key_sha256:
        key = places.log_key(manifest)
        _copy_verified(key, partial / "log.key", manifest.log_key_sha256)


def _copy_verified(source: Path, target: Path, digest: str) -> None:
    try:
        copy_private(source, target)
    except FileNotFoundError as error:
        raise _damaged(source) from error
    if sha256_of(target) != digest:
        raise _damaged(source)


def _restore_blobs(
    places: BackupPlaces,
    manifest: Manifest,
    partial: Path,
    target: BlobStore,
    progress: NamedProgress,
) -> int:
    source, known, blobs = DiskBlobs(places.blobs), set(manifest.missing), 0
    with (
        closing(Log(SQLiteStore(partial / "events.sqlite"))) as log,
        closing(BlobReferences(log)) as references,
    ):
        references.catch_up(lambda *done: progress("replaying the log", *done))
        total = references.count_needed()
        for done, digest in enumerate(references.needed(), 1):
            progress("restoring blobs", done, total)
            if digest in known:
                continue
            try:
                copy_blob(source, target, digest)
            except (MissingBlob, DamagedBlob) as error:
                raise _damaged(source.path(digest)) from error
            blobs += 1
    return blobs


def _damaged(path: Path) -> Unavailable:
    return Unavailable(
        f"the backup is damaged: `{path}` is missing or not what was backed up; nothing was "
        "restored, use another backup"
    )
