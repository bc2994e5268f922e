"""Documents in memory: assembled once for a revision, and never an old one."""

import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.errors import Unavailable
from packledger.projections import documents as documents_module
from packledger.projections.documents import Documents, etag_of, render
from packledger.projections.generation import Generations
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SPARSE_INDEX
from small_registry import SmallRegistry, memory_folder


@pytest.fixture
def small() -> Iterator[SmallRegistry]:
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        yield small


class Counted:
    """Index files, and how often one was assembled."""

    def __init__(self, small: SmallRegistry) -> None:
        self.assembled: list[str] = []
        self.reader = small.reader(SPARSE_INDEX)
        self.documents = Documents(self.reader, sparse_index.revision_of, self._assemble)

    def _assemble(self, db: sqlite3.Connection, name: str) -> bytes | None:
        self.assembled.append(name)
        return sparse_index.index_file_of(db, name)

    def lines(self, name: str) -> int:
        document = self.documents.load(name)
        return len(document.body.splitlines()) if document else 0


@pytest.fixture
def counted(small: SmallRegistry) -> Counted:
    return Counted(small)


@given(st.binary(max_size=2000))
def test_a_document_is_its_bytes_in_two_encodings_under_one_etag(body: bytes) -> None:
    document = render(body)
    assert document.body == body
    assert zlib.decompress(document.gzip, 31) == body
    assert document.etag == etag_of(body) == render(body).etag
    assert document.etag != etag_of(body + b" ")


def test_what_is_not_there_is_none_until_it_is(small: SmallRegistry, counted: Counted) -> None:
    small.catch_up()
    assert counted.documents.cached("demo") is None
    assert counted.documents.load("demo") is None
    small.publish_crate("alice", "demo", "1.0.0")
    small.catch_up()
    assert counted.lines("demo") == 1


def test_a_document_is_assembled_once_for_a_revision(
    small: SmallRegistry, counted: Counted
) -> None:
    small.publish_crate("alice", "demo", "1.0.0")
    small.catch_up()
    first = counted.documents.load("demo")
    for number in range(3):
        small.publish_crate("alice", f"other-{number}", "1.0.0")
        small.catch_up()
        assert counted.documents.cached("demo") is first
        assert counted.documents.load("demo") is first
    assert counted.assembled == ["demo"]
    small.publish_crate("alice", "demo", "1.1.0")
    small.catch_up()
    assert counted.documents.cached("demo") is None
    assert counted.lines("demo") == 2
    assert counted.assembled == ["demo", "demo"]


def test_a_document_follows_every_swap_of_generations(
    small: SmallRegistry, counted: Counted
) -> None:
    for number in range(1, 5):
        small.publish_crate("alice", "demo", f"1.{number}.0")
        small.rebuild(SPARSE_INDEX)
        assert counted.lines("demo") == number
        small.catch_up()
        assert counted.lines("demo") == number


def test_a_swap_shows_what_another_renderer_made_of_the_same_events(
    small: SmallRegistry, counted: Counted
) -> None:
    small.publish_crate("alice", "demo", "1.0.0")
    small.catch_up()
    before = counted.documents.load("demo")
    with closing(sqlite3.connect(small.live_model(SPARSE_INDEX), isolation_level=None)) as db:
        db.execute("UPDATE versions SET fragment = replace(fragment, 'demo', 'DEMO')")
    assert counted.documents.load("demo") is before, "nobody said that anything changed"
    small.rebuild(SPARSE_INDEX)
    after = counted.documents.load("demo")
    assert after == before
    assert after is not before


def test_read_models_deleted_beneath_a_running_registry_are_not_read_any_more(
    small: SmallRegistry, counted: Counted
) -> None:
    small.publish_crate("alice", "demo", "1.0.0")
    small.catch_up()
    assert counted.lines("demo") == 1
    generations = Generations(small.read_root, SPARSE_INDEX)
    generations.discard(generations.live())
    (small.read_root / SPARSE_INDEX / "current").unlink()
    small.publish_crate("alice", "demo", "1.1.0")
    small.catch_up()
    assert counted.lines("demo") == 2


def test_many_at_once_assemble_it_once(small: SmallRegistry, counted: Counted) -> None:
    small.publish_crate("alice", "demo", "1.0.0")
    small.catch_up()
    barrier = threading.Barrier(8)
    found: list[Any] = []

    def load() -> None:
        barrier.wait()
        found.append(counted.documents.load("demo"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.assembled == ["demo"]
    assert len({id(one) for one in found}) == 1


def test_the_cache_stays_within_its_bytes_and_stays_right(
    small: SmallRegistry, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        small.publish_crate("alice", f"demo-{number}", "1.0.0")
    small.catch_up()
    size_bytes = len(counted.documents.load("demo-0").body)  # type: ignore[union-attr]
    monkeypatch.setattr(documents_module, "CACHE_BYTES", 3 * (2 * size_bytes + 500))
    for _ in range(2):
        for number in range(8):
            assert counted.lines(f"demo-{number}") == 1
    kept = [number for number in range(8) if counted.documents.cached(f"demo-{number}")]
    assert 1 <= len(kept) <= 4
    assert 7 in kept, "the newest one is kept"


def test_nothing_is_read_from_a_model_that_is_not_built(
    small: SmallRegistry, counted: Counted
) -> None:
    with pytest.raises(Unavailable, match="sparse-index"):
        counted.documents.load("demo")


@pytest.mark.parametrize("name", ["a b", "a#b", "a?mode=rw", "50%41", "ü:é", "file:x"])
def test_a_data_directory_may_have_any_name(name: str) -> None:
    with memory_folder() as folder, closing(SmallRegistry(Path(folder, name))) as small:
        small.publish_crate("alice", "demo", "1.0.0")
        small.catch_up()
        assert Counted(small).lines("demo") == 1
        assert small.rebuild(SPARSE_INDEX).differences == []
        assert Counted(small).lines("demo") == 1
        assert [path.name for path in folder.iterdir()] == [name]
