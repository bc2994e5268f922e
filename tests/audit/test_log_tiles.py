"""The tiles' read model: whatever pages it got, it holds the one tree of the log."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_stores import recorded
from packledger.audit.translog.proofs import Tree
from packledger.domain.events.event import encode
from packledger.domain.streams import CRATES
from packledger.projections.log_tiles.fold import LogTiles, bundle_of, size_of, tile_of
from packledger.projections.log_tiles.form import LogEntry, entries_in, entry_of, framed
from packledger.projections.log_tiles.merkle import TILE_WIDTH, Edge, leaf_hash
from packledger.projections.read_model import ReadModel
from small_registry import memory_folder
from small_trees import LOG, YANKED

ENTRIES = [entry_of(one) for one in LOG]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
AROUND = [0, 1, 255, 256, 257, 511, 512, 1000]


def root_of(size: int) -> bytes:
    edge = Edge()
    for leaf in LEAVES[:size]:
        for _ in edge.extend([leaf]):
            pass
    return edge.root()


@contextmanager
def built(path: Path, size: int, *, private: bool = True) -> Iterator[sqlite3.Connection]:
    """The tiles of a prefix of the log, folded at once."""
    with closing(ReadModel(path, LogTiles(), private=private)) as model:
        if size:
            model.apply(LOG[:size])
        if private:
            model.share()
        yield model.db


def documents(db: sqlite3.Connection) -> list[tuple[str, bytes]]:
    found = list(LogTiles().documents(db))
    assert [key for key, _ in found] == sorted({key for key, _ in found})
    return found


def test_an_entry_is_canonical_json_with_the_digest_of_the_stored_state() -> None:
    event = recorded(7, 3, YANKED, CRATES, "demo")
    assert event.state == encode(YANKED)
    assert entry_of(event) == (
        b'{"position":7,"type":"crate.version_yanked.v1",'
        b'"stream":"88fc3def55b15644a4a869b442721149","version":3,'
        b'"time":"2026-11-21T10:00:00.000Z","actor":"alice",'
        b'"state":"aa0caf441ad38f573868b708f461cd6263bc9910d65456ea58035590de021b90"}'
    )


@given(st.text(), st.text(max_size=20))
def test_an_entry_is_read_back(actor: str, tag: str) -> None:
    event = msgspec.structs.replace(YANKED, by=actor)
    one = msgspec.structs.replace(recorded(1, 1, event), tag=tag)
    entry = msgspec.json.decode(entry_of(one), type=LogEntry)
    assert (entry.actor, entry.type, entry.position) == (actor, tag, 1)
    assert encode(entry) == entry_of(one)


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 10))
def test_a_bundle_is_taken_apart_unless_it_is_cut(entries: list[bytes], cut: int) -> None:
    bundle = b"".join(map(framed, entries))
    assert entries_in(bundle) == entries
    ends = {len(b"".join(map(framed, entries[:count]))) for count in range(len(entries))}
    shorter = max(0, len(bundle) - cut)
    if shorter in ends or not bundle:
        assert entries_in(bundle[:shorter]) == entries[: len(entries_in(bundle[:shorter]))]
    else:
        with pytest.raises(ValueError, match="inside an entry"):
            entries_in(bundle[:shorter])


def test_an_entry_that_a_bundle_cannot_hold_is_refused() -> None:
    assert len(framed(bytes(65_535))) == 65_537
    with pytest.raises(OverflowError):
        framed(bytes(65_536))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_pages_and_restarts_give_what_one_page_gives(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from(AROUND) | st.integers(1, 1100), label="size")
    ends = sorted(data.draw(st.sets(st.integers(0, size) | st.sampled_from(AROUND), max_size=8)))
    with memory_folder() as folder:
        model = ReadModel(folder / "live", LogTiles())
        for end in [*(end for end in ends if end <= size), size]:
            model.apply(LOG[model.position() : end])
            if data.draw(st.booleans(), label="reopen"):
                model.close()
                model = ReadModel(folder / "live", LogTiles())
        with closing(model), built(folder / "fresh", size) as fresh:
            assert documents(model.db) == documents(fresh)
            assert size_of(model.db) == size
            tree = Tree(lambda *tile: tile_of(model.db, *tile))
            assert tree.root(size) == root_of(size)


class Dies(Exception):
    """The process was killed here."""


class Mortal:
    """A connection at whose nth statement the process is killed."""

    def __init__(self, db: sqlite3.Connection, statements: int) -> None:
        self._db, self._left = db, statements

    def execute(self, *args: object) -> sqlite3.Cursor:
        self._left -= 1
        if self._left < 0:
            raise Dies
        return self._db.execute(*args)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)


@pytest.mark.parametrize("statements", range(40))
def test_killed_at_any_statement_the_tiles_go_on_as_if_nothing_was(statements: int) -> None:
    with memory_folder() as folder:
        model = ReadModel(folder / "live", LogTiles())
        model.apply(LOG[:250])
        model.db = Mortal(model.db, statements)  # type: ignore[assignment]
        try:
            for end in (253, 256, 260, 520):
                model.apply(LOG[model.position() : end])
        except Dies:
            pass
        model.close()
        model = ReadModel(folder / "live", LogTiles())
        model.apply(LOG[model.position() : 520])
        with closing(model), built(folder / "fresh", 520) as fresh:
            assert documents(model.db) == documents(fresh)


def test_tiles_of_every_level_and_width_are_those_of_the_specification() -> None:
    with memory_folder() as folder, built(folder / "live", 66_000) as db:
        first = b"".join(LEAVES[:TILE_WIDTH])
        assert tile_of(db, 0, 0, 256) == first
        assert tile_of(db, 0, 0, 5) == first[: 5 * 32]
        assert tile_of(db, 0, 257, 207) == b"".join(LEAVES[257 * 256 : 257 * 256 + 207])
        assert tile_of(db, 0, 257, 208) == b"".join(LEAVES[257 * 256 :])
        assert tile_of(db, 0, 257, 209) is None
        assert tile_of(db, 0, 257, 256) is None
        assert tile_of(db, 0, 258, 1) is None
        level_1 = tile_of(db, 1, 0, 256)
        assert level_1 is not None
        assert level_1[:32] == root_of(256)
        assert tile_of(db, 1, 1, 1) is not None
        assert tile_of(db, 1, 1, 2) is None
        assert tile_of(db, 2, 0, 1) == root_of(65_536)
        assert tile_of(db, 2, 0, 2) is None
        assert tile_of(db, 3, 0, 1) is None
        assert bundle_of(db, 0, 256) == b"".join(map(framed, ENTRIES[:256]))
        assert bundle_of(db, 1, 3) == b"".join(map(framed, ENTRIES[256:259]))
        assert bundle_of(db, 257, 208) == b"".join(map(framed, ENTRIES[257 * 256 :]))
        assert bundle_of(db, 257, 209) is None
        assert bundle_of(db, 257, 256) is None


def test_an_event_costs_a_row_and_a_full_tile_leaves_none_of_its_rows() -> None:
    with memory_folder() as folder, closing(ReadModel(folder / "live", LogTiles())) as model:
        for size in range(1, 515):
            before = model.db.total_changes
            model.apply(LOG[size - 1 : size])
            if size % TILE_WIDTH:
                # its row at the edge, and the checkpoint
                assert model.db.total_changes - before == 2
            (rows,) = model.db.execute("SELECT count(*) FROM edge").fetchone()
            assert rows == size % TILE_WIDTH + size // TILE_WIDTH


def test_two_writers_by_turns_build_one_tree() -> None:
    with memory_folder() as folder:
        models = [ReadModel(folder / "live", LogTiles()) for _ in range(2)]
        for turn, end in enumerate(range(37, 800, 37)):
            model = models[turn % 2]
            model.apply(LOG[model.position() : end])
        with built(folder / "fresh", 777) as fresh:
            assert documents(models[0].db) == documents(fresh)
        for model in models:
            model.close()
