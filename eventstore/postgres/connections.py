"""Connections to PostgreSQL for one process: made when needed, by whoever needs one.

A connection that breaks is thrown away together with those that lie idle, since they were to the
same server, and the work is done again on a new one: all work must therefore be repeatable.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from packledger.domain.errors import Invalid
from packledger.eventstore.postgres.errors import (
    AllBusy,
    LostConnection,
    is_lost,
    reason,
    translated,
)

PATIENCE_S = 5.0
"""How long work waits for a database that restarts, like a command that loses races."""
RETRY_S = 0.1
STATEMENT_TIMEOUT_S = 10
"""Of any one statement; the slowest, a page of 5,000 events, takes 50 ms."""
LOCK_TIMEOUT_S = 5
"""Of an append that waits for others; each of them holds the lock for about 1 ms."""

Connection = psycopg.Connection[tuple[Any, ...]]
Result = TypeVar("Result")

_PARAMETERS: dict[str, Any] = {
    "fallback_application_name": "packledger",
    "connect_timeout": 5,
    # A peer that vanished without a word is noticed after 5 + 3 · 2 s; while sending, after 10 s.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_SETTINGS = f"""
    SELECT set_config('statement_timeout', '{STATEMENT_TIMEOUT_S}s', false),
           set_config('lock_timeout', '{LOCK_TIMEOUT_S}s', false),
           set_config('default_transaction_isolation', 'read committed', false),
           CASE WHEN current_setting('synchronous_commit') = 'off'
                THEN set_config('synchronous_commit', 'on', false) END
"""
"""Whatever the server's own are: an append sees the last position once it has the lock, and is
durable once it returns."""

log = logging.getLogger("packledger.database")


def connect(url: str) -> Connection:
    """Return a new connection in autocommit mode with our time-outs.

    Raises:
        Invalid: it is not the URL of a database.
        psycopg.OperationalError: it cannot be reached, or refuses us.
    """
    try:
        parameters = make_conninfo("", **_PARAMETERS | conninfo_to_dict(url))
    except psycopg.ProgrammingError as error:
        raise Invalid(
            "`database` is not the URL of a database; "
            "write `postgresql://USER:PASSWORD@HOST:PORT/NAME`"
        ) from error
    connection = psycopg.connect(parameters, autocommit=True)
    with closed_on_error(connection):
        connection.execute(_SETTINGS)
    return connection


@contextmanager
def closed_on_error(connection: Connection) -> Iterator[None]:
    """Have no connection be left behind that nobody gets."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


class Connections:
    """At most `limit` connections, shared by the threads of a process; none before it is needed."""

    def __init__(self, connect: Callable[[], Connection], limit: int) -> None:
        self._connect = connect
        self._free = threading.Semaphore(limit)
        self._idle: list[Connection] = []
        self._closed = False

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do repeatable work with a connection; again, with another, if it is lost meanwhile.

        Raises:
            RegistryError: from making a connection.
            LostConnection: it was lost, and so was the next; the work may be done or not.
            PersistenceError: PostgreSQL refused, or cannot be reached; nothing was changed.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        unsure = warned = False
        while True:
            begun = False
            try:
                with self._connection(deadline_s) as connection:
                    begun = True
                    return work(connection)
            except psycopg.Error as error:
                lost = is_lost(error)
                unsure |= lost and begun
                if not lost or time.monotonic() > deadline_s:
                    # Whatever stops this attempt, an earlier one may be done all the same; only a
                    # conflict says what has become of it.
                    known = not unsure or isinstance(error, psycopg.IntegrityError)
                    raise (translated(error) if known else LostConnection()) from error
                if not warned:
                    log.warning("no connection to the database: %s", reason(error))
                    warned = True
            time.sleep(RETRY_S)

    @contextmanager
    def _connection(self, deadline_s: float) -> Iterator[Connection]:
        if not self._free.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise AllBusy
        try:
            connection = self._take() or self._connect()
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    def _take(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _give_back(self, connection: Connection) -> None:
        if connection.info.transaction_status is TransactionStatus.IDLE:
            self._idle.append(connection)
            if not self._closed:
                return
        connection.close()
        self._close_idle()

    def _close_idle(self) -> None:
        while connection := self._take():
            connection.close()

    def close(self) -> None:
        """Close every connection that nobody uses, and the others when they come back."""
        self._closed = True
        self._close_idle()
