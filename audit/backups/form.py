"""What a backup is made of, and how it is written and read (ADR 0026).

backup.json                    what is in it; replaced last, so that it is true at every moment
snapshot-<8 hex>/events.sqlite the log, snapshots, credentials, npm signing keys, checkpoints
snapshot-<8 hex>/log.key       the private keys of the transparency log
blobs/sha256/…                 as in the data directory
"""

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs.store import BlobStore, DamagedBlob, sync_directory

FORMAT = 1
PIECE_BYTES = 1024 * 1024


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds; `backup.json`.

    at: when it was made, RFC 3339; position: of the newest event; event_sha256: of that event's
    stored bytes; log_key_sha256: empty where no log is signed; missing: blobs that were missing or
    damaged in the store.
    """

    format: int
    at: str
    position: int
    event_sha256: str
    snapshot: str
    database_sha256: str
    log_key_sha256: str
    blobs: int
    missing: list[str]


class BackupPlaces:
    """Where things are in a backup."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "backup.json"
        self.blobs = folder / "blobs"

    def database(self, manifest: Manifest) -> Path:
        """Return the copy of the event store."""
        return self.folder / manifest.snapshot / "events.sqlite"

    def log_key(self, manifest: Manifest) -> Path:
        """Return the copy of the log's keys."""
        return self.folder / manifest.snapshot / "log.key"

    def read(self) -> Manifest | None:
        """Return what the backup holds, None if there is no whole one.

        Raises:
            Unavailable: the manifest is damaged, or a newer release wrote it.
        """
        try:
            manifest = msgspec.json.decode(self.manifest.read_bytes(), type=Manifest)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise Unavailable(f"`{self.manifest}` is damaged: {error}; use another one") from error
        if manifest.format != FORMAT:
            raise Unavailable(
                f"`{self.manifest}` has the format {manifest.format}, this release knows {FORMAT}; "
                "use the release that wrote it"
            )
        return manifest

    def replace(self, manifest: Manifest) -> None:
        """Make what a new manifest says the backup; durable on return."""
        temporary = self.manifest.with_name(f"{self.manifest.name}.new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self.manifest)
        sync_directory(self.folder)


def copy_blob(source: BlobStore, target: BlobStore, digest: str) -> None:
    """Copy a blob and compare it with its digest.

    Raises:
        MissingBlob, DamagedBlob: there is nothing good to copy.
        Unavailable: it cannot be read or written.
    """
    writer = target.writer()
    found = hashlib.sha256()
    try:
        with source.open(digest) as file:
            while piece := file.read(PIECE_BYTES):
                found.update(piece)
                writer.write(piece)
        if found.hexdigest() != digest:
            raise DamagedBlob(digest)
        writer.commit()
    finally:
        writer.discard()


def copy_private(source: Path, target: Path) -> None:
    """Copy a file, durably, to be read by its owner alone. target: does not exist."""
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as original, os.fdopen(fd, "wb") as copy:
        shutil.copyfileobj(original, copy, PIECE_BYTES)
        copy.flush()
        os.fsync(copy.fileno())
    sync_directory(target.parent)


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes, hex."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
