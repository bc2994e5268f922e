"""A node of a registry, as real processes: `packledger web` and `packledger project`."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from process_tree import session, wait_until
from processes import run
from running_registry import PACKLEDGER, free_port

READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 45.0
RESTART_S = 0.2


class Process:
    """One command of ours."""

    def __init__(self, command: Sequence[str], env: dict[str, str], output: Path) -> None:
        self._command, self._env, self._output = command, env, output
        self._process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        """Whether it is to be started again when it ends, see `restarted`."""
        self._changing = threading.RLock()

    def start(self) -> None:
        with self._changing:
            self.wanted = True
            self._start()

    def start_again(self) -> None:
        """Start it if it has ended and is wanted."""
        with self._changing:
            if self.wanted and not self.lives():
                self._start()

    def _unwanted(self) -> None:
        with self._changing:
            self.wanted = False

    def _start(self) -> None:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [PACKLEDGER, *self._command],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self._command[0]} was not started"
        return self._process.pid

    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ended_with(self) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        return self._process.wait(ENDS_WITHIN_S)

    def crash(self) -> None:
        """End it alone; what it has started learns that by itself, and it is wanted back."""
        self.crash_child(self.pid)

    def crash_child(self, pid: int) -> None:
        """End one of the processes that it consists of."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """End it alone, for good."""
        self._unwanted()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def kill_everything(self) -> None:
        """End it with all that it has started, as the end of its container does, for good."""
        self._unwanted()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self, *codes: int) -> None:
        """Ask it to end, and require that it does, in order or with one of these codes."""
        self._unwanted()
        if self.lives():
            assert self._process is not None
            self._process.terminate()
            code = self.ended_with()
            assert code in {0, *codes}, f"{self._command[0]} ended with {code}:\n{self.said()}"

    def children(self) -> list[int]:
        return [one.pid for one in session(self.pid) if one.parent == self.pid]

    def said(self) -> str:
        return self._output.read_text()[-6000:]


@contextlib.contextmanager
def restarted(processes: Callable[[], Iterable[Process]]) -> Iterator[None]:
    """Start again whatever of these ends and is wanted, as Docker's `unless-stopped` does."""
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(RESTART_S):
            for process in processes():
                process.start_again()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


class Node:
    """One data directory with its `web` and its `project`; at one of them, a test starts `sign`."""

    def __init__(self, folder: Path, name: str, env: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self.name, self.data, self.port = name, folder / "data", free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **env,
            "PACKLEDGER_NODE": name,
            "PACKLEDGER_DATA": str(self.data),
            "PACKLEDGER_LISTEN": self.url,
        }
        self.web = Process(["web"], self.env, folder / "web.log")
        self.project = Process(["project"], self.env, folder / "project.log")
        self.sign = Process(["sign"], self.env, folder / "sign.log")
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def start(self) -> None:
        self.project.start()
        self.web.start()

    def health(self) -> dict[str, Any]:
        """What /health says, with the status as `code`; empty while nobody listens."""
        try:
            answer = httpx.get(f"{self.url}/health", timeout=10)
        except httpx.TransportError:
            return {}
        return {**answer.json(), "code": answer.status_code}

    def is_ready(self) -> bool:
        return self.health().get("code") == 200

    def wait_ready(self) -> None:
        self._wait_until(self.is_ready, f"{self.name} is ready")

    def _wait_until(self, true: Callable[[], bool], what: str) -> None:
        try:
            wait_until(true, what, READY_WITHIN_S)
        except AssertionError as error:
            raise AssertionError(
                f"{error}: {self.health()}\n{self.web.said()}\n{self.project.said()}"
            ) from None

    def has_reached(self, position: int) -> bool:
        health = self.health()
        projections = health.get("projections", {}).values()
        return bool(projections) and all(one["position"] >= position for one in projections)

    def wait_for(self, position: int) -> None:
        self._wait_until(lambda: self.has_reached(position), f"{self.name} reaches {position}")

    def cli(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """Run `packledger ARGUMENTS` on this node; what it printed on stdout."""
        command = [PACKLEDGER, *arguments]
        finished = run(command, cwd=self.data.parent, env=self.env, stdin=stdin, fails=fails)
        return finished.stdout

    def digests(self) -> dict[str, str]:
        """Rebuild every read model aside; its digest, if the live one has the same documents."""
        found = [json.loads(line) for line in self.cli("rebuild", "--check", "--json").splitlines()]
        assert all(one["differences"] == [] for one in found), found
        return {one["projection"]: one["digest"] for one in found}

    def stop(self) -> None:
        self.sign.stop()
        self.web.stop()
        self.project.stop()

    def restart(self) -> None:
        self.stop()
        self.start()
        self.wait_ready()

    def close(self) -> None:
        self.http.close()
        self.sign.kill_everything()
        self.web.kill_everything()
        self.project.kill_everything()
