"""What the log and the credentials need of a database; SQLite and PostgreSQL give it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment

if TYPE_CHECKING:
    from packledger.eventstore.reactions import ReactionTable

LogRow = tuple[int, str, int, str, bytes]
"""Position, stream (32 hex digits), version in its stream, tag, stored bytes."""

SnapshotRow = tuple[str, int, str, bytes]
"""Stream (32 hex digits), version, tag, stored bytes."""


class LogRecorder(Protocol):
    """The recorder of the total order, beside what the library asks of it.

    Positions are 1, 2, 3, … and become visible in that order.
    """

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Append all of them durably, or none, and return their positions.

        Raises:
            IntegrityError: a (stream, version) is taken.
            PersistenceError: the database cannot be written.
        """
        ...

    def select_rows(self, after: int, limit: int, until: int | None) -> list[LogRow]:
        """Return at most `limit` events with positions in (after, until], in order."""
        ...

    def select_stream_rows(
        self, stream: UUID, until: int | None, newest: int | None
    ) -> list[LogRow]:
        """Return the newest events of one stream up to a position, in order; None: all of them."""
        ...

    def select_places(self, stream: str, version: int, limit: int) -> list[tuple[str, int, int]]:
        """Return the (stream, version, position) of at most `limit` events, in that order.

        They follow the version of the stream. stream: 32 hex digits.
        """
        ...

    def damage(self) -> str:
        """Return what the database itself finds wrong with its files, empty when nothing."""
        ...

    def max_notification_id(self) -> int | None:
        """Return the newest position."""
        ...


class SnapshotRecorder(Protocol):
    """The recorder of snapshots, beside what the library asks of it."""

    def select_snapshots(self, stream: str, version: int, limit: int) -> list[SnapshotRow]:
        """Return at most `limit` snapshots, in order, that follow the version of a stream.

        stream: 32 hex digits, or empty for the first.
        """
        ...

    def delete_snapshots(self) -> int:
        """Remove all of them and return how many there were."""
        ...


class Watch(Protocol):
    """Notices what others append. Belongs to one thread."""

    def wait(self, timeout_s: float) -> bool:
        """Block until somebody may have appended since the last call, at most `timeout_s`.

        True at first. A notice that is lost costs a delay, never an event.
        """
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class CredentialsTable(Protocol):
    """Runs the few statements of `Credentials`; `?` stands for a value."""

    def change(self, statement: str, *values: str) -> int:
        """Run one durable statement and return how many rows it changed.

        It may run twice if its outcome was unknown, so it must be harmless and say the same then.

        Raises:
            Unavailable: the database cannot be written.
        """
        ...

    def one(self, statement: str, *values: str) -> tuple[str, ...] | None:
        """Return the first row.

        Raises:
            Unavailable: the database cannot be read.
        """
        ...


class Store(Protocol):
    """A database with a log, its snapshots, credentials and reactions. Open it after any fork."""

    def factory(self, env: Environment) -> InfrastructureFactory[Any]:
        """Return the library's factory; its application recorder is a `LogRecorder`."""
        ...

    def watch(self) -> Watch:
        """Return a watch on what others append; it belongs to the caller, who closes it."""
        ...

    def credentials(self) -> CredentialsTable:
        """Return the table of the credentials."""
        ...

    def reactions(self) -> "ReactionTable":
        """Return the table of the reactions."""
        ...

    def close(self) -> None:
        """Close every connection but those of watches."""
        ...
