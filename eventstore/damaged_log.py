"""How a damaged event store shows: what is read from it cannot be what was appended.

Positions are 1, 2, 3, … and so are the versions of each stream, in the same order. Bytes that were
changed into others that make sense do not show here: `packledger verify` compares them with what
was signed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from eventsourcing.persistence import PersistenceError

from packledger.domain.errors import Unavailable
from packledger.eventstore.store import LogRow

_MALFORMED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_TEXT = "Could not decode to UTF-8"
_OTHER_TABLES = ("no such table", "no such column", "no such index")
"""What Python and SQLite say, without a code of their own. Every statement fits our tables."""
MISFITS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    sqlite3.IntegrityError,
)
"""Not what says that a disk is full."""


class DamagedLog(Unavailable):
    """What the event store holds cannot be the log that was written; waiting does not help."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the registry's event store is damaged: {what}; ask its operator to run "
            "`packledger verify`, and to restore it from a backup"
        )


@contextmanager
def damage_as_refusal() -> Iterator[None]:
    """Say what it means when SQLite's file is `malformed`, none at all, or has other tables.

    Texts in it that are not UTF-8 are damage, too, even those that SQLite names in an error.

    Raises:
        DamagedLog: it is so.
    """
    try:
        yield
    except (PersistenceError, sqlite3.DatabaseError, UnicodeDecodeError) as error:
        cause = error.__cause__ if isinstance(error, PersistenceError) else error
        if not _is_damage(cause):
            raise
        raise DamagedLog(_said(error)) from error


@contextmanager
def misfits_as_damage(whose: str) -> Iterator[None]:
    """Take it for damage when events cannot be folded, which trusts them.

    Raises:
        DamagedLog: they are not what commands have decided.
    """
    try:
        yield
    except MISFITS as error:
        raise DamagedLog(
            f"the events of {whose} do not follow from each other "
            f"({type(error).__name__}: {_printable(error)})"
        ) from error


def _is_damage(error: BaseException | None) -> bool:
    if isinstance(error, UnicodeDecodeError) or str(error).startswith((_NO_TEXT, *_OTHER_TABLES)):
        return True
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _MALFORMED


def _said(error: Exception) -> str:
    """Return what is said, on one line, without the text itself: it may be a private key."""
    return _printable(str(error).partition(" with text ")[0])


def _printable(said: object) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(said))


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
