"""A read model: one SQLite file whose rows and checkpoint commit together.

`synchronous=NORMAL`: a power loss may take the last commits with it, rows and checkpoint alike, and
the projector applies those events again. Nothing here is truth. A page of events that change no row
is not written: the checkpoint follows later, and until then a restart reads them again.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from packledger.eventstore.blobs.store import sync_directory
from packledger.feeds.feed import Recorded
from packledger.projections.comparison import Pair, digest_of
from packledger.projections.generation import MODEL
from packledger.projections.projection import Digest, Fold

KEEP_ROWS = 400_000
"""Heads that a private read model keeps in memory before half of them are written: about 0.6 KB
each, so that four models and their caches should stay below 1.5 GiB. From there on most events read
a head again, and write it again: in a small log a fifth more of what an event costs (ADR 0062)."""
SKIPPED_EVENTS = 500
"""How many events a checkpoint may lack that changed no row: a page, which takes 10 ms to read."""
_CACHE = "cache_size=-2000"
"""2 MB: enough for rows that are added at the end of their table."""
_LARGE_CACHE = "cache_size=-65536"
"""For rows that are looked up in any order: those of two million versions, by an index of 70 MB, or
heads, of which a million have 150 MB."""
_PRIVATE = ("journal_mode=OFF", "synchronous=OFF", _CACHE)
_SHARED = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    _CACHE,
    # 16 MB instead of 4: whoever publishes waits for a checkpoint's two syncs, one in 30 did
    "wal_autocheckpoint=4000",
)


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Run statements inside the transaction that there is, which `executescript` would end."""
    for statement in filter(str.strip, script.split(";")):
        db.execute(statement)


class Gap(Exception):
    """The feed skipped a position; applying what follows would corrupt the read model."""


class ReadModel:
    """The writer's side of a read model's file.

    private: nobody reads the file until `share`, and it starts anew if it is interrupted; then it
    needs no journal, and rows may stay in memory while there are fewer than `KEEP_ROWS`.
    lazy: the checkpoint may be behind what `apply` returned, by events that changed no row.
    """

    def __init__(
        self, path: Path, projection: Fold, *, private: bool = False, lazy: bool = False
    ) -> None:
        self._projection, self._path, self._private = projection, path, private
        self._concerns = projection.concerns if lazy else None
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._pragmas(_PRIVATE if private else _SHARED)
        with self._transaction():
            self.db.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER)")
            self._indexed = self._meta("position") is not None
            if not self._indexed:
                run_script(self.db, projection.tables)
                rows = {
                    "position": 0,
                    "schema": projection.schema,
                    "renderer": projection.renderer,
                    "built": 0,
                }
                self.db.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
            if not private:
                self._make_indexes()
        self._passed = self._expected = self._meta("position") or 0
        """What was applied or passed over, and the checkpoint as we wrote it."""

    def _pragmas(self, pragmas: Sequence[str]) -> None:
        for pragma in pragmas:
            self.db.execute(f"PRAGMA {pragma}")

    def _make_indexes(self) -> None:
        """Make the indexes unless they are there: of many rows at once for a third of the time."""
        if not self._indexed:
            if self._private:
                self._pragmas([_LARGE_CACHE])
            run_script(self.db, self._projection.indexes)
            self._indexed = True

    def _meta(self, key: str) -> int | None:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def position(self) -> int:
        """Return the checkpoint: the last position applied."""
        return self._expected if self._private else self._meta("position") or 0

    def _set_position(self, position: int) -> None:
        self.db.execute("UPDATE meta SET value = ? WHERE key = 'position'", (position,))

    def stamp(self) -> tuple[int, int]:
        """Return the schema and renderer versions that the file was written with."""
        return self._meta("schema") or 0, self._meta("renderer") or 0

    def built(self) -> bool:
        """Return whether the model has been up to date at some time, so that it may be read."""
        return bool(self._meta("built"))

    def set_built(self) -> None:
        """Say that the model is up to date now."""
        with self._transaction():
            self.db.execute("UPDATE meta SET value = 1 WHERE key = 'built'")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside; in a private file the first transaction lasts until `share`.

        Else every page would write the leaves of the indexes that its keys are scattered over.
        """
        if not self.db.in_transaction:
            self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            if not self._private:
                self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            self._projection.forget()
            raise

    def apply(self, page: Sequence[Recorded]) -> int:
        """Apply the events of a page that are new here; return the last position, committed.

        Raises:
            Gap: the page does not continue what was applied.
        """
        if self._passes_over(page):
            return self._passed
        with self._transaction():
            position = self.position()
            if position != self._expected:
                self._projection.forget()
                self._passed = position
            position = self._passed
            fresh = self._fresh(page)
            if fresh:
                position = fresh[-1].position
                self._projection.apply(self.db, fresh)
                if not self._private:
                    self._projection.flush(self.db)
                    self._set_position(position)
                elif self._projection.kept() >= KEEP_ROWS:
                    self._pragmas([_LARGE_CACHE])
                    self._projection.spill(self.db)
        self._passed = self._expected = position
        return position

    def _fresh(self, page: Sequence[Recorded]) -> list[Recorded]:
        """Return what of a page was not applied yet."""
        fresh = [recorded for recorded in page if recorded.position > self._passed]
        if fresh and fresh[0].position != self._passed + 1:
            raise Gap(
                f"{self._projection.name} is at position {self._passed}, the feed continues with "
                f"{fresh[0].position}"
            )
        return fresh

    def _passes_over(self, page: Sequence[Recorded]) -> bool:
        """Take note of a page that changes no row, and return whether it is such a one."""
        if self._concerns is None or page[-1].position - self._expected > SKIPPED_EVENTS:
            return False
        fresh = self._fresh(page)
        if not self._concerns.isdisjoint([type(recorded.event) for recorded in fresh]):
            return False
        self._passed = max(self._passed, page[-1].position)
        return True

    def end(self) -> None:
        """Write what is kept and commit: nothing more comes into a private file."""
        with self._transaction():
            self._make_indexes()
            self._projection.flush(self.db)
            self._set_position(self._expected)
        self.db.execute("COMMIT")
        self._private = False
        self._pragmas([_CACHE, "shrink_memory"])

    def share(self) -> None:
        """Make a private file one that may be read and followed: whole, and on the disk."""
        self.end()
        self._pragmas(_SHARED)
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        sync_directory(self._path.parent)

    def hold(self) -> None:
        """Go on seeing what is there now, whatever others write; until `close`."""
        self.db.execute("BEGIN")
        self._meta("position")  # SQLite takes its snapshot at the first read

    def digest(self) -> Digest:
        """Return what its rows come to."""
        return digest_of(self.db)

    def beside(self, live: Path) -> Pair | None:
        """Return the read model in the folder `live` beside this one; None if it is damaged."""
        try:
            return Pair(self._projection, self.db, self._path, live / MODEL)
        except (sqlite3.DatabaseError, LookupError, ValueError, TypeError):
            return None

    def close(self) -> None:
        """Close the file, its checkpoint as far as events were passed over."""
        if self._passed > self._expected:
            # Else a restart reads them again; the file may be damaged, or the disk full.
            with suppress(sqlite3.Error), self._transaction():
                if self._meta("position") == self._expected:
                    self._set_position(self._passed)
        self._projection.forget()
        self.db.close()
