"""Blobs as files of this machine."""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from packledger.eventstore.blobs.beside import Beside
from packledger.eventstore.blobs.spool import Spool, SpooledWriter, sweep
from packledger.eventstore.blobs.store import (
    BlobWriter,
    Download,
    MissingBlob,
    OpenBlob,
    StoredBlob,
    disk_errors_as_refusals,
    sync_directory,
)

_NAME = re.compile("[0-9a-f]{62}")


class DiskBlobs:
    """Blobs as files `sha256/<2 hex>/<62 hex>` below a directory."""

    def __init__(self, root: Path) -> None:
        self._final = root / "sha256"
        self.spool_folder = root / "uploads"
        self._beside = Beside(self.put)

    def create(self) -> None:
        """Create the 256 folders, durably; does nothing where they exist."""
        if (self._final / "ff").is_dir() and self.spool_folder.is_dir():
            return
        self.spool_folder.mkdir(parents=True, exist_ok=True)
        for number in range(256):
            (self._final / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        sync_directory(self._final)
        sync_directory(self._final.parent)
        sync_directory(self._final.parent.parent)

    def sweep_uploads(self) -> int:
        """Remove uploads that a killed process left a day ago or longer; return how many."""
        return sweep(self.spool_folder)

    def writer(self) -> SpooledWriter:
        """Begin an upload."""
        return SpooledWriter(Spool(self.spool_folder), self._place)

    def _place(self, spool: Spool) -> None:
        """Rename an upload into place once it is on the disk."""
        folder = self._final / spool.digest[:2]
        os.utime(spool.fileno())
        os.fdatasync(spool.fileno())
        with _locked(folder, fcntl.LOCK_SH) as fd:
            spool.move(folder / spool.digest[2:])
            os.fsync(fd)

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

    def commit_with(self, writer: BlobWriter, content: bytes) -> tuple[str, str]:
        """Make an upload a blob, and store a small one, side by side; return both digests."""
        return self._beside.commit(writer, content)

    def _refresh(self, digest: str, size_bytes: int) -> bool:
        """Tell whether a blob is there, and make it as safe as one written now.

        Whoever wrote it may not have synced its name yet, and it may be an old orphan.
        """
        path = self.path(digest)
        with disk_errors_as_refusals(), _locked(path.parent, fcntl.LOCK_SH) as folder:
            try:
                if path.stat().st_size != size_bytes:
                    return False
                os.utime(path)
            except FileNotFoundError:
                return False
            os.fsync(folder)
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

    def at_hand(self, digest: str, most_bytes: int) -> bytes | None:
        """Return a whole blob if the kernel has it in memory, by its first and last byte."""
        try:
            with self.path(digest).open("rb", buffering=0) as file:
                fd = file.fileno()
                size_bytes = os.fstat(fd).st_size
                if not 0 < size_bytes <= most_bytes:
                    return None
                for at in (0, size_bytes - 1):
                    os.preadv(fd, [bytearray(1)], at, os.RWF_NOWAIT)
                content = os.pread(fd, size_bytes, 0)
        except OSError:  # it is not there, not in memory, or on a file system that cannot tell
            return None
        return content if len(content) == size_bytes else None

    def open_sized(self, digest: str) -> OpenBlob:
        """Return a blob's bytes as a file, with their number.

        Raises:
            MissingBlob: no such blob.
        """
        file = self.open(digest)
        return OpenBlob(file, os.fstat(file.fileno()).st_size)

    def open_part(self, digest: str, first: int, size_bytes: int) -> BinaryIO:
        """Return a blob's bytes from `first` on as a file.

        Raises:
            MissingBlob: no such blob.
        """
        file = self.open(digest)
        file.seek(first)
        return file

    def size_bytes(self, digest: str) -> int:
        """Return a blob's size.

        Raises:
            MissingBlob: no such blob.
        """
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError as error:
            raise MissingBlob(digest) from error

    def stored(self) -> Iterator[StoredBlob]:
        """Yield every blob in the order of digests; one of 256 folders is in memory at a time."""
        for number in range(256):
            folder = self._final / f"{number:02x}"
            try:
                with os.scandir(folder) as entries:
                    names = sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name))
            except FileNotFoundError:
                continue
            for name in names:
                try:
                    status = (folder / name).stat()
                except FileNotFoundError:
                    continue
                age_s = time.time() - status.st_mtime
                yield StoredBlob(folder.name + name, status.st_size, age_s)

    def remove(self, digest: str, min_age_s: float = 0.0) -> bool:
        """Remove a blob durably if it is that old; return whether there was one to remove."""
        path = self.path(digest)
        try:
            # Whoever makes the blob young holds the lock, too: it is young before, or gone.
            with disk_errors_as_refusals(), _locked(path.parent, fcntl.LOCK_EX) as folder:
                if min_age_s and time.time() - path.stat().st_mtime < min_age_s:
                    return False
                path.unlink()
                os.fsync(folder)
        except FileNotFoundError:
            return False
        return True

    def restore(self, digest: str, pieces: Iterable[bytes]) -> None:
        """Store a blob again, in place of one that is missing or damaged; durable on return.

        Raises:
            DamagedBlob: the pieces do not have the digest; nothing was changed.
        """
        spool = Spool(self.spool_folder)
        writer = SpooledWriter(spool, self._place)
        try:
            spool.fill(digest, pieces)
            writer.commit()  # by a rename, whatever is there
        finally:
            writer.discard()

    def link(self, download: Download) -> None:
        """Return that there is no other way to the files."""

    def close(self) -> None:
        """End the threads; no file stays open."""
        self._beside.close()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[int]:
    """Give a folder's descriptor, locked against removals (LOCK_SH) or everything (LOCK_EX)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, how)
        yield fd
    finally:
        os.close(fd)
