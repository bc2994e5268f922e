"""How a damaged event store shows: what is read from it cannot be what was appended.

Positions are 1, 2, 3, … and so are the versions of each stream, in the same order. Bytes that were
changed into others that make sense do not show here: `packledger verify` compares them with what
was signed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventsourcing.persistence import PersistenceError

from packledger.domain.errors import Unavailable
from packledger.eventstore.store import LogRow

_MALFORMED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DamagedLog(Unavailable):
    """What the event store holds cannot be the log that was written; waiting does not help."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the registry's event store is damaged: {what}; ask its operator to run "
            "`packledger verify`, and to restore it from a backup"
        )


@contextmanager
def damage_as_refusal() -> Iterator[None]:
    """Say what it means when SQLite says that its file is `malformed`, or none at all.

    Raises:
        DamagedLog: it says so.
    """
    try:
        yield
    except (PersistenceError, sqlite3.DatabaseError) as error:
        cause = error.__cause__ if isinstance(error, PersistenceError) else error
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF not in _MALFORMED:
            raise
        raise DamagedLog(str(error)) from error


def check_page(rows: Sequence[LogRow], after: int) -> None:
    """Check that rows are what follows a position.

    Raises:
        DamagedLog: one is missing.
    """
    if rows and rows[-1][0] != after + len(rows):
        missing = next(at for at, row in enumerate(rows, after + 1) if row[0] != at)
        raise DamagedLog(f"the event at position {missing} is missing")


def check_stream(rows: Sequence[LogRow], name: str, first: int | None = 1) -> None:
    """Check that rows are a stream from a version on, None for any.

    Raises:
        DamagedLog: one is missing or in another's place.
    """
    positions = [row[0] for row in rows]
    versions = [row[2] for row in rows]
    begin = versions[0] if rows and first is None else first or 1
    if positions != sorted(positions) or versions != list(range(begin, begin + len(rows))):
        raise DamagedLog(f"an event of `{name}` is missing, or in another's place")
