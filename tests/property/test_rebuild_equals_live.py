"""However a log reached a read model, its documents are those of a fresh rebuild."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories import histories
from packledger.domain.events import EVENTS
from packledger.feeds.feed import Recorded
from packledger.projections import heads, read_model
from packledger.projections.catalogue import on_every_node
from packledger.projections.comparison import (
    indexes_that_differ,
    open_beside,
    tables_that_differ,
)
from packledger.projections.packuments.fold import PACKUMENTS
from packledger.projections.read_model import Gap, ReadModel
from packledger.projections.sparse_index.fold import SPARSE_INDEX
from small_registry import assembled, digest_in, documents_in, memory_folder, new_projection

Log = list[Recorded]
CUTS = st.lists(st.integers(1, 7), min_size=1, max_size=12)
DISK = sqlite3.OperationalError("disk I/O error")


def fresh(path: Path, name: str, log: Log) -> dict[str, bytes]:
    """What one page with the whole log gives."""
    model = ReadModel(path, new_projection(name))
    model.apply(log)
    model.close()
    return documents_in(path, name)


def pages(log: Log, cuts: Iterable[int]) -> list[Log]:
    """The log cut into pages of these lengths, what is left in one more."""
    found, at = [], 0
    for length in cuts:
        found.append(log[at : at + length])
        at += length
    return [page for page in (*found, log[at:]) if page]


@settings(max_examples=150, deadline=None)
@given(histories(), CUTS, st.data())
def test_any_pages_repeats_and_restarts_give_the_same_documents(
    log: Log, cuts: list[int], data: st.DataObject
) -> None:
    with memory_folder() as folder:
        for name in on_every_node():
            path, projection = folder / f"{name}.live", new_projection(name)
            model = ReadModel(path, projection)
            for page in pages(log, cuts):
                again = data.draw(st.integers(0, 3), label="events delivered again before the page")
                # After a start the feed goes on from where the model is, maybe further back.
                model.apply(log[max(0, model.position() - again) : page[-1].position])
                assert model.position() == page[-1].position
                match data.draw(st.sampled_from(["on", "on", "repeat", "reopen"])):
                    case "repeat":
                        assert model.apply(page) == page[-1].position
                    case "reopen":
                        model.close()
                        model = ReadModel(path, projection)
            model.close()
            assert documents_in(path, name) == fresh(folder / f"{name}.fresh", name, log)
            assert digest_in(path) == digest_in(folder / f"{name}.fresh")
            assert_the_same_file(path, folder / f"{name}.fresh")
        assert etags(folder, "live") == etags(folder, "fresh")


def assert_the_same_file(path: Path, replay: Path) -> None:
    """`verify` counts on it: even the indexes are those of a replay, entry by entry."""
    with closing(open_beside(path, replay)) as db:
        assert tables_that_differ(db) == []
        assert indexes_that_differ(db) == []


def etags(folder: Path, kind: str) -> list[str]:
    databases = [sqlite3.connect(folder / f"{n}.{kind}") for n in (SPARSE_INDEX, PACKUMENTS)]
    found = list(assembled(*databases))
    for db in databases:
        db.close()
    return found


@settings(max_examples=40, deadline=None)
@given(histories(), CUTS, st.sampled_from([0, 1, 2, 5, 50_000]), st.sampled_from([1, 2, 4_096]))
def test_what_a_rebuild_keeps_in_memory_changes_nothing(
    log: Log, cuts: list[int], keep_rows: int, waiting: int
) -> None:
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_model, "KEEP_ROWS", keep_rows)
        patch.setattr(heads, "WAITING", waiting)
        for name in on_every_node():
            path = folder / f"{name}.built"
            model = ReadModel(path, new_projection(name), private=True)
            built = pages(log, cuts)
            for page in built[:-1]:
                model.apply(page)
            model.share()
            model.apply(built[-1]) if built else None
            model.close()
            assert documents_in(path, name) == fresh(folder / f"{name}.fresh", name, log)
            assert digest_in(path) == digest_in(folder / f"{name}.fresh")
            assert_the_same_file(path, folder / f"{name}.fresh")


class Failing:
    """A connection whose nth statement fails, or fails after it was carried out."""

    def __init__(self, db: sqlite3.Connection, statement: int, after: bool) -> None:
        self._db, self._left, self._after = db, statement, after
        self.failed = False

    def _run(self, call: Callable[..., Any], *args: Any) -> Any:
        self._left -= 1
        if self._left != 0:
            return call(*args)
        self.failed = True
        if self._after:
            call(*args)
        raise DISK

    def execute(self, *args: Any) -> Any:
        return self._run(self._db.execute, *args)

    def executemany(self, *args: Any) -> Any:
        return self._run(self._db.executemany, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@settings(max_examples=150, deadline=None)
@given(
    log=histories(25),
    name=st.sampled_from(on_every_node()),
    cuts=CUTS,
    statement=st.integers(1, 30),
    after=st.booleans(),
)
def test_a_crash_at_any_statement_loses_and_doubles_nothing(
    log: Log, name: str, cuts: list[int], statement: int, after: bool
) -> None:
    with memory_folder() as folder:
        path, projection = folder / "live", new_projection(name)
        model = ReadModel(path, projection)
        model.db = Failing(model.db, statement, after)  # type: ignore[assignment]
        for page in pages(log, cuts):
            try:
                model.apply(page)
            except sqlite3.OperationalError:
                # As the projector does: it opens the file anew and goes on from its checkpoint.
                model.close()
                model = ReadModel(path, projection)
                before = documents_in(path, name)
                done = model.position()
                assert before == fresh(folder / "prefix", name, log[:done])
                model.apply(log[done : page[-1].position])
        model.close()
        assert documents_in(path, name) == fresh(folder / "fresh", name, log)


@pytest.mark.parametrize("name", on_every_node())
@given(log=histories(40), cuts=CUTS, turns=st.lists(st.booleans(), min_size=13, max_size=13))
@settings(max_examples=30, deadline=None)
def test_two_writers_by_turns_give_the_same_documents(
    name: str, log: Log, cuts: list[int], turns: list[bool]
) -> None:
    with memory_folder() as folder:
        models = [ReadModel(folder / "live", new_projection(name)) for _ in range(2)]
        for page, turn in zip(pages(log, cuts), turns, strict=False):
            model = models[turn]
            model.apply(log[model.position() : page[-1].position])
        for model in models:
            model.close()
        assert documents_in(folder / "live", name) == fresh(folder / "fresh", name, log)


@pytest.mark.parametrize("name", on_every_node())
@given(log=histories(15).filter(lambda log: len(log) > 2), data=st.data())
@settings(max_examples=10, deadline=None)
def test_a_page_that_skips_an_event_is_refused_whole(
    name: str, log: Log, data: st.DataObject
) -> None:
    with memory_folder() as folder:
        model = ReadModel(folder / "live", new_projection(name))
        done = data.draw(st.integers(0, len(log) - 2))
        if done:
            model.apply(log[:done])
        with pytest.raises(Gap):
            model.apply(log[done + 1 :])
        assert model.position() == done
        model.close()


def test_the_histories_reach_every_kind_of_event() -> None:
    seen: set[str] = set()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(histories())
    def look(log: Sequence[Recorded]) -> None:
        seen.update(type(one.event).__name__ for one in log)

    look()
    assert {kind.__name__ for kind in EVENTS.values()} == seen
