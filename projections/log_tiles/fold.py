"""The transparency log's tiles: hashes of every level, and bundles of entries.

A full tile is one row that never changes again. What is not full yet is one row for each hash, so
an event costs the same whatever the log's size: a row, and once in 256 events a tile of them.

Source: https://c2sp.org/tlog-tiles
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from packledger.feeds.feed import Recorded
from packledger.projections.log_tiles.form import entries_in, entry_of, framed, time_of
from packledger.projections.log_tiles.merkle import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Edge,
    leaf_hash,
)
from packledger.projections.sqlite_projection import SQLiteProjection

LOG_TILES = "log-tiles"
_INSERT_EDGE = "INSERT INTO edge VALUES (?, ?, ?, ?, ?)"


class LogTiles(SQLiteProjection):
    """The fold. Leaf index = position - 1, so the size of the tree is the position."""

    name = LOG_TILES
    schema = 2
    renderer = 1
    tables = """
        CREATE TABLE bundles (tile INTEGER PRIMARY KEY, body BLOB NOT NULL);
        CREATE TABLE tiles (
            level INTEGER, tile INTEGER, body BLOB NOT NULL, PRIMARY KEY (level, tile)
        );
        CREATE TABLE edge (
            level INTEGER, tile INTEGER, place INTEGER, hash BLOB NOT NULL, entry BLOB NOT NULL,
            PRIMARY KEY (level, place)
        ) WITHOUT ROWID;
        CREATE TABLE times (
            tile INTEGER PRIMARY KEY, earliest TEXT NOT NULL, latest TEXT NOT NULL
        )
    """
    indexes = ""
    concerns = None

    def __init__(self) -> None:
        self._edge: Edge | None = None
        self._earliest, self._latest = "", ""
        self._entries: list[bytes] = []
        self._saved: list[int] = []

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Add a page's entries; full tiles are written, the edge is kept until `flush`."""
        edge = self._edge or self._load(db, page[0].position - 1)
        done = 0
        while some := page[done : done + edge.room()]:
            done += len(some)
            entries = [entry_of(recorded) for recorded in some]
            self._entries += map(framed, entries)
            self._date([recorded.event.at for recorded in some])
            for tile in edge.extend([leaf_hash(entry) for entry in entries]):
                self._empty(db, tile.level)
                row = (tile.level, tile.index, tile.body)
                db.execute("INSERT INTO tiles VALUES (?, ?, ?)", row)
                if tile.level == 0:
                    bundle = (tile.index, b"".join(self._entries))
                    db.execute("INSERT INTO bundles VALUES (?, ?)", bundle)
                    times = (tile.index, self._earliest, self._latest)
                    db.execute("INSERT INTO times VALUES (?, ?, ?)", times)
                    self._entries.clear()
                    self._earliest = ""
        self._edge = edge

    def _date(self, times: Sequence[str]) -> None:
        """Take in events' times: the earliest of this tile, the latest of all the log."""
        self._earliest = min(filter(None, (self._earliest, *times)), default="")
        self._latest = max(self._latest, *times)

    def _load(self, db: sqlite3.Connection, size: int) -> Edge:
        levels: list[list[bytes]] = []
        self._entries = []
        rows = db.execute("SELECT level, hash, entry FROM edge ORDER BY level, place")
        for level, hash_, entry in rows:
            while level >= len(levels):
                levels.append([])
            levels[level].append(hash_)
            if level == 0:
                self._entries.append(entry)
        self._saved = [len(hashes) for hashes in levels]
        self._earliest, self._latest = "", newest_full(db)
        times = _times(self._entries)
        if times:
            self._date(times)
        return Edge(size, levels)

    def _empty(self, db: sqlite3.Connection, level: int) -> None:
        """Remove the rows of a level: they are a full tile now."""
        if level < len(self._saved) and self._saved[level]:
            db.execute("DELETE FROM edge WHERE level = ?", (level,))
            self._saved[level] = 0

    def flush(self, db: sqlite3.Connection) -> None:
        """Write what is new at the edge."""
        if self._edge is None:
            return
        self._saved += [0] * (len(self._edge.levels) - len(self._saved))
        for level, hashes in enumerate(self._edge.levels):
            tile = self._edge.size >> TILE_HEIGHT * (level + 1)
            for place in range(self._saved[level], len(hashes)):
                entry = self._entries[place] if level == 0 else b""
                db.execute(_INSERT_EDGE, (level, tile, place, hashes[place], entry))
            self._saved[level] = len(hashes)

    spill = flush

    def kept(self) -> int:
        """Return how many rows of the edge are not written: a few hundred at most."""
        if self._edge is None:
            return 0
        return sum(map(len, self._edge.levels)) - sum(self._saved)

    def forget(self) -> None:
        """Drop the edge; it is read again."""
        self._edge = None

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield every bundle and tile, the partial one of each kind last, in order of the key."""
        for tile, body in db.execute("SELECT tile, body FROM bundles ORDER BY tile"):
            yield f"entries/{tile:012}", body
        yield from _partial(db, "entries", 0, "entry")
        every = "SELECT level FROM tiles UNION SELECT level FROM edge ORDER BY level"
        for (level,) in db.execute(every).fetchall():
            rows = "SELECT tile, body FROM tiles WHERE level = ? ORDER BY tile"
            for tile, body in db.execute(rows, (level,)):
                yield f"tile/{level:02}/{tile:012}", body
            yield from _partial(db, f"tile/{level:02}", level, "hash")


def _partial(
    db: sqlite3.Connection, kind: str, level: int, column: str
) -> Iterator[tuple[str, bytes]]:
    statement = f"SELECT tile, {column} FROM edge WHERE level = ? ORDER BY place"  # noqa: S608
    rows = db.execute(statement, (level,)).fetchall()
    if rows:
        yield f"{kind}/{rows[0][0]:012}", b"".join(body for _, body in rows)


def last_not_later(db: sqlite3.Connection, at: str) -> tuple[int, int]:
    """Return where to look for the last event that is not later than a time: two positions.

    It is behind the second, or else among the 256 behind the first, or else there is none. One
    look-up among one row for 256 events, from the newest back.
    """
    (full,) = db.execute("SELECT coalesce(max(tile) + 1, 0) FROM times").fetchone()
    found = "SELECT tile FROM times WHERE earliest <= ? ORDER BY tile DESC LIMIT 1"
    row = db.execute(found, (at,)).fetchone()
    return (row[0] if row else 0) * TILE_WIDTH, full * TILE_WIDTH


def newest_time(db: sqlite3.Connection) -> str:
    """Return the latest time of all events, empty for none."""
    edge = db.execute("SELECT entry FROM edge WHERE level = 0").fetchall()
    return max([newest_full(db), *_times(entry for (entry,) in edge)])


def newest_full(db: sqlite3.Connection) -> str:
    """Return the latest time of the events in full tiles."""
    # Each row has the latest up to its tile's end.
    row = db.execute("SELECT latest FROM times ORDER BY tile DESC LIMIT 1").fetchone()
    return row[0] if row else ""


def _times(entries: Iterable[bytes]) -> list[str]:
    return [time_of(entry) for entry in entries_in(b"".join(entries))]


def size_of(db: sqlite3.Connection) -> int:
    """Return the size of the tree, in leaves: the position that the tiles are at."""
    size: int = db.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()[0]
    return size


def tile_of(db: sqlite3.Connection, level: int, tile: int, width: int) -> bytes | None:
    """Return the first `width` hashes of a tile, None while it has fewer. width: 1 to 256."""
    if width < TILE_WIDTH:
        partial = _edge_of(db, "hash", level, tile, width)
        if partial is not None:
            return b"".join(partial)
    statement = "SELECT body FROM tiles WHERE level = ? AND tile = ?"
    row = db.execute(statement, (level, tile)).fetchone()
    return row[0][: width * HASH_BYTES] if row else None


def bundle_of(db: sqlite3.Connection, tile: int, width: int) -> bytes | None:
    """Return the first `width` entries of a bundle, None while it has fewer. width: 1 to 256."""
    if width < TILE_WIDTH:
        partial = _edge_of(db, "entry", 0, tile, width)
        if partial is not None:
            return b"".join(partial)
    row = db.execute("SELECT body FROM bundles WHERE tile = ?", (tile,)).fetchone()
    if row is None or width == TILE_WIDTH:
        return row[0] if row else None
    return b"".join(map(framed, entries_in(row[0])[:width]))


def _edge_of(
    db: sqlite3.Connection, column: str, level: int, tile: int, width: int
) -> list[bytes] | None:
    """Return rows of the edge, which is looked at before the full tiles: rows move only there."""
    rows = db.execute(
        f"SELECT {column} FROM edge WHERE level = ? AND tile = ? AND place < ? ORDER BY place",  # noqa: S608
        (level, tile, width),
    ).fetchall()
    return [body for (body,) in rows] if len(rows) == width else None
