"""The credentials in the file of the log."""

import sqlite3
from pathlib import Path

from packledger.domain.errors import Unavailable
from packledger.eventstore.append_lock import AppendLock


class SQLiteCredentials:
    """Four small tables; a connection of its own for every statement."""

    def __init__(self, path: Path, append_lock: AppendLock) -> None:
        self._path, self._lock = path, append_lock
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS credentials (account TEXT PRIMARY KEY,"
                " password_hash TEXT NOT NULL, email TEXT NOT NULL)"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS setup (id INTEGER PRIMARY KEY, code_sha256 TEXT)"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS log_checkpoint (log TEXT PRIMARY KEY,"
                " number TEXT NOT NULL, signed TEXT NOT NULL, published TEXT NOT NULL,"
                " vkey TEXT NOT NULL, refusal TEXT NOT NULL)"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS signing_keys (keyid TEXT PRIMARY KEY,"
                " private_key TEXT NOT NULL)"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS log_checkpoint (log TEXT PRIMARY KEY,"
                " number TEXT NOT NULL, signed TEXT NOT NULL, published TEXT NOT NULL,"
                " vkey TEXT NOT NULL, refusal TEXT NOT NULL)"
            )
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def change(self, statement: str, *values: str) -> int:
        """Run one durable statement and return how many rows it changed."""
        try:
            with self._lock.held():
                connection = self._connect()
                try:
                    return connection.execute(statement, values).rowcount
                finally:
                    connection.close()
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the registry cannot write its accounts now; try again later: {error}"
            ) from error

    def one(self, statement: str, *values: str) -> tuple[str, ...] | None:
        """Return the first row."""
        connection = self._connect()
        try:
            row: tuple[str, ...] | None = connection.execute(statement, values).fetchone()
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the registry cannot read its accounts now; try again later: {error}"
            ) from error
        finally:
            connection.close()
        return row
