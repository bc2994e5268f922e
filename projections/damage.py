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
from packledger.projections.generation import Generations
from packledger.projections.log_tiles.fold import LOG_TILES, size_of, tile_of
from packledger.projections.log_tiles.form import entry_of
from packledger.projections.log_tiles.merkle import HASH_BYTES, TILE_WIDTH, leaf_hash
from packledger.projections.model_file import open_live
from packledger.projections.projection import Projection


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
    root: Path, projections: Iterable[Projection], last_position: int, of_log: bool = True
) -> dict[str, str]:
    """Have no damaged model live any more; return the damage by projection.

    Call it before anybody reads: the projector then builds them from the log. last_position: of the
    log; of_log: see `is_of_log`.
    """
    found: dict[str, str] = {}
    for projection in projections:
        generations = Generations(root, projection.name)
        with generations.locked():
            live = generations.live()
            if not live:
                continue
            damage = damage_of(projection, generations.folder(live), last_position)
            if not of_log:
                damage = "it was folded from another log"
            if damage:
                found[projection.name] = damage
                generations.set_aside()
    return found


def damage_of(projection: Projection, folder: Path, last_position: int) -> str:
    """Return what is wrong with a generation, empty when nothing is."""
    damage = projection.damage(folder)
    meta = projection.meta(folder)
    if not damage and (meta is None or meta.position > last_position):
        return "it is ahead of the log"
    return damage
