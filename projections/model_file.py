"""The SQLite file of a read model, looked at by those that do not write it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from packledger.projections.generation import database_uri
from packledger.projections.projection import Meta


def open_live(model: Path) -> sqlite3.Connection:
    """Return a connection to a read model that is there.

    Not read-only: it may have to begin with what a killed process left in its journal.

    Raises:
        sqlite3.DatabaseError: it is not there.
    """
    return sqlite3.connect(database_uri(model, "rw"), uri=True, isolation_level=None)


def meta_of(model: Path) -> Meta | None:
    """Return what a file says of itself, None if it is missing or damaged."""
    try:
        with closing(open_live(model)) as db:
            said = dict(db.execute("SELECT key, value FROM meta"))
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return None
    numbers = (said.get("position", 0), said.get("schema", 0), said.get("renderer", 0))
    return Meta(*numbers, bool(said.get("built")))


def damage_of(model: Path) -> str:
    """Return what is wrong with the structure of a file, empty when nothing is."""
    try:
        with closing(open_live(model)) as db:
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            said = dict(db.execute("SELECT key, value FROM meta"))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a name in it may be damaged
        return str(error)
    if verdict != "ok":
        return str(verdict)
    numbers = [said.get("position"), *said.values()]
    return "" if all(isinstance(one, int) for one in numbers) else "its position is no number"
