"""Tarballs and READMEs, by the SHA-256 of their bytes; written once, never changed.

A blob is durable before the event that names it is appended. What no event names is an orphan:
harmless, and collected by age.
"""

import errno
import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from eventsourcing.persistence import PersistenceError

from packledger.domain.errors import RegistryError, Unavailable

STALE_UPLOAD_S = 24 * 3600


class BlobWriter(Protocol):
    """One upload on its way in. Not thread-safe; nothing is visible before `commit`."""

    size_bytes: int

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
        """Make the blob durable and visible, and return its digest: SHA-256, 64 hex digits.

        Safe to repeat, and harmless if the blob exists.

        Raises:
            Unavailable: the store is full or cannot be written, now or at an earlier `write`.
        """
        ...

    def discard(self) -> None:
        """Forget the upload; does nothing after `commit`."""
        ...


class BlobStore(Protocol):
    """Where blobs live. Every method may be called from any thread and process."""

    def writer(self) -> BlobWriter:
        """Begin an upload."""
        ...

    def put(self, content: bytes) -> str:
        """Store a small blob durably, if it is not there already, and return its digest.

        Raises:
            Unavailable: the store is full or cannot be written.
        """
        ...

    def open(self, digest: str) -> BinaryIO:
        """Return a blob's bytes as a file.

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


class MissingBlob(Unavailable):
    """An event names a blob that is not there: the store lost it."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"the file with digest `{digest}` is missing from the registry's blob store; "
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


@contextmanager
def disk_errors_as_refusals() -> Iterator[None]:
    """Turn an operating system's "cannot write" into a refusal that a client can print."""
    try:
        yield
    except RegistryError:
        raise
    except (sqlite3.OperationalError, PersistenceError) as error:
        raise Unavailable(
            f"the registry cannot use its database now: {error}; nothing was changed, try again "
            "later"
        ) from error
    except OSError as error:
        why = _CANNOT_WRITE.get(error.errno or 0)
        if why is None:
            raise
        raise Unavailable(
            f"the registry cannot store this now: {why}; nothing was changed, try again later"
        ) from error


class DiskBlobs:
    """Blobs as files `sha256/<2 hex>/<62 hex>` below a directory."""

    def __init__(self, root: Path) -> None:
        self._final = root / "sha256"
        self._uploads = root / "uploads"

    def create(self) -> None:
        """Create the 256 folders, durably; does nothing where they exist."""
        if (self._final / "ff").is_dir() and self._uploads.is_dir():
            return
        self._uploads.mkdir(parents=True, exist_ok=True)
        for number in range(256):
            (self._final / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        sync_directory(self._final)
        sync_directory(self._final.parent)
        sync_directory(self._final.parent.parent)

    def sweep_uploads(self, now_s: float | None = None) -> int:
        """Remove uploads that a killed process left a day ago or longer; return how many."""
        oldest_s = (time.time() if now_s is None else now_s) - STALE_UPLOAD_S
        stale = [path for path in self._uploads.iterdir() if path.stat().st_mtime < oldest_s]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def writer(self) -> "DiskBlobWriter":
        """Begin an upload."""
        with disk_errors_as_refusals():
            return DiskBlobWriter(self._uploads / secrets.token_hex(16), self._final)

    def put(self, content: bytes) -> str:
        """Store a small blob durably, if it is not there already, and return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        if self._refresh(digest, len(content)):
            return digest
        writer = self.writer()
        try:
            writer.write(content)
            return writer.commit()
        finally:
            writer.discard()

    def _refresh(self, digest: str, size_bytes: int) -> bool:
        """Tell whether a blob is there, and make it as safe as one written now.

        Whoever wrote it may not have synced its name yet, and it may be an old orphan.
        """
        path = self.path(digest)
        with disk_errors_as_refusals():
            try:
                if path.stat().st_size != size_bytes:
                    return False
                os.utime(path)
            except FileNotFoundError:
                return False
            sync_directory(path.parent)
        return True

    def path(self, digest: str) -> Path:
        """Return where a blob is, or would be."""
        return self._final / digest[:2] / digest[2:]

    def open(self, digest: str) -> BinaryIO:
        """Return a blob's bytes as a file.

        Raises:
            MissingBlob: no such blob.
        """
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise MissingBlob(digest) from error

    def size_bytes(self, digest: str) -> int:
        """Return a blob's size.

        Raises:
            MissingBlob: no such blob.
        """
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError as error:
            raise MissingBlob(digest) from error


class DiskBlobWriter:
    """An upload in a file of its own, renamed into place when it is whole and on the disk."""

    def __init__(self, path: Path, final: Path) -> None:
        self._path, self._final = path, final
        self._file = path.open("x+b", buffering=0)
        self._sha256 = hashlib.sha256()
        self._digest: str | None = None
        self._failed = False
        # A client that goes away discards its upload while another thread may still commit it.
        self._lock = threading.Lock()
        self.size_bytes = 0

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Remember a failure: bytes may be missing, and a second fsync would not report them."""
        if self._failed:
            raise Unavailable("the upload could not be stored; nothing was changed, upload again")
        self._failed = True
        with disk_errors_as_refusals():
            yield
        self._failed = False

    def write(self, chunk: bytes) -> int:
        """Add bytes."""
        with self._all_or_nothing():
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._sha256.update(chunk)
        self.size_bytes += len(chunk)
        return len(chunk)

    def reader(self) -> BinaryIO:
        """Return what was written so far, from its start."""
        return self._path.open("rb")

    def commit(self) -> str:
        """Make the blob durable and visible, and return its digest."""
        with self._lock:
            if self._digest is None:
                digest = self._sha256.hexdigest()
                folder = self._final / digest[:2]
                with self._all_or_nothing():
                    os.fdatasync(self._file.fileno())
                    self._path.rename(folder / digest[2:])
                    sync_directory(folder)
                self._digest = digest
                self._file.close()
            return self._digest

    def discard(self) -> None:
        """Forget the upload; does nothing after `commit`."""
        with self._lock:
            self._file.close()
            if self._digest is None:
                self._path.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
