"""How much of request bodies a node holds at once, counted by all of its workers together.

A small mapped file with a row for each worker, which alone writes it; their sum is what counts. A
row is locked as long as its worker lives, so that what a killed one held is forgotten.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packledger.domain.errors import TooMany
from packledger.eventstore.mapped_file import map_shared

MEMORY, AUDITS, DISK = 0, 1, 2
"""What bodies are held in. AUDITS: memory, too; anybody may send those, and they are no reason to
refuse anything else."""
MIB = 1024 * 1024
UPLOADS = 8
"""So many of the largest uploads may be on the disk at once."""
RETRY_AFTER_S = 5

_KINDS = 3
_ROWS = 128
_ROW_BYTES = _KINDS * 8
_SIZE_BYTES = _ROWS * _ROW_BYTES


class BodyBudget:
    """The file. Lives on the event loop of one worker."""

    def __init__(self, path: Path, largest_upload_bytes: int) -> None:
        self.limits = (32 * MIB, 16 * MIB, UPLOADS * largest_upload_bytes)
        self._map, self._fd = map_shared(path, _SIZE_BYTES)
        self._counts = memoryview(self._map).cast("Q")
        self._own = self._take_row() * _KINDS

    def _take_row(self) -> int:
        """Return a row for this worker; forget what workers held that are no more."""
        own = -1
        for row in range(_ROWS):
            if not self._lock(row, fcntl.F_WRLCK):
                continue
            self._map[row * _ROW_BYTES : (row + 1) * _ROW_BYTES] = bytes(_ROW_BYTES)
            if own < 0:
                own = row
            else:
                self._lock(row, fcntl.F_UNLCK)
        assert own >= 0, "there are at most 64 workers, and as many that end"
        return own

    def _lock(self, row: int, kind: int) -> bool:
        wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, row, 1, 0)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, wanted)
        except OSError:
            return False
        return True

    def held(self, kind: int) -> int:
        """Return how many bytes all workers hold."""
        return sum(self._counts[kind::_KINDS])

    @contextmanager
    def hold(self, kind: int) -> Iterator["Held"]:
        """Give what counts a body, until the block ends."""
        held = Held(self, kind)
        try:
            yield held
        finally:
            held.give_back()

    def change(self, kind: int, size_bytes: int) -> None:
        """Hold more or less.

        Raises:
            TooMany: all workers together would hold too much.
        """
        if size_bytes > 0 and self.held(kind) + size_bytes > self.limits[kind]:
            raise TooMany("this registry receives too much at once just now", RETRY_AFTER_S)
        self._counts[self._own + kind] += size_bytes

    def close(self) -> None:
        """Forget what this worker holds."""
        self._counts.release()
        self._map.close()
        os.close(self._fd)


class Held:
    """What one request holds."""

    def __init__(self, budget: BodyBudget, kind: int) -> None:
        self._budget, self._kind, self._size_bytes = budget, kind, 0

    def add(self, size_bytes: int) -> None:
        """Hold more.

        Raises:
            TooMany: all workers together would hold too much.
        """
        self._budget.change(self._kind, size_bytes)
        self._size_bytes += size_bytes

    def takes(self, size_bytes: int) -> bool:
        """Hold more if there is room; return whether there was."""
        try:
            self.add(size_bytes)
        except TooMany:
            return False
        return True

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._budget.change(self._kind, -self._size_bytes)
        self._size_bytes = 0
