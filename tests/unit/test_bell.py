"""A bell wakes who waits, in any process, and nobody misses it."""

import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from packledger.eventstore import bell as bells
from packledger.eventstore.bell import BellFile
from process_tree import wait_until

LONG_S = 600.0


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Who is not woken waits for longer than any test takes."""
    monkeypatch.setattr(bells, "LOOK_S", LONG_S)
    return tmp_path / "bell"


ANSWER_EACH = """
import pathlib, sys
from packledger.eventstore import bell as bells

bells.LOOK_S = float(sys.argv[2])
bell = bells.BellFile(pathlib.Path(sys.argv[1])).bell
for number in range(50):
    print("waiting", flush=True)
    while bell.rung() == number:
        bell.wait(number, bells.LOOK_S)
"""


def test_each_ring_wakes_a_waiter_in_another_process(path: Path) -> None:
    with closing(BellFile(path)) as file:
        command = [sys.executable, "-c", ANSWER_EACH, str(path), str(LONG_S)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            for _ in range(50):
                assert other.stdout.readline() == b"waiting\n"
                file.bell.ring()
            assert other.wait(60) == 0


def test_every_thread_that_waits_is_woken(path: Path) -> None:
    with closing(BellFile(path)) as file:
        rung = file.bell.rung()
        threads = [
            threading.Thread(target=file.bell.wait, args=(rung, LONG_S), daemon=True)
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        file.bell.ring()
        wait_until(lambda: not any(thread.is_alive() for thread in threads), "every thread wakes")


def test_who_asked_before_it_rang_does_not_wait(path: Path) -> None:
    with closing(BellFile(path)) as one, closing(BellFile(path)) as other:
        rung = one.bell.rung()
        other.bell.ring()
        one.bell.wait(rung, LONG_S)
        assert one.bell.rung() != rung


def test_where_there_is_no_futex_it_is_looked_at_often(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "_FUTEX", None)
    with closing(BellFile(path)) as file:
        rung = file.bell.rung()
        file.bell.wait(rung, LONG_S)
        file.bell.ring()
        file.bell.wait(rung, LONG_S)
        assert file.bell.rung() == rung + 1
