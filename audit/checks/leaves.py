"""The leaves of the log: of each, the event store, its entry and its hash say what it is.

Whichever two agree are believed, so that one fault is reported once and says what it is in.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from packledger.audit.checks.faults import AUDITORS, EVERYBODY, REBUILD, RESTORE, Fault
from packledger.audit.translog.tile_paths import tile_path
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import UnknownEvent
from packledger.projections.log_tiles.fold import bundle_of, tile_of
from packledger.projections.log_tiles.form import entries_in, entry_of, framed
from packledger.projections.log_tiles.merkle import EMPTY_ROOT, HASH_BYTES, TILE_WIDTH, leaf_hash


class ReadableLog(Protocol):
    """What is needed of a log."""

    def read(self, after: int, limit: int, until: int | None = None) -> list[Recorded]:
        """Return at most `limit` events with positions in (after, until], in order."""
        ...

    def last_position(self) -> int:
        """Return the position of the newest event."""
        ...


class Leaves:
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
        body = bundle_of(tiles, self._tile, width) if width else b""
        tile = tile_of(tiles, 0, self._tile, width) if width else b""
        stored = _stored(log, before, self._count)
        leaves = [leaf_hash(entry) if entry else b"" for entry in stored]
        whole = width == self._count
        if whole and tile == b"".join(leaves) and body == b"".join(map(framed, stored)):
            self.believed = leaves
            return
        bundle, hashes = _split_bundle(body), split_hashes(tile)
        logged = [leaf_hash(entry) for entry in bundle or ()]
        yield from self._compare(_padded(leaves, self._count), logged, hashes, last, width)
        path = tile_path(self._tile, width or TILE_WIDTH)
        if logged != self.believed[:width]:
            yield tile_fault(f"entries/{path}", bundle is None)
        if hashes != self.believed[:width]:
            yield tile_fault(f"0/{path}", not hashes)

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


def _split_bundle(body: bytes | None) -> list[bytes] | None:
    """Return the entries of a bundle, None if it is missing or cut."""
    try:
        return None if body is None else entries_in(body)
    except ValueError:
        return None


def split_hashes(body: bytes | None) -> list[bytes]:
    """Return the hashes of a tile, none if it is missing."""
    found = body or b""
    return [found[at : at + HASH_BYTES] for at in range(0, len(found), HASH_BYTES)]


def _padded(leaves: Sequence[bytes], count: int) -> list[bytes]:
    return [*leaves[:count], *[b""] * (count - len(leaves))]


def tile_fault(path: str, missing: bool) -> Fault:
    """Return the fault of a tile or a bundle. path: below `/log/tile/`."""
    how = "missing" if missing else "damaged"
    return Fault(f"`/log/tile/{path}` is {how}", AUDITORS, REBUILD)
