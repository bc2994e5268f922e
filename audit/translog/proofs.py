"""Inclusion and consistency proofs: made from tiles, checked with nothing but hashes.

Source: https://www.rfc-editor.org/rfc/rfc6962#section-2.1.1 and 2.1.2; the checks are those of
https://www.rfc-editor.org/rfc/rfc9162#section-2.1.3.2 and 2.1.4.2
"""

from collections.abc import Callable, Iterator, Sequence

from packledger.projections.log_tiles.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    node_hash,
    root_of,
)

ReadTile = Callable[[int, int, int], bytes | None]
"""(level, index, width) → so many hashes of a tile, None if it is not there."""


class BadProof(Exception):
    """A sentence about why a proof does not prove it."""


class MissingTile(Exception):
    """A hash is needed that the tiles do not have."""

    def __init__(self, level: int, tile: int) -> None:
        super().__init__(
            f"tile `{level}/{tile}` of the log is missing; run `packledger rebuild log-tiles`"
        )


class Tree:
    """The Merkle tree that tiles hold, up to any size that they have."""

    def __init__(self, read: ReadTile) -> None:
        self._read = read

    def root(self, size: int) -> bytes:
        """Return the root of the tree of the first `size` leaves.

        Raises:
            MissingTile: the tiles do not reach that far.
        """
        return self._range(0, size) if size else EMPTY_ROOT

    def _subtree(self, height: int, index: int) -> bytes:
        """Return the root of the leaves `[index * 2**height, (index + 1) * 2**height)`."""
        level, above = divmod(height, TILE_HEIGHT)
        tile, first = divmod(index << above, TILE_WIDTH)
        until = first + (1 << above)
        body = self._read(level, tile, until)
        if body is None or len(body) < until * HASH_BYTES:
            raise MissingTile(level, tile)
        places = range(first * HASH_BYTES, until * HASH_BYTES, HASH_BYTES)
        return root_of([body[at : at + HASH_BYTES] for at in places])

    def _range(self, start: int, end: int) -> bytes:
        """Return the hash of the leaves `[start, end)`, which is a subtree of some tree."""
        count = end - start
        if count & (count - 1) == 0:
            height = count.bit_length() - 1
            return self._subtree(height, start >> height)
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the proof that a leaf is in the tree of `size` leaves, its sibling first.

        Raises:
            MissingTile: the tiles do not reach that far.
        """
        assert 0 <= index < size
        path, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Return the proof that the tree of `size` leaves begins with that of `old` leaves.

        Raises:
            MissingTile: the tiles do not reach that far.
        """
        assert 0 <= old <= size
        if old in {0, size}:
            return []
        path, start, end = [], 0, size
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        if start:
            path.append(self._range(start, end))
        return path[::-1]


def _split(count: int) -> int:
    """Return the largest power of two below a count of at least two."""
    return 1 << ((count - 1).bit_length() - 1)


def check_inclusion(
    leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that a leaf's hash is at an index of the tree with this root.

    Raises:
        BadProof: it is not, as far as this proof shows.
    """
    if not 0 <= index < size:
        raise BadProof(f"index {index} is not in a tree of {size} entries")
    found = leaf
    for sibling, on_the_left in _sides(index, size - 1, proof):
        found = node_hash(sibling, found) if on_the_left else node_hash(found, sibling)
    if found != root:
        raise BadProof("the entry does not lead to the root hash of the checkpoint")


def check_consistency(
    old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree with the root `root` begins with the one with the root `old_root`.

    Raises:
        BadProof: it does not, as far as this proof shows.
    """
    if not 0 <= old <= size:
        raise BadProof(f"a tree of {size} entries cannot continue one of {old}")
    if old in {0, size}:
        if proof or old_root != (root if old == size else EMPTY_ROOT):
            raise BadProof(f"the trees of {old} and {size} entries differ")
        return
    if not proof:
        raise BadProof("the proof is too short")
    # A whole subtree needs no hash of its own in the proof: it is the old root.
    first, *rest = proof if old & (old - 1) else [old_root, *proof]
    height = (old ^ (old - 1)).bit_length() - 1
    before = after = first
    for sibling, on_the_left in _sides((old - 1) >> height, (size - 1) >> height, rest):
        if on_the_left:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
        else:
            after = node_hash(after, sibling)
    if (before, after) != (old_root, root):
        raise BadProof(f"the tree of {size} entries does not begin with that of {old}")


def _sides(at: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each hash of a proof, and whether it stands on the left.

    at, last: the places, at one height, of the node to begin with and of the last one.
    """
    for sibling in proof:
        if last == 0:
            raise BadProof("the proof is too long")
        on_the_left = bool(at & 1) or at == last
        yield sibling, on_the_left
        while on_the_left and at and not at & 1:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("the proof is too short")
