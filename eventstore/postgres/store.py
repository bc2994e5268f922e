"""The store of a cluster: one PostgreSQL database, made by `migrate`."""

import logging
import time
from collections.abc import Callable
from functools import partial

import psycopg
from eventsourcing.utils import Environment

from packledger.eventstore.postgres.connections import RETRY_S, Connection, Connections
from packledger.eventstore.postgres.credentials import PostgresCredentials
from packledger.eventstore.postgres.errors import reason
from packledger.eventstore.postgres.reactions import PostgresReactions
from packledger.eventstore.postgres.recorder import PostgresLogFactory
from packledger.eventstore.postgres.schema import CHANNEL, connect_migrated

LOOK_S = 1.0
"""How late an append is noticed at most whose notice was lost."""

log = logging.getLogger("packledger.database")


class PostgresStore:
    """The log, its snapshots, credentials and reactions in one database.

    connections: the most that this process keeps, beside one for each watch. They are made when
    they are needed, so it can be opened while the database is away; each of them looks whether
    `migrate` was run, and raises WrongSchema if not.
    """

    def __init__(self, url: str, connections: int) -> None:
        self._connect = partial(connect_migrated, url)
        self._connections = Connections(self._connect, connections)

    def factory(self, env: Environment) -> PostgresLogFactory:
        """Return the library's factory of the recorders."""
        return PostgresLogFactory(self._connections, env)

    def watch(self) -> "PostgresWatch":
        """Return a watch on appends by anybody; it belongs to the caller, who closes it."""
        return PostgresWatch(self._connect)

    def credentials(self) -> PostgresCredentials:
        """Return the table of the credentials."""
        return PostgresCredentials(self._connections)

    def reactions(self) -> PostgresReactions:
        """Return the table of the reactions."""
        return PostgresReactions(self._connections)

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()


class PostgresWatch:
    """Woken by NOTIFY on a connection of its own; looks for itself once a second.

    Source: https://www.postgresql.org/docs/current/sql-listen.html
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._seen: int | None = None
        self._warned = False

    def wait(self, timeout_s: float) -> bool:
        """Block until there is an event more, at most `timeout_s`; true at first."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                if self._changed():
                    return True
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._sleep(min(left_s, LOOK_S))
            except psycopg.Error as error:
                self._warn(error)
                self.close()
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                time.sleep(min(left_s, RETRY_S))

    def _listening(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
            self._connection.execute(f"LISTEN {CHANNEL}".encode())
        return self._connection

    def _changed(self) -> bool:
        row = self._listening().execute("SELECT max(position) FROM stored_events").fetchone()
        seen = row[0] or 0 if row else 0
        changed, self._seen = seen != self._seen, seen
        self._warned = False
        return changed

    def _warn(self, error: psycopg.Error) -> None:
        """Say it once for each time that the database is away, not ten times a second."""
        if not self._warned:
            log.warning("no connection to the database: %s", reason(error))
        self._warned = True

    def _sleep(self, timeout_s: float) -> None:
        for _ in self._listening().notifies(timeout=timeout_s, stop_after=1):
            pass

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
