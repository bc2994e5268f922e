"""What PostgreSQL's errors mean to the log: a conflict, a refusal, or a lost connection."""

import psycopg
from eventsourcing.persistence import IntegrityError, OperationalError, PersistenceError

_REASONS = {
    "25006": "it is read-only",
    "28": "it refuses the user or the password",
    "3D000": "it does not exist",
    "42501": "its user has not the right to do this",
    "42": "its tables are not those of this release, run `packledger migrate`",
    "53100": "its disk is full",
    "53300": "it has too many connections",
    "55P03": "it is locked",
    "57014": "it takes too long",
}
"""By SQLSTATE or its class. Source: PostgreSQL's appendix A, "PostgreSQL Error Codes"."""

_LOST = ("08", "57P")
"""Connection exceptions; shutdown by an administrator, crash, not yet started."""


class LostConnection(OperationalError):
    """The connection broke and no other could tell: what was begun may have happened or not."""

    def __init__(self) -> None:
        super().__init__("the connection to it was lost")


class AllBusy(psycopg.OperationalError):
    """No connection became free in time."""

    def __init__(self) -> None:
        super().__init__(
            "the connections of this process are all in use; `database_connections` allows more"
        )


def is_lost(error: psycopg.Error) -> bool:
    """Return whether there was no connection, or not until the end of what was to be done."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_LOST)


def translated(error: psycopg.Error) -> PersistenceError:
    """Return the library's error for one of PostgreSQL; its text says why, of the database "it"."""
    if isinstance(error, psycopg.IntegrityError):
        return IntegrityError(reason(error))
    if isinstance(error, AllBusy):
        return OperationalError(str(error))
    if is_lost(error):
        return OperationalError("it cannot be reached")
    state = error.sqlstate or ""
    known = next((why for code, why in _REASONS.items() if state.startswith(code)), None)
    return OperationalError(known or f"it says: {reason(error)}")


def reason(error: psycopg.Error) -> str:
    """Return PostgreSQL's own words, in one line."""
    return error.diag.message_primary or " ".join(str(error).split())
