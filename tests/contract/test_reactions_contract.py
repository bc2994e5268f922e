"""What every store must do for the checkpoints of reactions and the turns to act."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec
import pytest

from event_stores import STORES, execute_sql, new_place, open_log, open_store
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.reactions import Parked, ReactionState, ReactionTable, Turn
from packledger.eventstore.sqlite.append_lock import AppendLock
from packledger.eventstore.sqlite.reactions import SQLiteReactions
from small_registry import memory_folder

LONG_S = 600.0
WITHIN_S = 20.0
replace = msgspec.structs.replace
Open = Callable[[], ReactionTable]


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_place(str(request.param), request) as place:
        yield place


@pytest.fixture
def opened(place: str) -> Iterator[Open]:
    """Open the same rows again and again, as so many processes would."""
    open_log(place).close()
    stores = []

    def open_one() -> ReactionTable:
        stores.append(open_store(place))
        return stores[-1].reactions()

    yield open_one
    for store in stores:
        store.close()


def taken(table: ReactionTable, name: str = "hook", lease_s: float = LONG_S) -> Turn:
    """Take a turn, once whoever has it is late."""
    deadline_s = time.monotonic() + WITHIN_S
    while (turn := table.take(name, lease_s)) is None:
        assert time.monotonic() < deadline_s, "nobody gave the turn up"
        time.sleep(0.01)
    return turn


def test_there_is_nothing_before_the_first_begins(opened: Open) -> None:
    assert opened().states() == {}
    assert list(opened().parked("hook", 10)) == []


def test_a_reaction_begins_once(opened: Open) -> None:
    opened().begin("hook", 7)
    opened().begin("hook", 9)
    opened().begin("mail", 0)
    states = {"hook": ReactionState(7, 0, "", 0), "mail": ReactionState(0, 0, "", 0)}
    assert opened().states() == states
    assert opened().parked("hook", 10) == []


def test_one_has_the_turn_until_it_is_given_up(opened: Open) -> None:
    one, other = opened(), opened()
    one.begin("hook", 3)
    turn = taken(one)
    assert turn == Turn("hook", 1, 3)
    assert other.take("hook", LONG_S) is None
    assert one.take("hook", LONG_S) is None
    assert one.renew(turn, 0.0)
    assert other.take("hook", LONG_S) == Turn("hook", 2, 3)


def test_turns_of_two_reactions_have_nothing_to_do_with_each_other(opened: Open) -> None:
    table = opened()
    table.begin("hook", 1)
    table.begin("mail", 2)
    hook, mail = taken(table, "hook"), taken(table, "mail")
    assert table.keep(replace(hook, position=5, attempts=0), LONG_S)
    assert table.park(mail, Parked(3, 8, "no"))
    assert table.states() == {
        "hook": ReactionState(5, 0, "", 0),
        "mail": ReactionState(2, 0, "", 1),
    }


def test_what_is_kept_is_where_the_next_one_goes_on(opened: Open) -> None:
    one, other = opened(), opened()
    one.begin("hook", 0)
    turn = replace(taken(one), position=4, attempts=2, error="é no `answer`")
    assert one.keep(turn, LONG_S)
    assert one.keep(turn, 0.0), "the same again is harmless"
    assert other.take("hook", LONG_S) == replace(turn, fence=2)
    assert other.states() == {"hook": ReactionState(4, 2, "é no `answer`", 0)}


def test_a_lease_ends_by_itself_and_its_holder_can_write_nothing_afterwards(opened: Open) -> None:
    paused, other = opened(), opened()
    paused.begin("hook", 0)
    late = taken(paused, lease_s=0.05)
    turn = taken(other)
    assert turn.fence == late.fence + 1
    for _ in range(2):
        assert not paused.keep(replace(late, position=9), LONG_S)
        assert not paused.renew(late, LONG_S)
        assert not paused.renew(late, 0.0)
        assert not paused.park(late, Parked(1, 1, "late"))
    assert other.states() == {"hook": ReactionState(0, 0, "", 0)}
    assert paused.take("hook", LONG_S) is None, "nothing of it has ended the turn of the other"
    assert other.keep(replace(turn, position=1), LONG_S)


def test_a_lease_that_is_over_is_still_ours_while_nobody_wants_it(opened: Open) -> None:
    table = opened()
    table.begin("hook", 0)
    turn = taken(table, lease_s=0.0)
    assert table.keep(replace(turn, position=1), 0.0)
    assert table.renew(turn, LONG_S)
    assert opened().take("hook", LONG_S) is None


def test_a_renewed_lease_is_longer_than_it_was(opened: Open) -> None:
    table = opened()
    table.begin("hook", 0)
    turn = taken(table, lease_s=0.2)
    assert table.renew(turn, LONG_S)
    deadline_s = time.monotonic() + 0.4
    while time.monotonic() < deadline_s:
        assert opened().take("hook", LONG_S) is None
        time.sleep(0.05)


def test_a_checkpoint_never_goes_back(opened: Open) -> None:
    table = opened()
    table.begin("hook", 5)
    turn = taken(table)
    assert table.keep(replace(turn, position=6), LONG_S)
    assert not table.keep(replace(turn, position=5), LONG_S)
    assert table.states()["hook"].position == 6


def test_parked_events_are_told_newest_first_and_once(opened: Open) -> None:
    table = opened()
    table.begin("hook", 0)
    turn = taken(table)
    for position in (1, 10, 2):
        assert table.park(turn, Parked(position, 3, f"no {position}"))
    assert table.park(turn, Parked(2, 4, "é still no"))
    told = [Parked(10, 3, "no 10"), Parked(2, 4, "é still no")]
    assert list(opened().parked("hook", 2)) == told
    assert opened().states()["hook"].parked == 3
    assert list(opened().parked("mail", 2)) == []


def test_of_many_that_take_a_turn_at_once_one_has_it(opened: Open) -> None:
    tables = [opened() for _ in range(6)]
    tables[0].begin("hook", 0)
    turns: list[Turn | None] = []
    for fence in range(1, 6):
        barrier = threading.Barrier(len(tables))
        turns.clear()

        def take(table: ReactionTable, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            turns.append(table.take("hook", LONG_S))

        threads = [threading.Thread(target=take, args=[table]) for table in tables]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (turn,) = filter(None, turns)
        assert turn == Turn("hook", fence, 0)
        assert tables[0].renew(turn, 0.0)


def test_they_are_there_after_a_restart_and_leave_the_log_alone(place: str, opened: Open) -> None:
    table = opened()
    table.begin("hook", 0)
    turn = taken(table)
    table.park(turn, Parked(1, 8, "no"))
    table.keep(replace(turn, position=1), LONG_S)
    with closing(open_log(place)) as log:
        assert log.last_position() == 0
        assert log.damage() == ""
    assert opened().states() == {"hook": ReactionState(1, 0, "", 1)}


def test_what_nobody_has_written_is_damage() -> None:
    """PostgreSQL's columns hold nothing else."""
    with memory_folder() as folder:
        place = str(folder / "events.sqlite")
        with closing(open_store(place)) as store:
            table = store.reactions()
            table.begin("hook", 0)
            execute_sql(place, "UPDATE reactions SET position = 'one'")
            with pytest.raises(DamagedLog, match="a row of a reaction"):
                table.states()
            with pytest.raises(DamagedLog, match="a row of a reaction"):
                table.take("hook", LONG_S)


def test_a_clock_that_was_set_back_does_not_keep_a_turn() -> None:
    with memory_folder() as folder:
        now_s = 1_000_000.0
        with closing(AppendLock(folder / "events.lock")) as lock:
            table = SQLiteReactions(folder / "events.sqlite", lock, lambda: now_s)
            table.begin("hook", 0)
            turn = taken(table)
            assert table.take("hook", LONG_S) is None
            now_s -= 3600
            assert taken(table).fence == turn.fence + 1
            assert not table.keep(turn, LONG_S)
            now_s += LONG_S / 2
            assert table.take("hook", LONG_S) is None
            now_s += LONG_S
            assert taken(table).fence == turn.fence + 2
