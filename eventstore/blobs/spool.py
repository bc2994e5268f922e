"""Bytes on their way into a blob store: a file on this machine's disk, digested as it grows."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs.store import DamagedBlob, disk_errors_as_refusals

STALE_UPLOAD_S = 24 * 3600


class Spool:
    """One upload's file, under a name of its own. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / secrets.token_hex(16)
        self.size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._failed = self._moved = False
        with disk_errors_as_refusals():
            self._file = self.path.open("x+b", buffering=0)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Remember a failure: bytes may be missing, and a second fsync would not report them."""
        if self._failed:
            raise Unavailable("the upload could not be stored; nothing was changed, upload again")
        self._failed = True
        with disk_errors_as_refusals():
            yield
        self._failed = False

    def write(self, chunk: bytes) -> int:
        """Add bytes.

        Raises:
            Unavailable: the disk is full or cannot be written.
        """
        with self.all_or_nothing():
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._sha256.update(chunk)
        self.size_bytes += len(chunk)
        return len(chunk)

    def fill(self, digest: str, pieces: Iterable[bytes]) -> None:
        """Add all the bytes of a blob.

        Raises:
            DamagedBlob: they do not have its digest.
            Unavailable: the disk is full or cannot be written.
        """
        for piece in pieces:
            self.write(piece)
        if self.digest != digest:
            raise DamagedBlob(digest)

    @property
    def digest(self) -> str:
        """SHA-256 of what was written so far, 64 hex digits."""
        return self._sha256.hexdigest()

    def reader(self) -> BinaryIO:
        """Return what was written so far, from its start."""
        return self.path.open("rb")

    def fileno(self) -> int:
        """Return the file's descriptor, to sync it."""
        return self._file.fileno()

    def move(self, path: Path) -> None:
        """Give the file another name, under which it stays."""
        self.path.rename(path)
        self._moved = True

    def discard(self) -> None:
        """Close the file and remove it, unless it was moved."""
        if not self._file.closed:
            self._file.close()
            if not self._moved:
                self.path.unlink(missing_ok=True)


class SpooledWriter:
    """A blob's way in: collected in a spool, stored when it is whole and its digest known.

    store: makes the spool's bytes a blob, durable and visible.
    """

    def __init__(self, spool: Spool, store: Callable[[Spool], None]) -> None:
        self._spool, self._store = spool, store
        self._digest: str | None = None
        # A client that goes away discards its upload while another thread may still commit it.
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """How much was written so far."""
        return self._spool.size_bytes

    def write(self, chunk: bytes) -> int:
        """Add bytes."""
        return self._spool.write(chunk)

    def reader(self) -> BinaryIO:
        """Return what was written so far, from its start."""
        return self._spool.reader()

    def commit(self) -> str:
        """Make the blob durable and visible, and return its digest."""
        with self._lock:
            if self._digest is None:
                digest = self._spool.digest
                with self._spool.all_or_nothing():
                    self._store(self._spool)
                self._digest = digest
                self._spool.discard()
            return self._digest

    def discard(self) -> None:
        """Forget the upload; does nothing after `commit`."""
        with self._lock:
            self._spool.discard()


def sweep(folder: Path) -> int:
    """Remove the spools that a killed process left a day ago or longer; return how many."""
    oldest_s = time.time() - STALE_UPLOAD_S
    stale = [path for path in folder.iterdir() if path.stat().st_mtime < oldest_s]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
