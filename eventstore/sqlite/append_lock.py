"""One queue for all processes that append to a SQLite file.

SQLite's own busy handler sleeps and retries without fairness: with four writers at
`synchronous=FULL` one append waited 4 s. Waiting in `flock` instead, a writer is woken as soon as
the file is free. Whoever follows the log waits for its bell, which is in the same file.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packledger.eventstore.bell import BellFile


class AppendLock:
    """An exclusive lock shared by threads and processes; released by the kernel if we die.

    appended: rings when something was appended.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._threads = threading.Lock()
        self._file = BellFile(path)
        self.appended = self._file.bell

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; not re-entrant."""
        with self._threads:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back; twice is harmless: the number may be another file's by then."""
        if self._fd >= 0:
            self._file.close()
            os.close(self._fd)
            self._fd = -1
