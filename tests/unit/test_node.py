"""What an earlier run left on the board is believed by nobody, whoever begins first."""

import threading
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from packledger.projections.board import RUNNING, Board
from packledger.projections.catalogue import on_every_node
from packledger.server.processes import node
from packledger.server.settings.settings import Settings
from packledger.server.stores import places_of


def board_of(settings: Settings) -> Board:
    return Board(places_of(settings).board)


def leave_running(settings: Settings) -> None:
    with closing(board_of(settings)) as board:
        for name in on_every_node():
            board.set_position(name, 7)
            board.set_state(name, RUNNING)


def readable(settings: Settings) -> bool:
    with closing(board_of(settings)) as board:
        return any(board.readable(name) for name in on_every_node())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path / "data"))


def test_both_beginning_at_once_leave_nothing_readable(settings: Settings) -> None:
    for _ in range(300):
        leave_running(settings)
        held: list[IO[str]] = []
        barrier = threading.Barrier(2)

        def project(barrier: threading.Barrier = barrier, held: list[IO[str]] = held) -> None:
            barrier.wait()
            held.append(node.hold_projector(settings, "project"))

        thread = threading.Thread(target=project)
        thread.start()
        barrier.wait()
        held.append(node.hold_web(settings))
        thread.join()
        assert not readable(settings)
        for lock in held:
            lock.close()


def test_who_comes_back_to_the_other_side_leaves_what_is_read(settings: Settings) -> None:
    project = node.hold_projector(settings, "project")
    web = node.hold_web(settings)
    leave_running(settings)
    web.close()
    with node.hold_web(settings):
        assert readable(settings)
        project.close()
        with node.hold_projector(settings, "project"), node.hold_web(settings):
            assert readable(settings)
