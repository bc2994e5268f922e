"""How a child of the supervisor ends is told in the log."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from packledger.domain.errors import Unavailable
from packledger.server import logs
from packledger.server.processes.supervisor import Child, _start


def said_by(raises: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the one line that a child logs, which ends with 1."""

    def main() -> None:
        logs.configure("info")
        raises()

    child = Child("rebuild", main)
    _start(child)
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    said: dict[str, str] = json.loads(line)
    return said


def test_a_refusal_is_told_in_its_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    def refused() -> None:
        raise Unavailable("the brokers are away")

    said = said_by(refused, capfd)
    assert said["message"] == "rebuild ends: the brokers are away"
    assert "traceback" not in said


def test_a_defect_is_told_with_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    def defect() -> None:
        raise KeyError("here")

    said = said_by(defect, capfd)
    assert said["message"] == "rebuild failed"
    assert "in defect" in said["traceback"]


def test_a_child_is_called_by_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    def tell() -> None:
        raise Unavailable(Path("/proc/self/comm").read_text().strip())

    assert said_by(tell, capfd)["message"] == "rebuild ends: rebuild"
