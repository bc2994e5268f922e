"""The checkpoint beside the log, on every store: one row that only its successor replaces."""

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from event_stores import STORES, new_place, open_store
from packledger.eventstore.checkpoints import CheckpointRow, Checkpoints
from packledger.eventstore.store import Store

NOTE = "registry.example.com/log\n1\nAAAA\n\n\N{EM DASH} registry.example.com/log BBBB\n"


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_place(request.param, request) as place:
        yield place


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with closing(open_store(place)) as store:
        yield store


def test_there_is_nothing_at_first(store: Store) -> None:
    assert Checkpoints(store.credentials()).read() == CheckpointRow(0)


def test_what_is_stored_is_read_by_everybody_and_after_a_restart(store: Store, place: str) -> None:
    rows = [
        CheckpointRow(1, NOTE),
        CheckpointRow(2, NOTE, NOTE, "key", ""),
        CheckpointRow(3, NOTE, NOTE, "key", "é `refused`\n"),
    ]
    one, other = Checkpoints(store.credentials()), Checkpoints(store.credentials())
    for row in rows:
        assert one.replace(row)
        assert other.read() == row
    with closing(open_store(place)) as later:
        assert Checkpoints(later.credentials()).read() == rows[-1]


def test_of_two_that_continue_one_row_one_wins(store: Store) -> None:
    one, other = Checkpoints(store.credentials()), Checkpoints(store.credentials())
    for number in (1, 2, 10):
        mine, theirs = CheckpointRow(number, "mine"), CheckpointRow(number, "theirs")
        assert one.replace(mine) == (number < 10)
        assert not other.replace(theirs)
        assert other.read() == CheckpointRow(min(number, 2), "mine")


def test_a_statement_that_ran_twice_has_won_all_the_same(store: Store) -> None:
    checkpoints = Checkpoints(store.credentials())
    for number in (1, 2):
        row = CheckpointRow(number, NOTE)
        assert checkpoints.replace(row)
        assert checkpoints.replace(row)
    assert not checkpoints.replace(msgspec.structs.replace(row, refusal="other"))
