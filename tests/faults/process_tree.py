"""The processes of a running registry: find them by their session, kill them by their pid."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx

from running_registry import PACKLEDGER, RunningRegistry

END_TIMEOUT_S = 20


class Process(NamedTuple):
    pid: int
    parent: int
    state: str


def session(leader: int) -> list[Process]:
    """Every living process of a session, its leader first; `serve` leads one of its own."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name, in parentheses, may hold anything.
            rest = (folder / "stat").read_text().rpartition(")")[2].split()
            state, parent, _, its_session = rest[0], int(rest[1]), rest[2], int(rest[3])
            if its_session == leader and state not in {"Z", "X"}:
                found.append(Process(int(folder.name), parent, state))
    return sorted(found)


def wait_until(
    true: Callable[[], bool],
    what: str,
    timeout_s: float = END_TIMEOUT_S,
    said: Callable[[], str] = str,
) -> None:
    """said: returns what else to show when it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}\n{said()}"
        time.sleep(0.02)


class ProcessTree(RunningRegistry):
    """A registry that is talked to directly, and whose processes can be killed one by one."""

    def __init__(self, folder: Path, **settings: object) -> None:
        super().__init__(folder, **settings)
        self.direct = f"http://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Start the server without waiting for anything."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PACKLEDGER, "serve", "--data", str(self.data), "--listen", self.direct],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def arbiter(self) -> int:
        """The child of the supervisor that has children itself."""
        living = session(self.pid)
        parents = {process.parent for process in living}
        return next(p.pid for p in living if p.parent == self.pid and p.pid in parents)

    def workers(self) -> list[int]:
        arbiter = self.arbiter()
        return [process.pid for process in session(self.pid) if process.parent == arbiter]

    def projector(self) -> int:
        """The oldest child of the supervisor without children."""
        living = session(self.pid)
        parents = {process.parent for process in living}
        return next(p.pid for p in living if p.parent == self.pid and p.pid not in parents)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def kill_everything(self) -> None:
        """SIGKILL to every process of the tree, as a power cut would end them."""
        leader = self.pid
        # Stopped first, so that none of them starts another while we go through the list.
        for how in (signal.SIGSTOP, signal.SIGKILL):
            for process in session(leader):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, how)
        assert self._process is not None
        self._process.wait(END_TIMEOUT_S)
        wait_until(lambda: not session(leader), "every process is gone")
        self._process = None

    def has_ended(self) -> bool:
        """Whether the server has ended by itself; then it may be started again."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        return self._process is None

    def answers(self) -> bool:
        try:
            httpx.get(f"{self.direct}/health", timeout=5)
        except httpx.TransportError:
            return False
        return True

    def is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.direct}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def wait_for_orphans(self) -> None:
        """Wait until the workers of an arbiter that was killed are gone.

        They notice within seconds, and close connections between two requests.
        """

        def are_gone() -> bool:
            living = session(self.pid)
            pids = {process.pid for process in living}
            return all(one.parent in pids for one in living if one.pid != self.pid)

        wait_until(are_gone, "no worker is an orphan")

    def wait_healthy(self, timeout_s: float = 30) -> None:
        wait_until(self.is_healthy, "/health is 200", timeout_s)
