"""The tables of the SQLite store, and whether a file has just these.

A damaged name or column in SQLite's own catalogue is no fault to SQLite: it is another table, and
ours is made anew, empty.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache

from packledger.eventstore.damaged_log import DamagedLog

EVENTS = (
    "CREATE TABLE IF NOT EXISTS stored_events (position INTEGER PRIMARY KEY,"
    " originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL,"
    " topic TEXT NOT NULL, state BLOB NOT NULL,"
    " UNIQUE (originator_id, originator_version))"
)
SNAPSHOTS = (
    "CREATE TABLE IF NOT EXISTS stored_snapshots (originator_id TEXT, originator_version INTEGER,"
    " topic TEXT, state BLOB, PRIMARY KEY (originator_id, originator_version)) WITHOUT ROWID"
)
CREDENTIALS = (
    "CREATE TABLE IF NOT EXISTS credentials (account TEXT PRIMARY KEY,"
    " password_hash TEXT NOT NULL, email TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS setup (id INTEGER PRIMARY KEY, code_sha256 TEXT)",
    "CREATE TABLE IF NOT EXISTS log_checkpoint (log TEXT PRIMARY KEY,"
    " number TEXT NOT NULL, signed TEXT NOT NULL, published TEXT NOT NULL,"
    " vkey TEXT NOT NULL, refusal TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS signing_keys (keyid TEXT PRIMARY KEY, private_key TEXT NOT NULL)",
)
REACTIONS = (
    "CREATE TABLE IF NOT EXISTS reactions (reaction TEXT PRIMARY KEY, fence INTEGER NOT NULL,"
    " position INTEGER NOT NULL, attempts INTEGER NOT NULL, error TEXT NOT NULL,"
    " leased_from REAL NOT NULL, leased_until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS parked_events (reaction TEXT NOT NULL, position INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (reaction, position))",
)
"""Made by the first reaction that begins; a registry without one has neither."""
_COLUMNS = (
    'SELECT made.name, field.name, upper(field.type), field."notnull", field.pk'
    " FROM sqlite_master AS made, pragma_table_info(made.name) AS field"
    " WHERE made.type = 'table' AND made.name NOT LIKE 'sqlite_%'"
)


def check_tables(db: sqlite3.Connection) -> None:
    """Refuse a file in which a table of ours has other columns: nothing may be added to it.

    Raises:
        DamagedLog: it has one.
    """
    strange = strange_tables(db) & {name for name, _ in _ours()}
    if strange:
        raise DamagedLog(as_damage(strange))


def strange_tables(db: sqlite3.Connection) -> set[str]:
    """Return the names of the tables that are not ours as we make them; some may be missing."""
    found = set(map(_column, db.execute(_COLUMNS)))
    return {name for name, _ in found ^ _ours()} & {name for name, _ in found}


def as_damage(strange: set[str]) -> str:
    """Return what is wrong with a file that has such tables."""
    names = ", ".join(f"`{name}`" for name in sorted(strange))
    return f"these of its tables are not as they were made: {names}"


@cache
def _ours() -> frozenset[tuple[str, tuple[object, ...]]]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        for table in (EVENTS, SNAPSHOTS, *CREDENTIALS, *REACTIONS):
            fresh.execute(table)
        return frozenset(map(_column, fresh.execute(_COLUMNS)))


def _column(row: Sequence[object]) -> tuple[str, tuple[object, ...]]:
    return str(row[0]), tuple(row[1:])
