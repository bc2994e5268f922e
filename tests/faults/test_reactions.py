"""A reaction's process is killed, paused, stopped and made to refuse; on both stores."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from acting_process import QUICK, Acting
from event_stores import STORES, execute_sql, new_place, open_log, open_store
from packledger.eventstore.reactions import Parked, ReactionState
from packledger.reactions.keeper import STOP_S
from process_tree import wait_until
from small_logs import grow

EVENTS = 5
soon = partial(wait_until, timeout_s=60)
PATIENT = msgspec.structs.replace(QUICK, tries=20)
CALM = msgspec.structs.replace(QUICK, lease_s=4.0)
"""Where a turn must not be lost, however busy the machine is."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the store is: a file's path, or a database's URL."""
    with new_place(str(request.param), request) as place:
        yield place


@pytest.fixture
def acting(store: str, tmp_path: Path) -> Acting:
    append(store, EVENTS)
    return Acting(tmp_path / "acting", store)


def append(store: str, events: int) -> None:
    """Let the log have so many events."""
    with closing(open_log(store)) as log:
        grow(log, events)


def parked(store: str) -> list[Parked]:
    with closing(open_store(store)) as opened:
        return list(opened.reactions().parked("file", 10))


def run_until(acting: Acting, position: int, most: int = 40) -> int:
    """Start the process again whenever it ends, as a supervisor does; return how often."""
    for starts in range(1, most + 1):
        with acting.started(PATIENT if most > 20 else QUICK) as process:
            acting.reach(position, process)
            if acting.checkpoint() >= position:
                return starts
    raise AssertionError(f"not there after {most} starts:\n{acting.said()}")


def test_killed_at_every_step_it_acts_on_each_event_and_in_order(acting: Acting) -> None:
    """Before it acts nothing was done; after it, and before the checkpoint, it is done again."""
    for position in range(1, EVENTS + 1):
        acting.will(f"dies-before-{position}", f"dies-after-{position}")
    assert run_until(acting, EVENTS) == 2 * EVENTS + 1
    twice = [position for position in range(1, EVENTS + 1) for _ in range(2)]
    assert acting.positions() == twice
    assert acting.state() == ReactionState(EVENTS, 0, "", 0)


def test_killed_while_it_has_the_turn_and_nothing_to_do_nothing_happens_again(
    acting: Acting, store: str
) -> None:
    for events in range(EVENTS, EVENTS + 3):
        append(store, events)
        assert run_until(acting, events) == 1  # killed as soon as it is there
    assert acting.positions() == list(range(1, EVENTS + 3))


def test_an_event_that_kills_is_parked_and_the_others_are_acted_on(
    acting: Acting, store: str
) -> None:
    acting.will("kills-2", "refuses-4")
    run_until(acting, EVENTS, most=20)
    assert acting.positions() == [1, 3, 5]
    assert acting.state() == ReactionState(EVENTS, 0, "", 2)
    assert parked(store) == [
        Parked(4, QUICK.tries, "nobody takes 4"),
        Parked(2, QUICK.tries, "the process ended each time"),
    ]
    assert "gives an event up" in acting.said()


def test_what_takes_too_long_ends_its_process_and_is_parked_at_last(
    acting: Acting, store: str
) -> None:
    short = msgspec.structs.replace(QUICK, limit_s=0.3, tries=2)
    hung = 0
    while not parked(store):
        assert hung <= short.tries + 1, "the first one was not written down, the others were"
        acting.will("holds-2")
        with acting.started(short) as process:
            acting.reach(EVENTS, process)
            hung += process.poll() == 1
    assert "`file` takes longer than 0.3 s" in acting.said()
    assert parked(store) == [Parked(2, short.tries, "the process ended each time")]
    assert acting.positions() == [1, 3, 4, 5]


def test_two_processes_one_acts_and_the_other_takes_over_from_a_dead_one(
    acting: Acting, store: str
) -> None:
    with acting.started(CALM) as one, acting.started(CALM) as other:
        for events in range(EVENTS, EVENTS + 5):
            append(store, events)
            soon(lambda wanted=events: acting.checkpoint() == wanted, "it acts")
        dead = {one.pid: one, other.pid: other}[acting.acts()[-1].pid]
        dead.kill()
        dead.wait(20)
        append(store, EVENTS + 8)
        soon(lambda: acting.checkpoint() == EVENTS + 8, "the other one goes on")
    assert acting.positions() == list(range(1, EVENTS + 9)), "nothing is done twice"
    fences = [act.fence for act in acting.acts()]
    assert fences == sorted(fences)
    assert acting.acts()[-1].pid != dead.pid


def test_a_paused_holder_can_write_nothing_after_its_turn(acting: Acting, store: str) -> None:
    acting.will("holds-3")
    with acting.started() as paused:
        soon(lambda: acting.has("held-3"), "it acts")
        os.kill(paused.pid, signal.SIGSTOP)
        with acting.started() as other:
            soon(lambda: acting.checkpoint() == EVENTS, "another one has taken over")
            acting.will("go-3")
            os.kill(paused.pid, signal.SIGCONT)
            soon(
                lambda: paused.poll() == 1 or "another process has taken over" in acting.said(),
                "it learns that its turn is over",
            )
            append(store, EVENTS + 1)
            soon(lambda: acting.checkpoint() == EVENTS + 1, "they go on")
            assert other.poll() is None
    newest = max(act.fence for act in acting.acts())
    theirs = [act.position for act in acting.acts() if act.fence == newest]
    assert theirs == [*range(3, EVENTS + 1), EVENTS + 1]
    late = [act.position for act in acting.acts() if act.fence < newest]
    assert late in ([1, 2], [1, 2, 3]), "no more than what it was at"


def test_a_turn_is_renewed_as_long_as_it_takes(acting: Acting, store: str) -> None:
    """Many times the lease, while another one wants it."""
    ends = set()

    def renewed(times: int) -> bool:
        ends.update(execute_sql(store, "SELECT leased_until FROM reactions"))
        return len(ends) > times

    acting.will("holds-1")
    with acting.started(CALM) as one:
        soon(lambda: acting.has("held-1"), "it acts")
        with acting.started(CALM) as other:
            soon(lambda: renewed(5), "it is renewed again and again")
            acting.will("go-1")
            acting.reach(EVENTS, one)
            assert (one.poll(), other.poll()) == (None, None)
    assert acting.positions() == list(range(1, EVENTS + 1))
    assert {act.pid for act in acting.acts()} == {one.pid}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_seconds_and_another_one_goes_on_at_once(
    acting: Acting, number: signal.Signals
) -> None:
    long = msgspec.structs.replace(QUICK, lease_s=3600.0)
    with acting.started(long) as process:
        acting.reach(EVENTS, process)
        process.send_signal(number)
        assert process.wait(STOP_S + 10) == 0
    more = EVENTS + 2
    append(acting.store, more)
    with acting.started(long) as process:
        acting.reach(more, process)
    assert acting.positions() == list(range(1, more + 1))


def test_what_is_at_something_ends_within_seconds_and_its_attempt_does_not_count(
    acting: Acting,
) -> None:
    acting.will("holds-2", "dies-before-1")
    with acting.started(PATIENT) as process:
        process.wait(30)
    state = acting.state()
    assert state is not None
    assert state.attempts == 1, "who was killed has begun"
    with acting.started(PATIENT) as process:
        soon(lambda: acting.has("held-2"), "it acts")
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S + 20) == 0
    assert acting.state() == ReactionState(1, 0, "", 0)
    run_until(acting, EVENTS)
    assert acting.positions() == list(range(1, EVENTS + 1))
