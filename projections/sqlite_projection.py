"""A projection whose generations are one SQLite file each: what every fold of rows inherits."""

import sqlite3
from contextlib import closing
from pathlib import Path

from packledger.domain.events.event import Event
from packledger.projections.generation import MODEL
from packledger.projections.model_file import damage_of, meta_of, open_live
from packledger.projections.projection import Fold, Meta
from packledger.projections.read_model import ReadModel


class SQLiteProjection:
    """Opens, and looks at, the file of a generation; the subclass is a `Fold`."""

    has_files = False
    concerns: frozenset[type[Event]] | None = None

    def open(self: Fold, folder: Path, *, private: bool = False, lazy: bool = False) -> ReadModel:
        """Open a generation to write it, begun if the folder is empty."""
        return ReadModel(folder / MODEL, self, private=private, lazy=lazy)

    def meta(self, folder: Path) -> Meta | None:
        """Return what a generation says of itself, None if it is missing or damaged."""
        return meta_of(folder / MODEL)

    def damage(self, folder: Path) -> str:
        """Return what is wrong with a generation's file, empty when nothing is."""
        model = folder / MODEL
        return damage_of(model) if model.exists() else "it is missing"

    def lacks(self: Fold, folder: Path) -> str:
        """Return which tables and indexes are not there, or others; empty when they all are."""
        with closing(open_live(folder / MODEL)) as db, closing(sqlite3.connect(":memory:")) as ours:
            ours.executescript(f"{self.tables};{self.indexes}")
            try:
                missing = _tables(ours) - _tables(db)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                return str(error)
        return f"it lacks {', '.join(sorted(name for name, _ in missing))}" if missing else ""


def _tables(db: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(db.execute("SELECT name, coalesce(sql, '') FROM sqlite_master"))
