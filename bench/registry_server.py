"""A real `packledger serve` to measure, and what its processes cost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import msgspec

import processes

PACKLEDGER = str(Path(sys.executable).with_name("packledger"))
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 45


class Answered(msgspec.Struct, frozen=True):
    """A change that the server logged, as far as we look at it."""

    message: str
    duration_ms: float


class Server:
    """A server on a data directory of its own, with one account and its token."""

    def __init__(self, folder: Path, workers: int = 2, environment: Mapping[str, str] = {}) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.port = free_port()
        listen = f"http://127.0.0.1:{self.port}"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [PACKLEDGER, "serve", "--data", str(self.data), "--listen", listen],
                env={**os.environ, "PACKLEDGER_WORKERS": str(workers), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy()
            cli(self.data, "user", "add", "bench", "--password-stdin", stdin="a password\n")
            self.token = cli(self.data, "token", "create", "--user", "bench").strip()
        except BaseException:
            self.stop()
            raise

    def _wait_until_healthy(self) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                break
            try:
                connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"serve did not get healthy:\n{self.log.read_text()}")

    def stop(self) -> None:
        """End the server as an operator would; kill what does not end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def cpu_s(self) -> float:
        """Return the processor time that all processes have used."""
        return processes.cpu_s(processes.below(self._process.pid))

    def cpu_s_by_process(self) -> dict[str, float]:
        """Return the processor time that processes of each name have used: workers are `web`."""
        return processes.cpu_s_by_name(processes.below(self._process.pid))

    def pss_mb(self) -> float:
        """Return the memory of all processes."""
        return processes.pss_mb(processes.below(self._process.pid))

    def answered(self) -> Iterator[Answered]:
        """Yield what the server logged about changes."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{") and '"packledger.requests"' in line:
                yield msgspec.json.decode(line, type=Answered)


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cli(data: Path, *arguments: str, stdin: str = "") -> str:
    """Run `packledger ARGUMENTS` on a data directory and return what it prints."""
    command = [PACKLEDGER, *arguments, "--data", str(data)]
    finished = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stdout}{finished.stderr}")
    return finished.stdout
