"""Merkle tree hashes, and the tiles that they are kept in: 256 hashes of one level each.

Source: https://www.rfc-editor.org/rfc/rfc6962#section-2.1 and https://c2sp.org/tlog-tiles
"""

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

TILE_WIDTH = 256
TILE_HEIGHT = 8
HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()

_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a log entry; the prefix keeps leaves and nodes apart."""
    return _sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash above two hashes."""
    return _sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root above a power of two of neighbouring hashes of one level, at least one."""
    sha256 = _sha256
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [
            sha256(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)
        ]
    return hashes[0]


class Tile(msgspec.Struct, frozen=True):
    """A full tile. level: 0 has the leaves' hashes; body: 256 hashes, one after another."""

    level: int
    index: int
    body: bytes


class Edge:
    """The right edge of a growing tree: at each level the hashes of the tile that is not full.

    Memory: at most 255 hashes for each level, of which two million leaves have three.
    """

    def __init__(self, size: int = 0, levels: Sequence[list[bytes]] = ()) -> None:
        self.size = size
        self.levels: list[list[bytes]] = [list(hashes) for hashes in levels]

    def room(self) -> int:
        """Return how many leaves the tile at level 0 takes until it is full, 1 to 256."""
        return TILE_WIDTH - self.size % TILE_WIDTH

    def extend(self, leaves: Sequence[bytes]) -> Iterator[Tile]:
        """Add the hashes of at most `room` leaves, and yield the tiles they fill, level 0 first.

        Nothing is added before the first tile is asked for.
        """
        assert len(leaves) <= self.room(), "more than fit into a tile"
        self.size += len(leaves)
        level, added = 0, leaves
        while True:
            if level == len(self.levels):
                self.levels.append([])
            hashes = self.levels[level]
            hashes += added
            if len(hashes) < TILE_WIDTH:
                return
            index = (self.size >> TILE_HEIGHT * (level + 1)) - 1
            yield Tile(level, index, b"".join(hashes))
            added = [root_of(hashes)]
            hashes.clear()
            level += 1

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        found: bytes | None = None
        for hashes in self.levels:
            # The largest subtrees are on the left, at every level as in the whole tree.
            at = len(hashes)
            while at:
                width = at & -at
                subtree = root_of(hashes[at - width : at])
                found = subtree if found is None else node_hash(subtree, found)
                at -= width
        return EMPTY_ROOT if found is None else found
