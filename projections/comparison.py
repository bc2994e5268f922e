"""Two generations of a read model side by side: whether their rows differ, and which documents."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from packledger.projections.model_file import open_live
from packledger.projections.projection import Difference, Digest, Fold

ROWS_TOGETHER = 200
FTS5_INDEX = ("data", "idx", "docsize", "config")
"""The tables of a full-text index, behind its name. Source: https://www.sqlite.org/fts5.html"""
_encode = msgspec.msgpack.Encoder().encode


def digest_of(db: sqlite3.Connection) -> Digest:
    """Return the digest of a read model's rows, without its checkpoint.

    Rows stand in the order in which they were first written, which is that of the log. Putting all
    documents together instead costs three times as much.
    """
    count, digest = 0, hashlib.sha256()
    for name, kind in _tables(db, "main"):
        digest.update(name.encode() + b"\0")
        columns = "rowid, *" if kind == "virtual" else "*"
        rows = db.execute(f"SELECT {columns} FROM main.{name}")  # noqa: S608 - our own tables
        while some := rows.fetchmany(ROWS_TOGETHER):
            count += len(some)
            digest.update(_encode(some))
    return Digest(count, digest.hexdigest())


def _tables(db: sqlite3.Connection, schema: str) -> list[tuple[str, str]]:
    """Return the names and kinds of the tables; what FTS5 keeps for itself is not among them."""
    return sorted(
        (name, kind)
        for _, name, kind, *_ in db.execute(f"PRAGMA {schema}.table_list")
        if kind in {"table", "virtual"} and name != "meta" and not name.startswith("sqlite_")
    )


class Pair:
    """A live read model beside its replay, which is written through a connection of its own."""

    def __init__(self, fold: Fold, ours: sqlite3.Connection, replay: Path, live: Path) -> None:
        """ours: the replay's connection.

        Raises:
            sqlite3.DatabaseError, LookupError, ValueError, TypeError: the live one is not there, or
                damaged.
        """
        self._fold, self._ours, self._path = fold, ours, replay
        self._db = open_beside(live, replay)
        try:
            self.position()
        except BaseException:
            self._db.close()
            raise

    def position(self) -> int:
        """Return the live one's checkpoint."""
        return int(self._meta("main")["position"])

    def _meta(self, schema: str) -> dict[str, int]:
        return dict(self._db.execute(f"SELECT key, value FROM {schema}.meta"))  # noqa: S608 - ours

    def begin(self) -> bool:
        """From now on see the live one as it is; return whether it should equal its replay."""
        self._db.execute("BEGIN")
        theirs = self._meta("main")
        if self._ours.in_transaction:
            return False  # still private: not even its tables are there for others
        replay = self._meta("replay")
        return all(theirs[key] == replay[key] for key in ("position", "schema", "renderer"))

    def difference(self) -> Difference:
        """Return what is not the same; documents are looked at only where rows differ."""
        tables = tables_that_differ(self._db)
        documents = list(differences(self._fold, self._ours, self._db)) if tables else []
        # A row may differ that no document shows; those of files come and go.
        shown = documents or self._fold.has_files
        return Difference(documents, [] if shown else tables)

    def damage(self) -> str:
        """Return what is wrong with the indexes, whose tables are right; empty when nothing is."""
        damage = "ok"
        if indexes_that_differ(self._db):
            (damage,) = self._db.execute("PRAGMA main.integrity_check(1)").fetchone()
        broken = self._broken_texts() if damage == "ok" else []
        if broken:
            damage = f"the full-text index of {', '.join(broken)} does not fit it"
        return "" if damage == "ok" else f"is damaged: {damage}"

    def _broken_texts(self) -> list[str]:
        """Return the full-text indexes that do not fit the texts, which are those of the replay.

        It gets them, since the check writes.
        Source: https://www.sqlite.org/fts5.html#the_integrity_check_command
        """
        listed = self._ours.execute("PRAGMA table_list")
        names = [name for _, name, kind, *_ in listed if kind == "virtual"]
        for table in (f"{name}_{part}" for name in names for part in FTS5_INDEX):
            self._db.execute(f"DELETE FROM replay.{table}")  # noqa: S608 - our own names
            self._db.execute(f"INSERT INTO replay.{table} SELECT * FROM main.{table}")  # noqa: S608
        self._db.execute("COMMIT")
        broken = []
        with closing(sqlite3.connect(self._path)) as copy:
            for name in names:
                try:
                    copy.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")  # noqa: S608
                except sqlite3.DatabaseError:
                    broken.append(name)
        return broken

    def close(self) -> None:
        """Forget the live one."""
        self._db.close()


def open_beside(live: Path, replay: Path) -> sqlite3.Connection:
    """Return a connection to a read model that is there, with its replay as the schema `replay`.

    Raises:
        sqlite3.DatabaseError: the live one is not there, or damaged.
    """
    db = open_live(live)
    try:
        db.execute("ATTACH ? AS replay", (str(replay),))
    except BaseException:
        db.close()
        raise
    return db


def tables_that_differ(db: sqlite3.Connection) -> list[str]:
    """Return the tables whose rows are not those of the replay, in whatever order.

    SQLite compares them, without a Python object for each value. db: as `open_beside` gives it.
    """
    return [name for name, _ in _tables(db, "replay") if not _is_same(db, name)]


def indexes_that_differ(db: sqlite3.Connection) -> list[str]:
    """Return the indexes that are not those of the replay, row by row; full-text ones left out.

    SQLite's own check, which looks every row up in every index, takes three times as long.
    """
    return [
        index
        for _, table, kind, _, without_rowid, _ in db.execute("PRAGMA replay.table_list").fetchall()
        if kind == "table" and not without_rowid
        for _, index, *_ in db.execute(f"PRAGMA replay.index_list({table})").fetchall()
        if not _is_same(db, table, index)
    ]


def _is_same(db: sqlite3.Connection, table: str, index: str = "") -> bool:
    """Return whether each row, or entry of an index, has its equal, and no other is there."""
    if index:
        columns = [row[2] for row in db.execute(f"PRAGMA replay.index_info({index})")]
        keys, by = [*columns, "rowid"], f"INDEXED BY {index}"
    else:
        listed = db.execute(f"PRAGMA replay.table_info({table})").fetchall()
        columns, by = [name for _, name, *_ in listed], ""
        keys = [name for _, name, *_, in_key in listed if in_key] or ["rowid"]
    where = " AND ".join(f"ours.{name} = theirs.{name}" for name in keys)
    same = " AND ".join(f"ours.{name} IS theirs.{name}" for name in columns)
    statement = (
        f"SELECT (SELECT count(*) FROM replay.{table}), count(*),"  # noqa: S608 - our own names
        f" count(CASE WHEN {where} AND {same} THEN 1 END)"
        f" FROM main.{table} AS theirs {by} LEFT JOIN replay.{table} AS ours {by} ON {where}"
    )
    try:
        ours, theirs, equal = db.execute(statement).fetchone()
    except (sqlite3.DatabaseError, ValueError):  # what SQLite says may have damaged letters
        return False
    return bool(ours == theirs == equal)


def differences(
    projection: Fold, ours: sqlite3.Connection, theirs: sqlite3.Connection
) -> Iterator[str]:
    """Yield the keys of documents that are not the same, in order.

    A file that is damaged has no documents from there on.
    """
    pairs = side_by_side(projection.documents(ours), readable(projection, theirs))
    return (key for key, body, other in pairs if body != other)


def readable(projection: Fold, live: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Yield the live documents up to the first that a damaged file cannot give."""
    try:
        yield from projection.documents(live)
    except (sqlite3.DatabaseError, ValueError, TypeError, LookupError, AttributeError):
        return


def side_by_side(
    ours: Iterator[tuple[str, bytes]], theirs: Iterator[tuple[str, bytes]]
) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """Merge two key-ordered streams into (key, ours, theirs), None where one lacks the key."""
    left, right = next(ours, None), next(theirs, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield left[0], left[1], None
            left = next(ours, None)
        elif left is None or right[0] < left[0]:
            yield right[0], None, right[1]
            right = next(theirs, None)
        else:
            yield left[0], left[1], right[1]
            left, right = next(ours, None), next(theirs, None)
