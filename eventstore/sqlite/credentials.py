"""The credentials in the file of the log."""

import sqlite3
from pathlib import Path

from packledger.domain.errors import Unavailable
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.sqlite.append_lock import AppendLock
from packledger.eventstore.sqlite.durable import durable_connection
from packledger.eventstore.sqlite.schema import CREDENTIALS


class SQLiteCredentials:
    """Four small tables; a connection of its own for every statement."""

    def __init__(self, path: Path, append_lock: AppendLock) -> None:
        self._path, self._lock = path, append_lock
        with durable_connection(self._path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            for table in CREDENTIALS:
                connection.execute(table)

    def change(self, statement: str, *values: str) -> int:
        """Run one durable statement and return how many rows it changed."""
        try:
            with self._lock.held(), durable_connection(self._path) as connection:
                return connection.execute(statement, values).rowcount
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the registry cannot write its accounts now; try again later: {error}"
            ) from error

    def one(self, statement: str, *values: str) -> tuple[str, ...] | None:
        """Return the first row."""
        try:
            with durable_connection(self._path) as connection:
                row: tuple[str, ...] | None = connection.execute(statement, values).fetchone()
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the registry cannot read its accounts now; try again later: {error}"
            ) from error
        if row is not None and not all(isinstance(value, str) for value in row):
            raise DamagedLog("a value beside the log is no text")
        return row
