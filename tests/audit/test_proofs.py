"""Trees, tiles and proofs against the definitions of RFC 6962, written down as they stand there."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.audit.translog.proofs import (
    BadProof,
    MissingTile,
    check_consistency,
    check_inclusion,
)
from packledger.audit.translog.tile_paths import parse_level, parse_tile_path, tile_path
from packledger.projections.log_tiles.merkle import EMPTY_ROOT, Edge, leaf_hash
from small_trees import MemoryTiles, leaves

SIZES = st.integers(1, 600) | st.sampled_from([255, 256, 257, 511, 512, 513])


def mth(hashes: Sequence[bytes]) -> bytes:
    """The Merkle Tree Hash of RFC 6962, section 2.1, of leaves that are hashed already."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\1" + mth(hashes[:split]) + mth(hashes[split:])).digest()


BIG = MemoryTiles(70_000)


@given(SIZES)
def test_the_root_is_that_of_the_definition(size: int) -> None:
    tiles = MemoryTiles(size)
    assert tiles.edge.root() == tiles.tree.root(size) == mth(leaves(size))


def test_the_root_of_nothing_is_the_digest_of_nothing() -> None:
    assert Edge().root() == EMPTY_ROOT == MemoryTiles(0).tree.root(0)
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    widths = [len(hashes) for hashes in BIG.edge.levels]
    assert widths == [112, 17, 1]
    assert sorted(BIG.full) == [*((0, n) for n in range(273)), (1, 0)]
    assert BIG.edge.root() == BIG.tree.root(70_000) == mth(leaves(70_000))


@given(st.data(), st.integers(1, 70_000))
def test_an_inclusion_proof_holds_and_no_other_does(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    root, proof = BIG.tree.root(size), BIG.tree.inclusion(index, size)
    leaf = leaf_hash(b"entry %d" % index)
    check_inclusion(leaf, index, size, root, proof)
    changed = data.draw(mutations(proof))
    for other in (
        (leaf_hash(b"other"), index, size, root, proof),
        (leaf, index, size, leaf, proof) if proof else (root[::-1], index, size, root, proof),
        (leaf, index, size, root, changed),
        (leaf, size, size, root, proof),
        (leaf, -1, size, root, proof),
    ):
        with pytest.raises(BadProof):
            check_inclusion(*other)
    another = data.draw(st.integers(0, size - 1).filter(lambda at: at != index)) if proof else index
    if another != index:
        with pytest.raises(BadProof):
            check_inclusion(leaf, another, size, root, proof)


@st.composite
def mutations(draw: st.DrawFn, proof: list[bytes]) -> list[bytes]:
    """A proof of other hashes: one changed, left out, doubled, or two exchanged."""
    changed = list(proof)
    at = draw(st.integers(0, len(proof)))
    match draw(st.sampled_from(["flip", "drop", "add", "swap"])):
        case "flip" if at < len(proof):
            bit = draw(st.integers(0, 255))
            changed[at] = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
        case "drop" if at < len(proof):
            del changed[at]
        case "swap" if at + 1 < len(proof):
            changed[at : at + 2] = changed[at : at + 2][::-1]
        case _:
            changed.insert(at, draw(st.binary(min_size=32, max_size=32)))
    return changed


@given(st.data(), st.integers(1, 70_000))
def test_a_consistency_proof_holds_and_no_other_does(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(0, size))
    before, after = BIG.tree.root(old), BIG.tree.root(size)
    proof = BIG.tree.consistency(old, size)
    check_consistency(old, before, size, after, proof)
    changed = data.draw(mutations(proof))
    wrong = [(old, before, size, after, changed), (old, after[::-1], size, after, proof)]
    if old:
        wrong.append((old, before, size, before[::-1], proof))
    if 0 < old < size:
        wrong.append((old + 1, before, size, after, proof))
    wrong.append((size + 1, before, size, after, proof))
    if proof:
        wrong.append((old, before, size, after, []))
    for other in wrong:
        with pytest.raises(BadProof):
            check_consistency(*other)


def test_a_tile_that_is_missing_is_named() -> None:
    with pytest.raises(MissingTile, match="`0/2`"):
        MemoryTiles(512).tree.root(513)


@given(st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_a_tile_path_is_read_as_it_is_written(tile: int, width: int) -> None:
    assert parse_tile_path(tile_path(tile, width)) == (tile, width)


def test_tile_paths_are_those_of_the_specification() -> None:
    assert tile_path(0) == "000"
    assert tile_path(1234067) == "x001/x234/067"
    assert tile_path(273, 112) == "273.p/112"


@pytest.mark.parametrize(
    "path",
    ["", "1", "0001", "x001", "x000/001", "001/", "/001", "x1/001", "+01", "\u0660\u0660\u0661"]
    + [f"001.p/{width}" for width in ("", "0", "256", "007", "1/", "-1")]
    + ["001.P/3", "x999/" * 6 + "999"],
)
def test_what_is_no_tile_path_is_none(path: str) -> None:
    assert parse_tile_path(path) is None


def test_a_level_is_a_number_up_to_63() -> None:
    assert [parse_level(text) for text in ("0", "9", "63")] == [0, 9, 63]
    assert [parse_level(text) for text in ("", "00", "64", "-1", "٣", "x")] == [None] * 6
