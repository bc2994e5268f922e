"""What bodies hold is counted by all workers of a node, whatever becomes of them."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.api.http.body_budget import AUDITS, DISK, MEMORY, UPLOADS, BodyBudget
from packledger.domain.errors import TooMany
from small_registry import memory_folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bodies"


def test_workers_share_one_budget(path: Path) -> None:
    one, other = BodyBudget(path, 100), BodyBudget(path, 100)
    limit = UPLOADS * 100
    with one.hold(DISK) as held, other.hold(DISK) as late:
        held.add(limit - 10)
        late.add(10)
        with pytest.raises(TooMany) as refused:
            late.add(1)
        assert refused.value.retry_after_s > 0
        held.give_back()
        late.add(limit - 10)
    assert one.held(DISK) == other.held(DISK) == 0


def test_audits_leave_room_for_everything_else(path: Path) -> None:
    budget = BodyBudget(path, 100)
    with budget.hold(AUDITS) as audits, budget.hold(MEMORY) as memory:
        audits.add(budget.limits[AUDITS])
        memory.add(budget.limits[MEMORY])
        with pytest.raises(TooMany):
            audits.add(1)


def test_what_a_killed_worker_held_is_forgotten(path: Path) -> None:
    ears, mouth = os.pipe()
    child = os.fork()
    if not child:
        BodyBudget(path, 100).change(DISK, 7)
        os.write(mouth, b".")
        signal.pause()
    os.read(ears, 1)
    living = BodyBudget(path, 100)
    assert living.held(DISK) == 7
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert BodyBudget(path, 100).held(DISK) == 0


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([MEMORY, AUDITS, DISK]), st.integers(0, 300)),
        max_size=40,
    )
)
def test_no_order_of_requests_holds_more_than_the_limit(
    changes: list[tuple[int, int, int]],
) -> None:
    with memory_folder() as folder:
        budgets = [BodyBudget(folder / "bodies", 20) for _ in range(4)]
        for budget in budgets:
            budget.limits = (160, 160, 160)
        total = {MEMORY: 0, AUDITS: 0, DISK: 0}
        for worker, kind, size in changes:
            fits = total[kind] + size <= 160
            try:
                budgets[worker].change(kind, size)
            except TooMany:
                assert not fits
            else:
                assert fits
                total[kind] += size
            assert {one: budgets[0].held(one) for one in total} == total
        for budget in budgets:
            budget.close()
