"""The log and its snapshots in PostgreSQL: positions without gaps, in the order of the commits.

An append is one statement, and a transaction of its own: no client ever holds the lock while it
thinks, and whoever dies cannot leave it behind. Every statement may be repeated.
"""

from collections.abc import Sequence
from typing import Any, NoReturn
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    Notification,
    StoredEvent,
    Subscription,
)
from eventsourcing.utils import Environment

from packledger.domain.errors import Unavailable
from packledger.eventstore.postgres.connections import Connection, Connections
from packledger.eventstore.postgres.errors import LostConnection
from packledger.eventstore.store import LogRow, SnapshotRow

_NO_LIMIT = 2**63 - 1
_GIVEN = "unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[])"


def _columns(events: Sequence[StoredEvent]) -> tuple[list[Any], ...]:
    return (
        [event.originator_id for event in events],
        [event.originator_version for event in events],
        [event.topic for event in events],
        [event.state for event in events],
    )


class _Streams(AggregateRecorder):
    """Reads streams from a table."""

    table: bytes

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def _rows(self, statement: bytes, *values: Any) -> list[tuple[Any, ...]]:
        return self._connections.run(
            lambda connection: connection.execute(statement, values, binary=True).fetchall()
        )

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return events of one stream with versions in (gt, lte], oldest first unless `desc`."""
        rows = self._rows(
            b"SELECT originator_id, originator_version, topic, state FROM " + self.table
            + b" WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s"
            b" ORDER BY originator_version " + (b"DESC" if desc else b"ASC") + b" LIMIT %s",
            originator_id,
            -1 if gt is None else gt,
            _NO_LIMIT if lte is None else lte,
            _NO_LIMIT if limit is None else limit,
        )  # fmt: skip
        return [StoredEvent(*row) for row in rows]


class PostgresSnapshotRecorder(_Streams):
    """Keeps snapshots of streams; all of them may be lost."""

    table = b"stored_snapshots"

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Store snapshots.

        Raises:
            IntegrityError: there is one of that version, perhaps ours.
            PersistenceError: the database cannot be written.
        """
        statement = f"INSERT INTO stored_snapshots SELECT * FROM {_GIVEN}".encode()  # noqa: S608
        columns = _columns(stored_events)
        self._connections.run(lambda connection: connection.execute(statement, columns))
        return None

    def select_snapshots(self, stream: str, version: int, limit: int) -> list[SnapshotRow]:
        """Return at most `limit` snapshots that follow the version of a stream, in order."""
        rows = self._rows(
            b"SELECT originator_id, originator_version, topic, state FROM stored_snapshots"
            b" WHERE (originator_id, originator_version) > (%s, %s)"
            b" ORDER BY originator_id, originator_version LIMIT %s",
            UUID(stream or "0" * 32),
            version,
            limit,
        )
        return [(found.hex, *row) for found, *row in rows]

    def delete_snapshots(self) -> int:
        """Remove all of them and return how many there were."""
        return self._connections.run(
            lambda connection: connection.execute(b"DELETE FROM stored_snapshots").rowcount
        )


class PostgresLogRecorder(_Streams, ApplicationRecorder):
    """Appends and reads the one table of events."""

    table = b"stored_events"

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Append in one durable transaction and return the positions.

        Raises:
            IntegrityError: a (stream, version) is taken; nothing was appended.
            Unavailable: the connection was lost for good, and with it the outcome.
            PersistenceError: the database cannot be written; nothing was appended.
        """
        append = _Append(stored_events)
        try:
            return self._connections.run(append)
        except LostConnection as error:
            raise Unavailable(
                "the registry lost its database while it stored this, which may have happened or "
                "not; look whether it is there before you try again"
            ) from error

    def select_rows(self, after: int, limit: int, until: int | None) -> list[LogRow]:
        """Return at most `limit` events with positions in (after, until], in order."""
        rows = self._rows(
            b"SELECT position, originator_id, originator_version, topic, state FROM stored_events"
            b" WHERE position > %s AND position <= %s ORDER BY position LIMIT %s",
            after,
            _NO_LIMIT if until is None else until,
            limit,
        )
        return [(position, stream.hex, *stored) for position, stream, *stored in rows]

    def select_stream_rows(
        self, stream: UUID, until: int | None, newest: int | None
    ) -> list[LogRow]:
        """Return the newest events of one stream with positions up to `until`, in order."""
        rows = self._rows(
            b"SELECT position, originator_version, topic, state FROM stored_events"
            b" WHERE originator_id = %s AND position <= %s ORDER BY originator_version DESC"
            b" LIMIT %s",
            stream,
            _NO_LIMIT if until is None else until,
            newest,
        )
        return [(position, stream.hex, *stored) for position, *stored in reversed(rows)]

    def select_places(self, stream: str, version: int, limit: int) -> list[tuple[str, int, int]]:
        """Return the (stream, version, position) of at most `limit` events, in that order."""
        rows = self._rows(
            b"SELECT originator_id, originator_version, position FROM stored_events"
            b" WHERE (originator_id, originator_version) > (%s, %s)"
            b" ORDER BY originator_id, originator_version LIMIT %s",
            UUID(stream),
            version,
            limit,
        )
        return [(found.hex, *place) for found, *place in rows]

    def damage(self) -> str:
        """Return that nothing is known: PostgreSQL checks its pages when it reads them.

        Whether an index fits its table is for its own `amcheck` to say.
        """
        return ""

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return at most `limit` events from position `start` (or after it) to `stop`, in order.

        The library's own form of `select_rows`.
        """
        rows = self._rows(
            b"SELECT position, originator_id, originator_version, topic, state FROM stored_events"
            b" WHERE position BETWEEN %s AND %s AND (%s OR topic = ANY(%s))"
            b" ORDER BY position LIMIT %s",
            1 if start is None else start if inclusive_of_start else start + 1,
            _NO_LIMIT if stop is None else stop,
            not topics,
            list(topics),
            limit,
        )
        return [
            Notification(stream, version, tag, state, position)
            for position, stream, version, tag, state in rows
        ]

    def max_notification_id(self) -> int | None:
        """Return the newest position."""
        position: int | None = self._rows(b"SELECT max(position) FROM stored_events")[0][0]
        return position

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Refuse: feeds follow the log with `select_rows` and a watch."""
        raise NotImplementedError


class _Append:
    """Appends events, once, however often it is called."""

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self._columns = _columns(events)
        self._called = False

    def __call__(self, connection: Connection) -> list[int]:
        again, self._called = self._called, True
        try:
            return self._positions(
                connection, b"SELECT append_events(%s::uuid[], %s::bigint[], %s::text[], %s)"
            )
        except psycopg.errors.UniqueViolation:
            # The connection was lost before we knew how the first call had ended. What has our
            # place is now there for good: it is ours if every byte is, and otherwise a rival's.
            if not again or not (positions := self._ours(connection)):
                raise
            return positions

    def _ours(self, connection: Connection) -> list[int]:
        positions = self._positions(
            connection,
            f"SELECT position FROM {_GIVEN} AS ours(id, version, topic, state)"  # noqa: S608
            " JOIN stored_events USING (topic, state)"
            " WHERE originator_id = id AND originator_version = version"
            " ORDER BY position".encode(),
        )
        return positions if len(positions) == len(self._columns[0]) else []

    def _positions(self, connection: Connection, statement: bytes) -> list[int]:
        rows = connection.execute(statement, self._columns, binary=True).fetchall()
        return [row[0] for row in rows]


class PostgresLogFactory(InfrastructureFactory[Any]):
    """What the library asks for recorders. Creates nothing: see `migrate`."""

    def __init__(self, connections: Connections, env: Environment) -> None:
        super().__init__(env)
        self._connections = connections

    def application_recorder(self) -> PostgresLogRecorder:
        """Return the recorder of the log."""
        return PostgresLogRecorder(self._connections)

    def aggregate_recorder(self, purpose: str = "events") -> PostgresSnapshotRecorder:
        """Return the recorder of the snapshots."""
        assert purpose == "snapshots", purpose
        return PostgresSnapshotRecorder(self._connections)

    def tracking_recorder(self, tracking_recorder_class: Any = None) -> NoReturn:
        """Refuse: read models keep their checkpoints themselves."""
        raise NotImplementedError

    def process_recorder(self) -> NoReturn:
        """Refuse: read models keep their checkpoints themselves."""
        raise NotImplementedError
