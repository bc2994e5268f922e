"""A consistent copy of a SQLite store while it is used.

Source: https://www.sqlite.org/backup.html
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs.store import sync_directory
from packledger.eventstore.damaged_log import damage_as_refusal

STEP_PAGES = 2_000
"""8 MB: how much is copied between two looks at the progress."""


def copy_database(
    source: Path, target: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Copy the log, snapshots, credentials and checkpoints as they are at one moment; durable.

    Nobody waits for it: it is one read transaction, during which the write-ahead log grows.
    target: does not exist; one file, readable by its owner alone. progress: pages done, and all.

    Raises:
        Unavailable: the copy is damaged, so the source is.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with (
        damage_as_refusal(),
        closing(sqlite3.connect(source, isolation_level=None, timeout=30)) as live,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        # With a transaction of its own the source stays what it is, whoever appends meanwhile.
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        live.backup(
            copy,
            pages=STEP_PAGES,
            progress=lambda status, left, total: progress(total - left, total),
        )
        copy.execute("PRAGMA journal_mode = DELETE")
        check_database(copy)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    sync_directory(target.parent)


def check_database(db: sqlite3.Connection) -> None:
    """Check that SQLite can read everything.

    Raises:
        Unavailable: it cannot.
    """
    try:
        said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a name in it may be damaged
        said = str(error)
    if said != "ok":
        raise Unavailable(
            f"the event store is damaged ({' '.join(said.split())}); restore it from the newest "
            "good backup, see docs/OPERATIONS.md"
        )


def last_event(db: sqlite3.Connection) -> tuple[int, bytes]:
    """Return the position and the stored bytes of a log's newest event, 0 when it is empty."""
    row = db.execute("SELECT position, state FROM stored_events ORDER BY position DESC LIMIT 1")
    found: tuple[int, bytes] | None = row.fetchone()
    return found or (0, b"")
