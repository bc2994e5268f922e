"""Talk to a program that insists on a terminal: wait for each prompt, type the answer."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from processes import Finished

QUIET_S = 0.1
PATIENCE_S = 1.0


def converse(
    command: list[str],
    answers: list[tuple[str, str]],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float = 60,
    kind: str = "dumb",
) -> Finished:
    """Run `command` on a terminal, typing each answer once its prompt (a regex) was shown.

    kind: of the terminal, as in `$TERM`.

    Raises: AssertionError with what was shown when it does not end in time.
    """
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**env, "TERM": kind},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    waiting, shown, answered, last_s = list(answers), b"", 0, time.monotonic()
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], QUIET_S)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:  # Linux says EIO when the last process let go of the terminal
                    break
                shown, last_s = shown + data, time.monotonic()
            elif (
                waiting
                and re.search(waiting[0][0].encode(), shown[answered:])
                and (
                    # A program that is about to read keys one by one drops what was typed before.
                    _reads_keys(master) or time.monotonic() - last_s > PATIENCE_S
                )
            ):
                answered = len(shown)
                os.write(master, waiting.pop(0)[1].encode() + b"\n")
        else:
            raise AssertionError(f"`{command}` still waits:\n{shown.decode(errors='replace')}")
        code = process.wait(timeout=10)
    finally:
        os.close(master)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Finished(code, shown.decode(errors="replace"), "")


def _reads_keys(terminal: int) -> bool:
    """Whether the program took the terminal out of its line-by-line mode."""
    return not termios.tcgetattr(terminal)[3] & termios.ICANON
