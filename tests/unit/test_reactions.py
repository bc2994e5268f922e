"""One reaction step by step, on rows in a file and a clock that a test sets."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import msgspec
import pytest

from acting import QUICK, Acts, Dead, Failing
from packledger.domain.errors import Unavailable
from packledger.eventstore.reactions import Parked, ReactionState
from packledger.eventstore.sqlite.append_lock import AppendLock
from packledger.eventstore.sqlite.reactions import SQLiteReactions
from packledger.feeds.feed import BrokenFeed
from packledger.reactions.keeper import Keeper, Waker
from packledger.reactions.lease import Clock
from packledger.reactions.reaction import Begins, Page, Reaction
from packledger.reactions.runner import IDLE_S, SAVE_EVENTS, SAVE_S, STANDBY_S, Runner, reason_of
from process_tree import wait_until
from small_logs import ListFeed, owners_come
from small_registry import memory_folder


class Small:
    """A log of 12 events, rows, and the time."""

    def __init__(self, opened: ExitStack) -> None:
        folder = opened.enter_context(memory_folder())
        lock = opened.enter_context(closing(AppendLock(folder / "events.lock")))
        self.now_s = 1_000_000.0
        self.rows = SQLiteReactions(folder / "events.sqlite", lock, lambda: self.now_s)
        self.table = Failing(self.rows)
        self.log = ListFeed(owners_come(12))

    def runner(self, acts: Reaction, between: Callable[[float, float], float] = max) -> Runner:
        return Runner(acts, self.log, self.table, clock=Clock(lambda: self.now_s, between))

    def run(self, runner: Runner) -> float:
        """Go on until there is nothing to do now; return for how long."""
        for _ in range(1000):
            if pause_s := runner.step():
                return pause_s
        raise AssertionError("it never comes to rest")

    def state(self, acts: Reaction) -> ReactionState:
        return self.rows.states()[acts.name]


@pytest.fixture
def small() -> Iterator[Small]:
    with ExitStack() as opened:
        yield Small(opened)


def test_it_acts_on_each_event_once_and_comes_to_rest(small: Small) -> None:
    acts = Acts()
    runner = small.runner(acts)
    assert small.run(runner) == IDLE_S
    assert acts.done == list(range(1, 13))
    assert small.state(acts) == ReactionState(12, 0, "", 0)
    assert runner.step() == IDLE_S
    assert small.run(small.runner(acts)) == IDLE_S
    assert acts.done == list(range(1, 13))


@pytest.mark.parametrize(("begins", "first"), [(Begins.NOW, 9), (Begins.BEGINNING, 1)])
def test_a_new_reaction_begins_where_it_says(small: Small, begins: Begins, first: int) -> None:
    acts = Acts(begins)
    small.log.length = 8
    runner = small.runner(acts)
    assert small.run(runner) == IDLE_S
    runner.stop()
    small.log.length = 12
    assert small.run(small.runner(acts)) == IDLE_S
    assert acts.done == list(range(first, 13))


def test_pages_are_no_longer_than_it_wants_and_hold_what_it_wants(small: Small) -> None:
    acts = Acts(page_events=3, wants=lambda position: position % 2 == 1)
    small.run(small.runner(acts))
    pages = [[one.position for one in page.events] for page in acts.pages]
    assert pages == [[1], [3], [5], [7, 9, 11]], "alone, until nobody can have died of them"
    assert small.state(acts).position == 12


def test_an_event_that_fails_is_tried_with_pauses_then_parked(small: Small) -> None:
    acts = Acts()
    acts.refused = {3}
    runner = small.runner(acts)
    pauses = []
    for attempt in (1, 2):
        pauses.append(small.run(runner))
        assert small.state(acts) == ReactionState(2, attempt, "nobody takes 3", 0)
        small.now_s += pauses[-1] - 0.1
        assert runner.step() == pytest.approx(0.1), "no sooner"
        small.now_s += 0.1
    assert pauses == [1.0, 2.0]
    assert small.run(runner) == IDLE_S
    assert acts.done == [1, 2, *range(4, 13)]
    assert [page.attempt for page in acts.pages if page.events[0].position == 3] == [1, 2, 3]
    assert small.state(acts) == ReactionState(12, 0, "", 1)
    assert list(small.rows.parked("test", 9)) == [Parked(3, 3, "nobody takes 3")]


def test_pauses_differ_and_have_a_limit(small: Small) -> None:
    patience = msgspec.structs.replace(QUICK, tries=10)
    acts = Acts(patience=patience)
    acts.refused = {1}
    asked: list[tuple[float, float]] = []

    def between(least: float, most: float) -> float:
        asked.append((least, most))
        return least

    runner = small.runner(acts, between)
    pauses = []
    for _ in range(5):
        pauses.append(small.run(runner))
        small.now_s += pauses[-1]
    assert pauses == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert set(asked) == {(0.5, 1.0)}


def test_who_fails_keeps_others_from_trying_at_once(small: Small) -> None:
    acts = Acts()
    acts.refused = {1}
    small.run(small.runner(acts))
    other = small.runner(acts)
    small.now_s += QUICK.lease_s
    assert small.run(other) == STANDBY_S
    assert len(acts.pages) == 1
    small.now_s += 1.1
    assert small.run(other) == 2.0, "its second attempt"


def test_what_was_done_is_not_done_again_when_the_store_was_away(small: Small) -> None:
    acts = Acts()
    runner = small.runner(acts)
    acts.after = lambda position, page: setattr(
        small.table, "fails", {2: "before", 3: "after"}.get(position)
    )
    for _ in range(2):
        with pytest.raises(Unavailable):
            small.run(runner)
    small.run(runner)
    assert acts.done == list(range(1, 13))


def test_of_a_page_that_fails_one_is_parked_and_the_others_are_acted_on(small: Small) -> None:
    acts = Acts(page_events=4)
    acts.refused = {7}
    runner = small.runner(acts)
    for _ in range(10):
        small.now_s += min(5.0, small.run(runner))
    assert small.state(acts) == ReactionState(12, 0, "", 1)
    assert [one.position for one in small.rows.parked("test", 9)] == [7]
    assert acts.done == [1, 2, 3, 4, 5, 6, 5, 6, *range(8, 13)], "what failed is done again"


def test_an_event_that_kills_is_parked(small: Small) -> None:
    acts = Acts(page_events=2)

    def kill(position: int, page: Page) -> None:
        if position == 6:
            raise Dead

    acts.before = kill
    runner, deaths = small.runner(acts), 0
    while small.state(acts).position < 12 if deaths else True:
        try:
            small.now_s += min(5.0, small.run(runner))
        except Dead:
            deaths += 1
            assert deaths < 10, "it kills for ever"
            runner = small.runner(acts)
    assert list(small.rows.parked("test", 9)) == [Parked(6, 3, "the process ended each time")]
    assert deaths == QUICK.tries + 1, "the first attempt was not written down"
    assert set(acts.done) == set(range(1, 13)) - {6}


def test_what_is_not_wanted_moves_the_checkpoint_later(small: Small) -> None:
    acts = Acts(wants=lambda position: False)
    small.log.length = 0
    runner = small.runner(acts)
    assert small.run(runner) == IDLE_S
    small.log.length = 5
    assert small.run(runner) == IDLE_S
    assert small.state(acts).position == 5, "nothing was stored lately"
    small.log.length = 12
    assert small.run(runner) == pytest.approx(SAVE_S)
    assert small.state(acts).position == 5, "no write for each"
    small.now_s += SAVE_S
    assert small.run(runner) == IDLE_S
    assert small.state(acts).position == 12
    assert acts.pages == []


def test_a_long_way_that_is_not_wanted_is_not_gone_again(small: Small) -> None:
    small.log = ListFeed(owners_come(SAVE_EVENTS + 300))
    acts = Acts(wants=lambda position: position > SAVE_EVENTS + 200)
    acts.before = lambda position, page: seen.append(small.state(acts).position)
    seen: list[int] = []
    small.run(small.runner(acts))
    assert seen[0] >= SAVE_EVENTS
    assert small.state(acts).position == SAVE_EVENTS + 300


def test_a_standby_neither_writes_nor_reads_in_a_hurry(small: Small) -> None:
    acts = Acts()
    one, other = small.runner(acts), small.runner(acts)
    small.log.length = 3
    small.run(one)
    small.log.length = 12
    assert small.run(other) == STANDBY_S
    fence = acts.pages[-1].fence
    small.run(one)
    assert [small.run(other), small.run(other)] == [STANDBY_S, IDLE_S], "all is done, it sees"
    assert {page.fence for page in acts.pages} == {fence}


def test_a_checkpoint_ahead_of_the_log_is_refused(small: Small) -> None:
    acts = Acts()
    small.run(small.runner(acts))
    small.log.length = 11
    with pytest.raises(
        BrokenFeed, match=r"`test` has acted on the event at position 12.*ends at 11"
    ):
        small.runner(acts).step()


def test_what_may_be_secret_is_not_shown() -> None:
    assert reason_of(Unavailable("nobody\n\0takes\tit")) == "nobody ?takes it"
    assert reason_of(ValueError("http://user:password@hook.example.com")) == (
        "ValueError, see the log"
    )


class Kept:
    """Some reactions in one process, until the block ends."""

    def __init__(self, small: Small, *reactions: Reaction) -> None:
        self.waker = Waker()
        self._end = threading.Event()
        self.runners = [
            Runner(one, small.log, small.rows, lambda: self.waker.stopping) for one in reactions
        ]
        self.why: str | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        keeper = Keeper(self.runners, self.waker)
        self.why = keeper.run(lambda timeout_s: self._end.wait(0.01), self._end.is_set)

    def __enter__(self) -> "Kept":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        names = {one.reaction.name for one in self.runners}
        for thread in [self._thread, *(one for one in threading.enumerate() if one.name in names)]:
            thread.join(30)
            assert not thread.is_alive()


def test_one_that_takes_long_does_not_hold_back_another(small: Small) -> None:
    slow, quick, refused = Acts(), Acts(), Acts()
    slow.name, quick.name, refused.name = "slow", "quick", "refused"
    refused.refused = set(range(1, 13))
    go_on = threading.Event()
    slow.before = lambda position, page: (go_on.wait(30), None)[1]
    small.now_s = 0.0
    with Kept(small, slow, refused, quick) as kept:
        wait_until(lambda: quick.done == list(range(1, 13)), "the quick one is done")
        assert slow.done == []
        go_on.set()
        wait_until(lambda: slow.done == list(range(1, 13)), "the slow one is done, too")
    assert kept.why == ""
    assert refused.done == []


def test_who_cannot_be_stopped_ends_the_process_and_the_attempt_counts(small: Small) -> None:
    hangs = Acts(patience=msgspec.structs.replace(QUICK, limit_s=0.05))
    go_on = threading.Event()
    hangs.before = lambda position, page: (go_on.wait(30), None)[1]
    with Kept(small, hangs) as kept:
        wait_until(lambda: kept.why is not None, "it gives up")
        state = small.state(hangs)
        go_on.set()
    assert kept.why == "`test` takes longer than 0.05 s"
    assert state == ReactionState(0, 1, "", 0)
