"""Connections for what is beside the log in its file: one for every few statements."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from packledger.eventstore.damaged_log import damage_as_refusal


@contextmanager
def durable_connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection whose commits are durable.

    Raises:
        DamagedLog: the file is damaged.
    """
    with (
        damage_as_refusal(),
        closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA synchronous=FULL")
        yield connection
