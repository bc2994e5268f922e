"""Several processes act on one log: they die, pause, lose the store, and refuse; nothing is missed.

What must hold at every moment: all that is wanted behind the checkpoint was acted on or parked;
first in order; who begins to act has the turn; and without any disturbance it happens once.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from acting import QUICK, Acts, Dead, Failing
from event_stores import execute_sql
from packledger.domain.errors import Unavailable
from packledger.eventstore.sqlite.append_lock import AppendLock
from packledger.eventstore.sqlite.reactions import SQLiteReactions
from packledger.reactions.lease import Clock
from packledger.reactions.reaction import Begins, Page
from packledger.reactions.runner import Runner
from small_logs import ListFeed, owners_come
from small_registry import memory_folder

LOG = owners_come(80)
PROCESSES = 3
AHEAD = st.integers(1, 6)
WHO = st.integers(0, PROCESSES - 1)


def wanted(position: int) -> bool:
    return position % 4 != 0


disturbing = precondition(lambda self: not self.calm)


class Reactions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = contextlib.ExitStack()
        folder: Path = self._folder.enter_context(memory_folder())
        self.place = str(folder / "events.sqlite")
        self.now_s = 1_000_000.0
        lock = self._folder.enter_context(contextlib.closing(AppendLock(folder / "events.lock")))
        self.rows = SQLiteReactions(folder / "events.sqlite", lock, lambda: self.now_s)
        self.log = ListFeed(LOG, 0)
        self.done: list[int] = []
        self.begun: list[int] = []
        self.wrong: list[str] = []
        """What the reaction saw: an assertion there would be one more failed attempt."""
        self.disturbed = 0
        self.deadly: set[int] = set()
        self.meanwhile: Callable[[], None] = lambda: None

    @initialize(
        page_events=st.integers(1, 4),
        length=st.integers(0, 20),
        begins=st.sampled_from(Begins),
        calm=st.booleans(),
    )
    def start(self, page_events: int, length: int, begins: Begins, calm: bool) -> None:
        self.calm = calm
        self.log.length = length
        self.first = length if begins is Begins.NOW else 0
        self.acts = Acts(begins, page_events, QUICK, wanted)
        self.acts.done = self.done
        self.acts.before = self.before
        self.tables = [Failing(self.rows) for _ in range(PROCESSES)]
        self.runners = [self.new_runner(who) for who in range(PROCESSES)]
        self.step(0)  # where NOW is

    def new_runner(self, who: int) -> Runner:
        clock = Clock(lambda: self.now_s, lambda least, most: most)
        return Runner(self.acts, self.log, self.tables[who], clock=clock)

    def before(self, position: int, page: Page) -> None:
        if position == page.events[0].position:
            self.begun.append(position)
            (row,) = execute_sql(self.place, "SELECT fence FROM reactions")
            if row != (page.fence,):
                self.wrong.append(f"{position}: the turn is that of {row}, not {page.fence}")
        if not wanted(position):
            self.wrong.append(f"{position}: nobody wants it")
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        if position in self.deadly:
            raise Dead

    def step(self, who: int) -> float:
        """Return how long there is nothing to do."""
        try:
            return self.runners[who].step()
        except Unavailable:
            return 1.0
        except Dead:
            self.runners[who] = self.new_runner(who)
            return 0.0

    @rule(events=st.integers(1, 10))
    def append(self, events: int) -> None:
        self.log.length = min(len(LOG), self.log.length + events)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(who=WHO, steps=st.integers(1, 20))
    def go_on(self, who: int, steps: int) -> None:
        for _ in range(steps):
            self.step(who)

    @disturbing
    @rule(who=WHO)
    def die(self, who: int) -> None:
        self.disturbed += 1
        self.runners[who] = self.new_runner(who)

    @rule(who=WHO)
    def end(self, who: int) -> None:
        """In order, which disturbs nobody."""
        self.runners[who].stop()
        self.runners[who] = self.new_runner(who)

    @disturbing
    @rule(who=WHO, how=st.sampled_from(["before", "after"]))
    def die_at_it(self, who: int, how: str) -> None:
        def die() -> None:
            raise Dead

        self.disturbed += 1
        if how == "before":
            self.meanwhile = die
        else:
            self.acts.after = lambda position, page: die()
        self.step(who)
        self.meanwhile = lambda: None
        self.acts.after = lambda position, page: None

    @disturbing
    @rule(who=WHO, other=WHO, seconds=st.sampled_from([1.0, 30.0]), steps=st.integers(1, 20))
    def pause_at_it(self, who: int, other: int, seconds: float, steps: int) -> None:
        """Stopped for a while, or so busy; nobody looks after the turn."""
        if who == other:
            return

        def others_go_on() -> None:
            self.now_s += seconds
            for _ in range(steps):
                self.step(other)

        self.disturbed += 1
        self.meanwhile = others_go_on
        self.step(who)
        self.meanwhile = lambda: None

    @rule(who=WHO, seconds=st.sampled_from([1.0, 30.0]))
    def take_long_and_be_looked_after(self, who: int, seconds: float) -> None:
        """However long it takes: nobody else acts while the turn is renewed."""

        def renew() -> None:
            for _ in range(int(seconds)):
                self.now_s += 1.0
                why, begun = self.runners[who].check(), len(self.begun)
                self.step((who + 1) % PROCESSES)
                if why or len(self.begun) != begun:
                    self.wrong.append(f"somebody else acts, or may: {why}")

        self.meanwhile = renew
        self.step(who)
        self.meanwhile = lambda: None

    @disturbing
    @rule(who=WHO, how=st.sampled_from(["before", "after"]))
    def lose_the_store(self, who: int, how: str) -> None:
        self.disturbed += 1
        self.tables[who].fails = how
        self.step(who)
        self.tables[who].fails = None

    @disturbing
    @rule(ahead=AHEAD)
    def refuse(self, ahead: int) -> None:
        self.disturbed += 1
        self.acts.refused.add(self.checkpoint() + ahead)

    @disturbing
    @rule(ahead=AHEAD)
    def kill(self, ahead: int) -> None:
        self.disturbed += 1
        self.deadly.add(self.checkpoint() + ahead)

    @precondition(lambda self: self.acts.refused or self.deadly)
    @rule()
    def be_kind(self) -> None:
        self.acts.refused.clear()
        self.deadly.clear()

    def parked(self) -> set[int]:
        rows = execute_sql(self.place, "SELECT position FROM parked_events")
        return {int(str(position)) for (position,) in rows}

    def checkpoint(self) -> int:
        return self.rows.states()["test"].position

    @invariant()
    def the_reaction_saw_nothing_wrong(self) -> None:
        assert self.wrong == []

    @invariant()
    def nothing_behind_the_checkpoint_is_missing(self) -> None:
        behind = {one for one in range(self.first + 1, self.checkpoint() + 1) if wanted(one)}
        assert behind <= {*self.done, *self.parked()}

    @invariant()
    def everything_happens_first_in_order(self) -> None:
        first = list(dict.fromkeys(self.done))
        assert first == sorted(first)
        assert not first or first[0] > self.first

    @invariant()
    def it_happens_once_if_nothing_disturbs(self) -> None:
        if not self.disturbed:
            assert self.done == sorted(set(self.done))
            assert self.parked() == set()

    @invariant()
    def nothing_is_parked_that_was_not_tried_often_enough(self) -> None:
        faults = sum(table.faults for table in self.tables)
        for position in self.parked():
            assert self.begun.count(position) + faults >= QUICK.tries

    def teardown(self) -> None:
        try:
            if hasattr(self, "runners"):
                self.come_to_rest()
        finally:
            self._folder.close()

    def come_to_rest(self) -> None:
        """Whatever has happened, and whatever kills: after a few steps all is done or parked."""
        for _ in range(10 * len(LOG)):
            for who in range(PROCESSES):
                self.now_s += min(5.0, self.step(who))
            if self.checkpoint() == self.log.length:
                break
        assert self.checkpoint() == self.log.length
        self.nothing_behind_the_checkpoint_is_missing()


def test_nothing_is_missed_and_nobody_acts_out_of_turn() -> None:
    run_state_machine_as_test(
        Reactions, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
