"""The reader's side of a read model: read-only connections that follow a swap of generations."""

import sqlite3
import threading
from typing import TYPE_CHECKING

from packledger.domain.errors import Unavailable
from packledger.projections.generation import Generations, database_uri

if TYPE_CHECKING:  # the board knows every projection, and some of these read others
    from packledger.projections.board import Board

CACHE_KIB = 256
"""Per connection (SQLite's default is 2 MiB): every thread has one for each projection, and the
pages are in the kernel's cache anyway."""


class ModelReader:
    """Read-only connections to one projection's live generation, one for each thread."""

    def __init__(
        self, generations: Generations, board: "Board", projection: str, schema: int
    ) -> None:
        self._generations, self._board = generations, board
        self.projection, self._schema = projection, schema
        self._local = threading.local()

    def state(self) -> tuple[int, int]:
        """Return (generation, position): while it stays the same, so does every document."""
        return self._board.state(self.projection)

    def db(self) -> sqlite3.Connection:
        """Return this thread's connection.

        Raises:
            Unavailable: the projection is being built for the first time.
        """
        if not self._board.readable(self.projection):
            raise _not_ready(self.projection)
        generation = self._board.generation(self.projection)
        if getattr(self._local, "generation", None) != generation:
            self._reopen(generation)
        db: sqlite3.Connection = self._local.db
        return db

    def _reopen(self, generation: int) -> None:
        path = self._generations.model(generation)
        try:
            db = sqlite3.connect(database_uri(path, "ro"), uri=True, isolation_level=None)
            row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise _not_ready(self.projection) from error
        if row is None or row[0] != self._schema:
            raise _not_ready(self.projection)
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._local.generation, self._local.db = generation, db


def _not_ready(projection: str) -> Unavailable:
    return Unavailable(
        f"the registry is still building `{projection}`; try again in a moment, and if it stays so "
        f"ask its operator to run `packledger rebuild {projection}`"
    )
