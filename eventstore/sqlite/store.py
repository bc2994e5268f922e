"""The store of the embedded registry: one SQLite file."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from eventsourcing.persistence import OperationalError
from eventsourcing.utils import Environment

from packledger.eventstore.damaged_log import damage_as_refusal
from packledger.eventstore.sqlite.append_lock import AppendLock
from packledger.eventstore.sqlite.credentials import SQLiteCredentials
from packledger.eventstore.sqlite.recorder import SQLiteLogFactory

BUSY_POLL_S = 0.0005
IDLE_POLL_S = 0.005
BUSY_FOR_S = 2.0
"""After an event the next one is likely soon: look 2,000 times a second (3 µs each) for a while."""


class SQLiteStore:
    """The log, its snapshots and the credentials in one file, made when missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._append_lock = AppendLock(path.with_suffix(".lock"))

    def factory(self, env: Environment) -> SQLiteLogFactory:
        """Return the library's factory of the recorders."""
        return SQLiteLogFactory(self._path, self._append_lock, env)

    def watch(self) -> "SQLiteWatch":
        """Return a watch on commits by others; it belongs to the caller, who closes it."""
        return SQLiteWatch(self._path)

    def credentials(self) -> SQLiteCredentials:
        """Return the table of the credentials, created."""
        return SQLiteCredentials(self._path, self._append_lock)

    def close(self) -> None:
        """Give the lock back; the factory closes its own connections."""
        self._append_lock.close()


class SQLiteWatch:
    """Notices a commit by any other connection or process, for 3 µs a look.

    Source: https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(
        self,
        path: Path,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._clock_s, self._sleep = clock_s, sleep
        self._seen: int | None = None
        self._busy_until_s = 0.0

    def wait(self, timeout_s: float) -> bool:
        """Block until the file is committed to, at most `timeout_s`; true at first."""
        now_s = self._clock_s()
        deadline_s = now_s + timeout_s
        while not self._changed():
            if now_s >= deadline_s:
                return False
            self._sleep(BUSY_POLL_S if now_s < self._busy_until_s else IDLE_POLL_S)
            now_s = self._clock_s()
        self._busy_until_s = now_s + BUSY_FOR_S
        return True

    def _changed(self) -> bool:
        try:
            with damage_as_refusal():
                seen: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error
        changed, self._seen = seen != self._seen, seen
        return changed

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
