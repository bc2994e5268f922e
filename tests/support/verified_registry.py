"""A registry that was stopped, for `packledger verify`, and ways to damage its event store."""

import copy
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import structs

from packledger.audit.checks.verify import Report
from packledger.cli.verify import verify_all
from packledger.server.processes.signing import opened_signer
from small_registry import ADMIN, SmallRegistry

STREAMS = "sqlite_autoindex_stored_events_1"


class Verified:
    """A stopped registry with a bit of everything, its log signed."""

    def __init__(self, folder: Path) -> None:
        with closing(SmallRegistry(folder)) as small:
            self.settings, self.data = small.settings, folder
            small.registry.board.stop()
            for version in ("1.0.0", "1.1.0"):
                small.publish_crate(ADMIN, "demo", version)
                small.publish_npm(ADMIN, "@acme/tool", version)
            small.catch_up()
            with opened_signer(small.settings) as (signer, _):
                signer.step()

    def copied_to(self, folder: Path) -> "Verified":
        shutil.copytree(self.data, folder)
        copied = copy.copy(self)
        copied.settings = structs.replace(self.settings, data=str(folder))
        copied.data = folder
        return copied

    def verify(self, since: int = 0, admins: Sequence[str] = ()) -> Report:
        return verify_all(self.settings, since, blobs=True, admins=admins)

    def whats(self, since: int = 0) -> list[str]:
        return [fault.what for fault in self.verify(since).faults]

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.data / "events.sqlite")) as db, db:
            assert db.execute(statement).rowcount > 0

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.data / "events.sqlite")) as db:
            return db.execute(query).fetchall()

    def change_index(
        self, statement: str, index: str = STREAMS, columns: str = "stream, version, position"
    ) -> None:
        """Change an index, and not its table: a table without rowids has the same form in a file.

        statement: for the table `entries`; columns: those of the index, then the rowid; with DESC
        behind one of them, what is inserted gets into a wrong place.
        """
        store = self.data / "events.sqlite"
        names = columns.replace(" DESC", "")
        entries = f"CREATE TABLE entries ({names}, PRIMARY KEY ({columns})) WITHOUT ROWID"
        with closing(sqlite3.connect(store)) as db, db:
            db.execute("PRAGMA writable_schema = ON")
            db.execute(
                "INSERT INTO sqlite_master SELECT 'table', 'entries', 'entries', rootpage, ?"
                " FROM sqlite_master WHERE name = ?",
                (entries, index),
            )
        with closing(sqlite3.connect(store)) as db, db:
            assert db.execute(statement).rowcount > 0
            db.execute("PRAGMA writable_schema = ON")
            db.execute("DELETE FROM sqlite_master WHERE name = 'entries'")

    def page_of(self, index: str = STREAMS) -> bytes:
        """An index's root, which is all of it in a small store."""
        start, end = self._page(index)
        return (self.data / "events.sqlite").read_bytes()[start:end]

    def write_page(self, page: bytes, index: str = STREAMS) -> None:
        start, end = self._page(index)
        store = self.data / "events.sqlite"
        content = store.read_bytes()
        store.write_bytes(content[:start] + page + content[end:])

    def _page(self, index: str) -> tuple[int, int]:
        ((root,),) = self.rows(f"SELECT rootpage FROM sqlite_master WHERE name = '{index}'")
        ((size_bytes,),) = self.rows("PRAGMA page_size")
        return (root - 1) * size_bytes, root * size_bytes
