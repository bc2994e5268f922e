"""Talk to a program that insists on a terminal: wait for each prompt, type the answer."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from processes import Finished


def converse(
    command: list[str],
    answers: list[tuple[str, str]],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float = 60,
) -> Finished:
    """Run `command` on a terminal, typing each answer once its prompt (a regex) was shown.

    Raises: AssertionError with what was shown when it does not end in time.
    """
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**env, "TERM": "dumb"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    waiting, shown, answered = list(answers), b"", 0
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # Linux says EIO when the last process let go of the terminal
                break
            shown += data
            if waiting and re.search(waiting[0][0].encode(), shown[answered:]):
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
