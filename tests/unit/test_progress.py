"""Long work says on a terminal how far it is, and writes nothing but its result anywhere else."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from small_registry import SmallRegistry, memory_folder
from terminal import converse

PACKLEDGER = str(Path(sys.executable).with_name("packledger"))
ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with memory_folder() as folder:
        with closing(SmallRegistry(folder / "data")) as small:
            small.registry.board.stop()
            for number in range(20):
                small.publish_npm("alice", "demo", f"1.{number}.0", text=str(number))
            small.catch_up()
        yield folder / "data"


COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMMANDS = {
    "rebuild": (["rebuild"], ["replaying the log"]),
    "verify": (["verify"], ["the log", "read models", "blobs"]),
    "export": (
        ["export", "--as-of", "40", "--url", "https://registry.example.com/old"],
        ["copying files"],
    ),
    "backup": (["backup"], ["copying blobs"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_shows_how_far_it_is(data: Path, tmp_path: Path, name: str) -> None:
    arguments, shown = COMMANDS[name]
    target = ["--to", str(tmp_path / "to")] if name in {"export", "backup"} else []
    command = [PACKLEDGER, *arguments, *target, "--data", str(data)]
    done = converse(command, [], cwd=tmp_path, env=ENV, kind="xterm")
    assert done.code == 0, done.stdout
    text = COLOURS.sub("", done.stdout)
    for what in shown:
        assert re.search(what + r" +━+ (\d+)/\1\b", text), text


@pytest.mark.parametrize("name", ["rebuild", "verify"])
def test_elsewhere_only_the_result_is_written(data: Path, name: str) -> None:
    command = [PACKLEDGER, name, "--json", "--data", str(data)]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert all(line.startswith("{") for line in done.stdout.splitlines())
