"""Run a program with a deadline, and show what it printed when it fails."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """A program that ended: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


def run(
    command: list[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float = 120,
    fails: bool = False,
    stdin: str = "",
) -> Finished:
    """Run `command` to its end; `fails` says that a non-zero exit is what is expected.

    Raises: AssertionError with the whole output when it ends otherwise or not in time.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    shown = " ".join(command)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        # Its own process group: npm and cargo start children that would hold the pipes.
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        raise AssertionError(
            f"`{shown}` did not end within {timeout_s} s:\n{stdout}{stderr}"
        ) from None
    finished = Finished(process.returncode, stdout, stderr)
    expected = "fail" if fails else "succeed"
    assert (finished.code != 0) == fails, (
        f"`{shown}` should {expected}, exit code {finished.code}:\n{finished.text}"
    )
    return finished
