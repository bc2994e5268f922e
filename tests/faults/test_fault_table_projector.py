"""Each step of the projector and of a rebuild raises, before and after it persisted."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from one_fault import (
    WHENS,
    Fault,
    break_commit,
    break_fsync,
    break_rename,
    disk_full,
    io_error,
)
from packledger.domain.errors import RegistryError
from packledger.projections.board import HEARTBEAT_LATE_S, Board
from packledger.projections.catalogue import on_every_node
from packledger.projections.generation import Generations
from packledger.projections.projector import RETRY_S
from packledger.projections.rebuild import rebuild
from small_registry import SmallRegistry, new_projection

Break = Callable[[Fault, pytest.MonkeyPatch], None]


def break_page(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
    patch.setattr(small.feed, "read", fault.wrap(small.feed.read))


def break_each(method: str) -> Callable[[Fault, pytest.MonkeyPatch, SmallRegistry], None]:
    def broken(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
        for one in small.projector.live:
            patch.setattr(one.projection, method, fault.wrap(getattr(one.projection, method)))

    return broken


def break_model_commit(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
    break_commit(fault, patch)
    small.reopen_projector()


def break_board(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
    board = small.registry.board
    patch.setattr(board, "set_position", fault.wrap(board.set_position))


PROJECTOR_STEPS = {
    "read page": break_page,
    "apply": break_each("apply"),
    "flush": break_each("flush"),
    "commit": break_model_commit,
    "tell the board": break_board,
}
DEFECT = "defect"
DISK_FULL = "disk full"


def fill(small: SmallRegistry) -> None:
    for number in range(4):
        small.publish_crate("alice", f"crate-{number % 2}", f"1.{number}.0")
        small.publish_npm("alice", f"package-{number % 2}", f"1.{number}.0")


def step_on(small: SmallRegistry) -> bool:
    """Make steps until there is nothing to do; return whether the projector survived."""
    try:
        for _ in range(100):
            if not small.step():
                return True
    except Exception:
        return False
    raise AssertionError("the projector never comes to rest")


@pytest.mark.parametrize("kind", [DEFECT, DISK_FULL])
@pytest.mark.parametrize("nth", [1, 3, 6])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", PROJECTOR_STEPS)
def test_a_projector_goes_on_exactly_once(
    small: SmallRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
    nth: int,
    kind: str,
) -> None:
    fill(small)
    small.feed.page_events = 3
    fault = Fault(when, disk_full() if kind == DISK_FULL else ValueError("a defect"), nth)
    PROJECTOR_STEPS[step](fault, monkeypatch, small)
    fault.arm()
    survived = step_on(small)
    assert fault.fired
    last = small.log.last_position()
    failed = [one for one in small.projector.live if one.failed]
    if survived:
        # The error is one projection's own: it alone stopped, and says so.
        assert len(failed) == 1
        assert small.registry.board.failed(failed[0].name)
        assert all(one.position == last for one in small.projector.live if not one.failed)
    if survived and kind == DISK_FULL:
        wait = small.projector.live[0]._clock_s() + RETRY_S + 1
        for one in small.projector.live:
            monkeypatch.setattr(one, "_clock_s", lambda: wait)
    else:
        small.reopen_projector()
    small.catch_up()
    assert [one.position for one in small.projector.live] == [last] * len(on_every_node())
    assert not any(small.registry.board.failed(name) for name in on_every_node())
    assert all(small.registry.board.position(name) == last for name in on_every_node())
    assert small.live_documents() == small.fresh_documents(tmp_path / "fresh")


# -- a rebuild -------------------------------------------------------------------------------------


def break_new_projections(method: str) -> Break:
    def broken(fault: Fault, patch: pytest.MonkeyPatch) -> None:
        for name in on_every_node():
            kind = type(new_projection(name))
            patch.setattr(kind, method, fault.wrap(getattr(kind, method)))

    return broken


REBUILD_STEPS: dict[str, Break] = {
    "apply": break_new_projections("apply"),
    "flush": break_new_projections("flush"),
    "commit": break_commit,
    "swap": break_rename,
    "sync": break_fsync,
}


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", REBUILD_STEPS)
@pytest.mark.parametrize("projection", on_every_node())
def test_a_rebuild_that_fails_leaves_what_is_served(
    small: SmallRegistry, tmp_path: Path, projection: str, step: str, when: str, nth: int
) -> None:
    fill(small)
    small.catch_up()
    before = small.live_documents()
    generations = Generations(small.read_root, projection)
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(when, disk_full(), nth)
        REBUILD_STEPS[step](fault, patch)
        fault.arm()
        try:
            small.rebuild(projection)
        except (sqlite3.OperationalError, RegistryError):
            assert fault.fired
        else:
            assert not fault.fired, "an error was swallowed"
    check_generations(small, generations)
    assert small.live_documents() == before
    small.publish_crate("alice", "after-it", "1.0.0")
    small.publish_npm("alice", "after-it", "1.0.0")
    small.catch_up()
    assert small.rebuild(projection).differences == []
    check_generations(small, generations)
    small.catch_up()
    assert small.live_documents() == small.fresh_documents(tmp_path / "fresh")


@pytest.mark.parametrize("when", WHENS)
def test_an_idle_projector_finds_the_swap_that_a_killed_rebuild_told_nobody(
    small: SmallRegistry, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    fill(small)
    small.catch_up()
    board, name = small.registry.board, on_every_node()[0]
    before = board.generation(name)
    fault = Fault(when, io_error())
    with monkeypatch.context() as patch:
        patch.setattr(board, "set_generation", fault.wrap(board.set_generation))
        fault.arm()
        with pytest.raises(OSError, match="Input/output error"):
            small.rebuild(name)
    small.catch_up()
    assert board.generation(name) == before + 1
    assert not board.failed(name)
    assert board.readable(name)


def test_a_heartbeat_from_before_a_reboot_is_no_sign_of_life(tmp_path: Path) -> None:
    now_s = 1_000_000.0
    board = Board(tmp_path / "board", lambda: now_s)
    board.beat()
    assert board.projector_lives()
    now_s = 3.0
    assert not board.projector_lives()
    now_s = 1_000_000.0 + HEARTBEAT_LATE_S
    assert not board.projector_lives()
    board.close()


def check_generations(small: SmallRegistry, generations: Generations) -> None:
    """Require that readers have their file, and that no half-built one is left."""
    live = generations.live()
    projection = generations.model(live).parents[1].name
    read = small.registry.board.generation(projection)
    assert generations.model(live).exists()
    assert generations.model(read).exists(), "what the board names is what readers open"
    folders = {path.name for path in generations.model(live).parents[1].iterdir() if path.is_dir()}
    assert folders <= {f"{number:06d}" for number in (live - 1, live)}


@pytest.mark.parametrize("when", WHENS)
def test_a_rebuild_whose_feed_fails_can_be_repeated(small: SmallRegistry, when: str) -> None:
    fill(small)
    small.catch_up()
    fault = Fault(when, disk_full())
    name = on_every_node()[0]
    feed = small.feed
    original = feed.read
    feed.read = fault.wrap(original)  # type: ignore[method-assign]
    fault.arm()
    with pytest.raises(sqlite3.OperationalError):
        rebuild(feed, new_projection(name), small.read_root, small.registry.board)
    feed.read = original  # type: ignore[method-assign]
    outcome = rebuild(feed, new_projection(name), small.read_root, small.registry.board)
    assert outcome.differences == []
    assert outcome.swapped
