"""Logs and trees in memory, for what needs no store."""

import msgspec

from event_stores import recorded
from packledger.audit.translog.proofs import Tree
from packledger.domain.events.cargo import CrateVersionYanked
from packledger.domain.streams import CRATES
from packledger.feeds.feed import Recorded
from packledger.projections.log_tiles.merkle import HASH_BYTES, Edge, leaf_hash

YANKED = CrateVersionYanked(at="2026-11-21T10:00:00.000Z", by="alice", name="demo", version="1.0.0")


def _log_of(count: int) -> list[Recorded]:
    one = recorded(1, 1, YANKED, CRATES, "demo")
    return [msgspec.structs.replace(one, position=at, version=at) for at in range(1, count + 1)]


LOG = _log_of(66_000)
"""More than 256 tiles, so that a second level is filled, too."""


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"entry %d" % number) for number in range(count)]


class MemoryTiles:
    """Tiles in memory, as an edge fills them."""

    def __init__(self, count: int = 0) -> None:
        self.edge = Edge()
        self.full: dict[tuple[int, int], bytes] = {}
        for leaf in leaves(count):
            self.add(leaf)

    def add(self, leaf: bytes) -> None:
        self.full |= {(t.level, t.index): t.body for t in self.edge.extend([leaf])}

    def read(self, level: int, tile: int, width: int) -> bytes | None:
        body = self.full.get((level, tile))
        at_the_edge = level < len(self.edge.levels) and tile == self.edge.size >> 8 * (level + 1)
        if body is None and at_the_edge:
            body = b"".join(self.edge.levels[level])
        return body[: width * HASH_BYTES] if body is not None else None

    @property
    def tree(self) -> Tree:
        return Tree(self.read)
