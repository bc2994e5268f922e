"""The store of the embedded registry: one SQLite file."""

import sqlite3
import time
from pathlib import Path

from eventsourcing.persistence import OperationalError
from eventsourcing.utils import Environment

from packledger.eventstore.bell import Bell
from packledger.eventstore.damaged_log import damage_as_refusal
from packledger.eventstore.sqlite.append_lock import AppendLock
from packledger.eventstore.sqlite.credentials import SQLiteCredentials
from packledger.eventstore.sqlite.reactions import SQLiteReactions
from packledger.eventstore.sqlite.recorder import SQLiteLogFactory


class SQLiteStore:
    """The log, its snapshots, credentials and reactions in one file, made when missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._append_lock = AppendLock(path.with_suffix(".lock"))

    def factory(self, env: Environment) -> SQLiteLogFactory:
        """Return the library's factory of the recorders."""
        return SQLiteLogFactory(self._path, self._append_lock, env)

    def watch(self) -> "SQLiteWatch":
        """Return a watch on commits by others; it belongs to the caller, who closes it."""
        return SQLiteWatch(self._path, self._append_lock.appended)

    def credentials(self) -> SQLiteCredentials:
        """Return the table of the credentials, created."""
        return SQLiteCredentials(self._path, self._append_lock)

    def reactions(self) -> SQLiteReactions:
        """Return the table of the reactions, which the first of them creates."""
        return SQLiteReactions(self._path, self._append_lock)

    def close(self) -> None:
        """Give the lock back; the factory closes its own connections."""
        self._append_lock.close()


class SQLiteWatch:
    """Notices a commit by any other connection or process: at once, for who appends rings.

    Source: https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, path: Path, appended: Bell) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._appended = appended
        self._seen: int | None = None

    def wait(self, timeout_s: float) -> bool:
        """Block until the file is committed to, at most `timeout_s`; true at first."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            rung = self._appended.rung()
            if self._changed():
                return True
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self._appended.wait(rung, left_s)

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
