"""Look at read models before anything is served from them; what is damaged is built anew.

Finds a file that is missing, cut, of broken structure, ahead of the log, or of another log. Changed
bytes inside a row are found by `verify` and `rebuild --check`: SQLite keeps no checksums of rows.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from packledger.eventstore.log import Log
from packledger.eventstore.mapper import UnknownEvent
from packledger.projections.generation import Generations, database_uri
from packledger.projections.log_tiles.fold import LOG_TILES, size_of, tile_of
from packledger.projections.log_tiles.form import entry_of
from packledger.projections.log_tiles.merkle import HASH_BYTES, TILE_WIDTH, leaf_hash


def open_live(model: Path) -> sqlite3.Connection:
    """Return a connection to a read model that is there.

    Not read-only: it may have to begin with what a killed process left in its journal.

    Raises:
        sqlite3.DatabaseError: it is not there.
    """
    return sqlite3.connect(database_uri(model, "rw"), uri=True, isolation_level=None)


def damage_of(model: Path, last_position: int) -> str:
    """Return what is wrong with a read model's file, empty when nothing is.

    last_position: of the log; a model beyond it was folded from another log.
    """
    try:
        db = open_live(model)
        try:
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            row = db.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()
        finally:
            db.close()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a name in it may be damaged
        return str(error)
    if verdict != "ok":
        return str(verdict)
    if row is None or row[0] > last_position:
        return "it is ahead of the log"
    return ""


def is_of_log(root: Path, log: Log) -> bool:
    """Return whether the read models were folded from a log, as far as one can tell.

    The newest leaf of the live tiles is compared with the event in its place: a log that was
    restored from a backup may have grown past it since.

    Raises:
        Unavailable: the log cannot be read.
    """
    generations = Generations(root, LOG_TILES)
    try:
        with closing(open_live(generations.model(generations.live()))) as tiles:
            position = size_of(tiles)
            width = (position - 1) % TILE_WIDTH + 1
            tile = tile_of(tiles, 0, (position - 1) // TILE_WIDTH, width)
        event = log.read(position - 1, 1) if position else []
    except (sqlite3.DatabaseError, UnknownEvent):
        return True  # others say what is wrong with these
    return not event or tile is None or tile[-HASH_BYTES:] == leaf_hash(entry_of(event[0]))


def set_damaged_aside(
    root: Path, projections: Iterable[str], last_position: int, of_log: bool = True
) -> dict[str, str]:
    """Have no damaged model live any more; return the damage by projection.

    Call it before anybody reads: the projector then builds them from the log. of_log: see
    `is_of_log`.
    """
    found: dict[str, str] = {}
    for name in projections:
        generations = Generations(root, name)
        with generations.locked():
            live = generations.live()
            damage = damage_of(generations.model(live), last_position) if live else ""
            if live and not of_log:
                damage = "it was folded from another log"
            if damage:
                found[name] = damage
                generations.set_aside()
    return found
