"""Tarballs and READMEs, by the SHA-256 of their bytes; written once, never changed.

A blob is durable before the event that names it is appended. What no event names is an orphan:
harmless, and collected by age.
"""

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from eventsourcing.persistence import PersistenceError

from packledger.domain.errors import RegistryError, Unavailable


class OpenBlob(NamedTuple):
    """A blob's bytes as a file, to be closed, and how many they are."""

    file: BinaryIO
    size_bytes: int


class StoredBlob(NamedTuple):
    """A blob that is there. age_s: since it was stored or made young again, by the store's clock.

    size_bytes: as it is, which is not what was stored if it is damaged.
    """

    digest: str
    size_bytes: int
    age_s: float


class Download(NamedTuple):
    """How a blob is shown to who downloads it. method: `GET` or `HEAD`."""

    digest: str
    content_type: str
    filename: str
    method: str


class BlobWriter(Protocol):
    """One upload on its way in. Not thread-safe; nothing is visible before `commit`."""

    @property
    def size_bytes(self) -> int:
        """How much was written so far."""
        ...

    def write(self, chunk: bytes) -> object:
        """Add bytes.

        Raises:
            Unavailable: the store is full or cannot be written.
        """
        ...

    def reader(self) -> BinaryIO:
        """Return what was written so far, from its start; valid until commit or discard."""
        ...

    def commit(self) -> str:
        """Make the blob durable, visible and young, and return its digest: SHA-256, 64 hex digits.

        Safe to repeat, and harmless if the blob exists.

        Raises:
            Unavailable: the store is full or cannot be written, now or at an earlier `write`.
        """
        ...

    def discard(self) -> None:
        """Forget the upload; does nothing after `commit`."""
        ...


class BlobStore(Protocol):
    """Where blobs live. Every method may be called from any thread.

    spool_folder: on a disk of this machine, for what is on its way in.
    """

    spool_folder: Path

    def create(self) -> None:
        """Create the store where it is missing; safe for several at once.

        Raises:
            Unavailable: it cannot be created.
        """
        ...

    def sweep_uploads(self) -> int:
        """Remove what killed uploads left in the spool folder long ago; return how many."""
        ...

    def writer(self) -> BlobWriter:
        """Begin an upload."""
        ...

    def put(self, content: bytes) -> str:
        """Store a small blob durably, or make the one that is there young; return its digest.

        Raises:
            Unavailable: the store is full or cannot be written.
        """
        ...

    def commit_with(self, writer: BlobWriter, content: bytes) -> tuple[str, str]:
        """Make an upload a blob, and store a small one, side by side; return both digests.

        Raises:
            Unavailable: one could not be stored; the other one may be there.
        """
        ...

    def open(self, digest: str) -> BinaryIO:
        """Return a blob's bytes as a file.

        Raises:
            MissingBlob: no such blob.
        """
        ...

    def at_hand(self, digest: str, most_bytes: int) -> bytes | None:
        """Return a whole blob if that takes no waiting, so for an event loop; else None.

        most_bytes: of a larger blob nothing is read.
        """
        ...

    def open_sized(self, digest: str) -> OpenBlob:
        """Return a blob's bytes as a file, with their number.

        Raises:
            MissingBlob: no such blob.
        """
        ...

    def open_part(self, digest: str, first: int, size_bytes: int) -> BinaryIO:
        """Return a blob's bytes from `first` on as a file; read no more than `size_bytes` of it.

        The part must lie inside. It is not compared with the digest, which is that of the whole.

        Raises:
            MissingBlob: no such blob.
        """
        ...

    def size_bytes(self, digest: str) -> int:
        """Return a blob's size.

        Raises:
            MissingBlob: no such blob.
        """
        ...

    def stored(self) -> Iterator[StoredBlob]:
        """Yield every blob in the order of digests, in constant memory.

        What is stored or removed meanwhile may be among them or not.

        Raises:
            Unavailable: the store cannot be read.
        """
        ...

    def remove(self, digest: str, min_age_s: float = 0.0) -> bool:
        """Remove a blob durably if it is that old; return whether there was one to remove.

        Raises:
            Unavailable: the store cannot be written.
        """
        ...

    def restore(self, digest: str, pieces: Iterable[bytes]) -> None:
        """Store a blob again, in place of one that is missing or damaged; durable on return.

        Readers see what was there or the whole blob, never anything between.

        Raises:
            DamagedBlob: the pieces do not have the digest; nothing was changed.
            Unavailable: the store is full or cannot be written.
        """
        ...

    def link(self, download: Download) -> str | None:
        """Return a URL where a client gets the blob itself; None: hand it the bytes."""
        ...

    def close(self) -> None:
        """Close what is open between the calls."""
        ...


class MissingBlob(Unavailable):
    """An event names a blob that is not there: the store lost it."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"the file with digest `{digest}` is missing from the registry's blob store; "
            "ask its operator to restore it from a backup"
        )


class DamagedBlob(Unavailable):
    """A blob's bytes are not those that were stored."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"the file with digest `{digest}` is damaged in the registry's blob store; "
            "ask its operator to restore it from a backup"
        )


_CANNOT_WRITE = {
    errno.ENOSPC: "its disk is full",
    errno.EDQUOT: "its disk quota is used up",
    errno.EROFS: "its disk is read-only",
    errno.EACCES: "its data directory is not writable",
    errno.EPERM: "its data directory is not writable",
    errno.EIO: "its disk reports an error",
    errno.EMFILE: "it has too many files open",
    errno.ENFILE: "it has too many files open",
}


def _said(error: Exception) -> str:
    """Return what a database says, and what it means where that is something else."""
    said = str(error)
    return f"{said} (is the disk full?)" if said == "disk I/O error" else said


@contextmanager
def disk_errors_as_refusals() -> Iterator[None]:
    """Turn an operating system's "cannot write" into a refusal that a client can print."""
    try:
        yield
    except RegistryError:
        raise
    except (sqlite3.OperationalError, PersistenceError) as error:
        raise Unavailable(
            f"the registry cannot use its database now: {_said(error)}; nothing was changed, try "
            "again later"
        ) from error
    except OSError as error:
        why = _CANNOT_WRITE.get(error.errno or 0)
        if why is None:
            raise
        raise Unavailable(
            f"the registry cannot store this now: {why}; nothing was changed, try again later"
        ) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
