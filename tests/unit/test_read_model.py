"""A read model writes nothing for events that change no row, and forgets none of the others."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from histories import EVERYTHING, long_history
from packledger.feeds.feed import Recorded
from packledger.projections import read_model
from packledger.projections.accounts.fold import Accounts
from packledger.projections.catalogue import on_every_node
from packledger.projections.read_model import Gap, ReadModel
from small_registry import documents_in, new_projection

LAST = len(EVERYTHING)


def checkpoint(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        position: int = db.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()[0]
    return position


def changed_by(path: Path, model: ReadModel, page: Sequence[Recorded]) -> bool:
    """Apply a page; return whether the file was written."""
    with closing(sqlite3.connect(path)) as db:
        before = db.execute("PRAGMA data_version").fetchone()
        assert model.apply(page) == page[-1].position
        return bool(db.execute("PRAGMA data_version").fetchone() != before)


def of_concern(page: Sequence[Recorded]) -> bool:
    return any(type(recorded.event) in Accounts.concerns for recorded in page)


def test_only_events_of_concern_are_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    with closing(ReadModel(path, Accounts(), lazy=True)) as model:
        written = [changed_by(path, model, [recorded]) for recorded in EVERYTHING]
        assert written == [of_concern([recorded]) for recorded in EVERYTHING]
        assert len(set(written)) == 2
    assert checkpoint(path) == LAST


@pytest.mark.parametrize("name", on_every_node())
@pytest.mark.parametrize("closes", [True, False])
def test_a_lazy_model_is_what_any_other_is_wherever_it_was_opened_anew(
    tmp_path: Path, name: str, closes: bool
) -> None:
    lazy, ordinary = tmp_path / "lazy", tmp_path / "ordinary"
    model = ReadModel(lazy, new_projection(name), lazy=True)
    for at in range(LAST):
        model.apply(EVERYTHING[at : at + 1])
        if at % 7 == 0:
            if closes:
                model.close()
            else:  # as if it were killed
                model.db.close()
            model = ReadModel(lazy, new_projection(name), lazy=True)
            if model.position() <= at:
                assert model.apply(EVERYTHING[model.position() : at + 1]) == at + 1
    model.close()
    with closing(ReadModel(ordinary, new_projection(name))) as other:
        other.apply(EVERYTHING)
    assert documents_in(lazy, name) == documents_in(ordinary, name)
    assert checkpoint(lazy) == checkpoint(ordinary) == LAST


def test_a_checkpoint_lacks_a_page_of_events_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_model, "SKIPPED_EVENTS", 5)
    path = tmp_path / "accounts"
    with closing(ReadModel(path, Accounts(), lazy=True)) as model:
        for recorded in long_history():
            model.apply([recorded])
            assert recorded.position - checkpoint(path) <= 5


def test_a_gap_among_events_that_change_nothing_is_seen(tmp_path: Path) -> None:
    with closing(ReadModel(tmp_path / "accounts", Accounts(), lazy=True)) as model:
        at = next(at for at in range(LAST) if not of_concern(EVERYTHING[at : at + 3]))
        model.apply(EVERYTHING[: at + 1])
        with pytest.raises(Gap):
            model.apply(EVERYTHING[at + 2 : at + 3])
