"""The files of one projection: generations side by side, one of them live.

    read/<projection>/current        text: the live generation's number
    read/<projection>/000007/model.sqlite
    read/<projection>/lock           held while a page is applied and while generations are swapped

A rebuild writes a new generation beside the live one and swaps by renaming `current`. Readers
never see half a generation; the one before stays until the next swap, for readers that still have
it open.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from packledger.eventstore.blobs.store import sync_directory

MODEL = "model.sqlite"


def database_uri(path: Path, mode: str) -> str:
    """Return the URI of a SQLite file that may lie in a folder of any name. mode: `ro` or `rw`."""
    return f"{path.absolute().as_uri()}?mode={mode}"


class Generations:
    """One projection's folder."""

    def __init__(self, root: Path, projection: str) -> None:
        self._lock: int | None = None
        self._folder = root / projection
        self._folder.mkdir(parents=True, exist_ok=True)
        self._current = str(self._folder / "current")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the projection's lock: only its holder writes the live generation or swaps.

        Not for several threads of one object: its file stays open, as a publish takes this lock.
        """
        if self._lock is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(self._folder / "lock", flags, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self._lock is not None:
            close(self._lock)  # the module `os` may be gone when the interpreter ends

    @contextmanager
    def rebuilding(self) -> Iterator[None]:
        """Hold the right to build a new generation: one rebuild of a projection at a time."""
        with (self._folder / "rebuild.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def live(self) -> int:
        """Return the live generation's number, 0 when there is none or nobody can tell."""
        try:
            return int((self._folder / "current").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def folder(self, generation: int) -> Path:
        """Return a generation's folder."""
        return self._folder / f"{generation:06d}"

    def model(self, generation: int) -> Path:
        """Return a generation's SQLite file, of a read model that is one."""
        return self.folder(generation) / MODEL

    def prepare(self, after: int = 0) -> int:
        """Create an empty folder for a new generation and return its number.

        What an interrupted rebuild left there is removed. after: the generation on the board: when
        `current` was deleted beneath a running registry, readers still have that one open, and
        take the same number for the same file.
        """
        generation = max(self.live(), after) + 1
        folder = self.folder(generation)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return generation

    def swap(self, generation: int) -> None:
        """Make a generation the live one, atomically; call with the lock held."""
        before = self.live()
        temporary = self._folder / "current.new"
        with temporary.open("w") as file:
            file.write(str(generation))
            file.flush()
            # Else a power cut after the rename may leave an empty file behind the name.
            os.fsync(file.fileno())
        temporary.rename(self._folder / "current")
        sync_directory(self._folder)
        for path in self._folder.iterdir():
            if path.name.isdigit() and int(path.name) not in {before, generation}:
                shutil.rmtree(path, ignore_errors=True)

    def set_aside(self) -> None:
        """Have no live generation any more; the files stay until the next swap."""
        (self._folder / "current").unlink(missing_ok=True)

    def discard(self, generation: int) -> None:
        """Remove a generation that will not be used."""
        shutil.rmtree(self.folder(generation), ignore_errors=True)

    def stamp(self) -> tuple[int, int]:
        """Return what changes when `current` is replaced: its inode and modification time."""
        try:
            status = os.stat(self._current)  # noqa: PTH116 - hot path
        except FileNotFoundError:
            return (0, 0)
        return status.st_ino, status.st_mtime_ns
