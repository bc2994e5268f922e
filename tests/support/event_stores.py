"""Every event store there is, and a writer that another process can be."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.events.event import Event, encode, tag_of
from packledger.domain.streams import CRATES, REGISTRY, AnyStream
from packledger.eventstore.log import Log, Recorded
from packledger.eventstore.postgres.store import PostgresStore
from packledger.eventstore.sqlite.store import SQLiteStore
from packledger.eventstore.store import Store
from postgres_server import PostgresServer
from small_registry import memory_folder

AT = "2026-11-21T10:00:00.000Z"
ACTOR = Actor(AT, "alice")
SNAPSHOT_KEY = b"k" * 32


STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.service)]


@contextmanager
def new_place(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield where a new store is: a file's path, or a database's URL."""
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.store() as url:
            yield url
    else:
        with memory_folder() as folder:
            yield str(folder / "events.sqlite")


def open_store(place: str) -> Store:
    if place.startswith("postgresql:"):
        return PostgresStore(place, 4)
    return SQLiteStore(Path(place))


def open_log(place: str) -> Log:
    return Log(open_store(place), snapshot_key=SNAPSHOT_KEY)


def open_sqlite(folder: Path) -> Log:
    return open_log(str(folder / "events.sqlite"))


def execute_sql(place: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run a statement behind the store's back and return its rows; `?` stands for a value."""
    if place.startswith("postgresql:"):
        with psycopg.connect(place, autocommit=True) as connection:
            cursor = connection.execute(statement.replace("?", "%s").encode(), values)
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(place, timeout=30)) as db, db:
        return db.execute(statement, values).fetchall()


def recorded(
    position: int, version: int, event: Event, kind: AnyStream = REGISTRY, name: str = ""
) -> Recorded:
    """Return an event as a log would, without one."""
    stream = kind.id(name).hex
    return Recorded(position, version, event, stream, tag_of(type(event)), encode(event))


def add_owner(log: Log, name: str, account: str) -> None:
    log.execute(
        CRATES,
        name,
        lambda state, version: crate.decide_owners(state, ACTOR, name, add=[account]),
    )


def add_owners(place: str, writer: int, count: int) -> None:
    """Add so many owners to the crate `demo`, one by one."""
    log = open_log(place)
    for number in range(count):
        add_owner(log, "demo", f"{writer}-{number}")
    log.close()
