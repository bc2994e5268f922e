"""Compare the event store, the tiles and the signed checkpoint with each other.

Of every event there are three witnesses: the store, its entry, and its hash in a tile. Whichever
two agree are believed, so that one fault is reported once and says what it is in.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from packledger.audit.checkpoint import Checkpoint, open_checkpoint
from packledger.audit.faults import Fault
from packledger.audit.signed_note import BadNote, VerifierKey
from packledger.audit.tile_paths import tile_path
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import UnknownEvent
from packledger.projections.log_entry import entries_in, entry_of
from packledger.projections.log_tiles import bundle_of, size_of, tile_of
from packledger.projections.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Edge,
    Tile,
    leaf_hash,
)

REBUILD = "packledger rebuild log-tiles"
RESTORE = "restore the event store from a backup, see docs/OPERATIONS.md"
AUDITORS = "auditors and receipts"
EVERYBODY = "everybody: what clients get may differ from what was published"

Progress = Callable[[int, int], None]
"""Called with (position reached, position wanted)."""


class ReadableLog(Protocol):
    """What is needed of a log."""

    def read(self, after: int, limit: int, until: int | None = None) -> list[Recorded]:
        """Return at most `limit` events with positions in (after, until], in order."""
        ...

    def last_position(self) -> int:
        """Return the position of the newest event."""
        ...


class SignedLog(msgspec.Struct, frozen=True):
    """What was signed. key: that of the log; notes: what it is called → a signed note.

    Each note must be a checkpoint of this log, and the log must continue it. served: the name of
    the one that is served; no other may be larger.
    """

    key: VerifierKey
    served: str
    notes: dict[str, str]


def verify_log(
    log: ReadableLog,
    tiles: sqlite3.Connection,
    signed: SignedLog | None,
    since: int = 1,
    progress: Progress = lambda done, total: None,
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
            into[name], _ = open_checkpoint(note.encode(), signed.key)
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
            leaves = _Leaves(tile, min(TILE_WIDTH, until - tile * TILE_WIDTH))
            yield from leaves.faults(self._log, self._tiles, self._last, self._size)
            for leaf in leaves.believed:
                for full in edge.append(leaf):
                    yield from self._hashes(full)
                if edge.size in self._wanted:
                    yield from self._roots(edge)
            self._progress(edge.size, until)
        if edge.size == self._size:
            yield from self._partial(edge)

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
            levels.append(_split(tile_of(self._tiles, level, above, width) if width else b""))
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
            yield _tile_fault(f"{full.level}/{tile_path(full.index, width)}", there is None)

    def _tiles_of(self, level: int) -> int:
        return -(-(self._size >> TILE_HEIGHT * level) // TILE_WIDTH)

    def _partial(self, edge: Edge) -> Iterator[Fault]:
        for level, hashes in enumerate(edge.levels):
            if hashes:
                index = edge.size >> TILE_HEIGHT * (level + 1)
                yield from self._hashes(Tile(level, index, b"".join(hashes)))


class _Leaves:
    """The leaves of one tile. believed: their hashes, filled by `faults`."""

    def __init__(self, tile: int, count: int) -> None:
        self._tile, self._count = tile, count
        self.believed: list[bytes] = []

    def faults(
        self, log: ReadableLog, tiles: sqlite3.Connection, last: int, size: int
    ) -> Iterator[Fault]:
        """Compare store, bundle and hashes, which end at `last` and `size`."""
        before = self._tile * TILE_WIDTH
        width = max(0, min(self._count, size - before))
        bundle = _bundle(tiles, self._tile, width)
        hashes = _split(tile_of(tiles, 0, self._tile, width) if width else b"")
        stored = _stored(log, before, self._count)
        leaves = [leaf_hash(entry) if entry else b"" for entry in stored]
        if width == self._count == len(leaves) and leaves == hashes and bundle == stored:
            self.believed = leaves
            return
        logged = [leaf_hash(entry) for entry in bundle or ()]
        yield from self._compare(_padded(leaves, self._count), logged, hashes, last, width)
        path = tile_path(self._tile, width or TILE_WIDTH)
        if logged != self.believed[:width]:
            yield _tile_fault(f"entries/{path}", bundle is None)
        if hashes != self.believed[:width]:
            yield _tile_fault(f"0/{path}", not hashes)

    def _compare(
        self,
        stored: Sequence[bytes],
        logged: Sequence[bytes],
        hashes: Sequence[bytes],
        last: int,
        width: int,
    ) -> Iterator[Fault]:
        """Believe, leaf by leaf, what two of three say; yield the events that are changed."""
        logged, hashes = _padded(logged, self._count), _padded(hashes, self._count)
        for place, (mine, entry, hash_) in enumerate(zip(stored, logged, hashes, strict=True)):
            believed = entry if entry and entry == hash_ else mine or hash_ or entry
            self.believed.append(believed or EMPTY_ROOT)
            position = self._tile * TILE_WIDTH + place + 1
            if place < width and mine != believed and position <= last:
                how = "is not the one that was logged" if mine else "is missing or unreadable"
                yield Fault(f"the event at position {position} {how}", EVERYBODY, RESTORE)


def _stored(log: ReadableLog, after: int, count: int) -> list[bytes]:
    """Return the entries of stored events, empty ones for those that are missing or unreadable."""
    found = {}
    try:
        rows = log.read(after, count, after + count)
        found = {one.position: entry_of(one) for one in rows}
    except (UnknownEvent, DamagedLog):
        for position in range(after + 1, after + count + 1):
            with suppress(UnknownEvent, DamagedLog):
                found |= {
                    one.position: entry_of(one) for one in log.read(position - 1, 1, position)
                }
    return [found.get(position, b"") for position in range(after + 1, after + count + 1)]


def _bundle(tiles: sqlite3.Connection, tile: int, width: int) -> list[bytes] | None:
    """Return the first entries of a bundle, None if it is missing or cut."""
    try:
        bundle = bundle_of(tiles, tile, width) if width else b""
        return None if bundle is None else entries_in(bundle)
    except ValueError:
        return None


def _split(body: bytes | None) -> list[bytes]:
    found = body or b""
    return [found[at : at + HASH_BYTES] for at in range(0, len(found), HASH_BYTES)]


def _padded(leaves: Sequence[bytes], count: int) -> list[bytes]:
    return [*leaves[:count], *[b""] * (count - len(leaves))]


def _tile_fault(path: str, missing: bool) -> Fault:
    how = "missing" if missing else "damaged"
    return Fault(f"`/log/tile/{path}` is {how}", AUDITORS, REBUILD)
