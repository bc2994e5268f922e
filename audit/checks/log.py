"""Compare the event store, the tiles and the signed checkpoint with each other."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from packledger.audit.checks.faults import AUDITORS, EVERYBODY, REBUILD, RESTORE, Fault
from packledger.audit.checks.leaves import Leaves, ReadableLog, split_hashes, tile_fault
from packledger.audit.translog.checkpoint import Checkpoint, open_checkpoint
from packledger.audit.translog.notes import BadNote, VerifierKey
from packledger.audit.translog.tile_paths import tile_path
from packledger.feeds.progress import Progress, no_progress
from packledger.projections.log_tiles.fold import size_of, tile_of
from packledger.projections.log_tiles.merkle import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Edge,
    Tile,
)


class SignedLog(msgspec.Struct, frozen=True):
    """What was signed. notes: what it is called → a signed note; keys: the same → who signed it.

    Each note must be a checkpoint of this log, and the log must continue it. served: the name of
    the one that is served; no other may be larger.
    """

    served: str
    notes: dict[str, str]
    keys: dict[str, VerifierKey]


def verify_log(
    log: ReadableLog,
    tiles: sqlite3.Connection,
    signed: SignedLog | None,
    since: int = 1,
    progress: Progress = no_progress,
) -> Iterator[Fault]:
    """Yield what is wrong with the transparency log, in constant memory.

    signed: None if nothing ever was. since: a position; what is before its tile is believed.
    """
    checkpoints: dict[str, Checkpoint] = {}
    if signed is not None:
        yield from _open_all(signed, checkpoints)
    yield from _Check(log, tiles, checkpoints, progress).run(max(0, since - 1) // TILE_WIDTH)


def _open_all(signed: SignedLog, into: dict[str, Checkpoint]) -> Iterator[Fault]:
    for name, note in signed.notes.items():
        try:
            into[name], _ = open_checkpoint(note.encode(), signed.keys[name])
        except BadNote as error:
            mend = f"{RESTORE}, or begin another history with `packledger log restart`"
            yield Fault(f"{name} is not valid: {error}", AUDITORS, mend)
    served = into.get(signed.served)
    for name, one in into.items():
        if served is not None and one.size > served.size:
            yield Fault(
                f"{signed.served} was rolled back: it has {served.size} entries, "
                f"{name} has {one.size}",
                AUDITORS,
                f"start `packledger serve` if it was killed; else {RESTORE}",
            )


class _Check:
    """One pass over the log. The tree is built of the leaves that are believed."""

    def __init__(
        self,
        log: ReadableLog,
        tiles: sqlite3.Connection,
        checkpoints: dict[str, Checkpoint],
        progress: Progress,
    ) -> None:
        self._log, self._tiles, self._progress = log, tiles, progress
        self._checkpoints = checkpoints
        self._last, self._size = log.last_position(), size_of(tiles)
        self._wanted = {one.size for one in checkpoints.values()}

    def run(self, first_tile: int) -> Iterator[Fault]:
        """Yield the faults from a tile on."""
        yield from self._ends()
        until = max(self._last, self._size)
        edge = self._edge_at(first_tile)
        yield from self._roots(edge)
        for tile in range(first_tile, -(-until // TILE_WIDTH)):
            leaves = Leaves(tile, min(TILE_WIDTH, until - tile * TILE_WIDTH))
            yield from leaves.faults(self._log, self._tiles, self._last, self._size)
            yield from self._grow(edge, leaves.believed)
            self._progress(edge.size, until)
        if edge.size == self._size:
            yield from self._partial(edge)

    def _grow(self, edge: Edge, leaves: Sequence[bytes]) -> Iterator[Fault]:
        """Add the leaves of a tile; look at the tiles that they fill, and at the roots wanted."""
        begin, end = edge.size, edge.size + len(leaves)
        for size in sorted({*(one for one in self._wanted if begin < one < end), end}):
            for full in edge.extend(leaves[edge.size - begin : size - begin]):
                yield from self._hashes(full)
            if size in self._wanted:
                yield from self._roots(edge)

    def _ends(self) -> Iterator[Fault]:
        """Yield what shows in the sizes alone."""
        if self._size > self._last:
            yield Fault(
                f"the event store ends at position {self._last}, the log's tiles at {self._size}: "
                "events were lost",
                EVERYBODY,
                f"{RESTORE}; if they were never there, run `{REBUILD}`",
            )
        elif self._size < self._last:
            yield Fault(
                f"the log's tiles are at position {self._size} of {self._last}",
                AUDITORS,
                f"start `packledger serve`, or run `{REBUILD}`",
            )
        for name, one in self._checkpoints.items():
            if one.size > max(self._last, self._size):
                yield Fault(
                    f"{name} has {one.size} entries, the event store {self._last}: "
                    "events were lost that are signed",
                    EVERYBODY,
                    RESTORE,
                )

    def _edge_at(self, tile: int) -> Edge:
        """Return the tree's edge before a tile, from the tiles above it."""
        size, levels = tile * TILE_WIDTH, [list[bytes]()]
        while size >> TILE_HEIGHT * len(levels):
            level = len(levels)
            above, width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
            levels.append(split_hashes(tile_of(self._tiles, level, above, width) if width else b""))
        return Edge(size, levels)

    def _roots(self, edge: Edge) -> Iterator[Fault]:
        root = edge.root() if edge.size in self._wanted else b""
        for name, one in self._checkpoints.items():
            if one.size == edge.size and one.root != root:
                yield Fault(
                    f"the first {one.size} events are not those of {name}: the history was changed",
                    EVERYBODY,
                    RESTORE,
                )

    def _hashes(self, full: Tile) -> Iterator[Fault]:
        width = len(full.body) // HASH_BYTES
        there = tile_of(self._tiles, full.level, full.index, width)
        # Level 0 is looked at leaf by leaf.
        if full.level and there != full.body and full.index < self._tiles_of(full.level):
            yield tile_fault(f"{full.level}/{tile_path(full.index, width)}", there is None)

    def _tiles_of(self, level: int) -> int:
        return -(-(self._size >> TILE_HEIGHT * level) // TILE_WIDTH)

    def _partial(self, edge: Edge) -> Iterator[Fault]:
        for level, hashes in enumerate(edge.levels):
            if hashes:
                index = edge.size >> TILE_HEIGHT * (level + 1)
                yield from self._hashes(Tile(level, index, b"".join(hashes)))
