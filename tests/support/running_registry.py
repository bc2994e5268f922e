"""A real `packledger serve` on a free loopback port, with a data directory of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from processes import run
from wiretap import Wiretap

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 45
PACKLEDGER = str(Path(sys.executable).with_name("packledger"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RunningRegistry:
    """One server process tree; `start` and `stop` may be repeated on the same data and port.

    Settings are given as keywords and reach the server as PACKLEDGER_<KEY>; `command` serves.
    prefix: where a proxy shows it, such as `/team`.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = (PACKLEDGER, "serve"),
        prefix: str = "",
        **settings: object,
    ) -> None:
        self._command = command
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.port = free_port()
        self.tap = Wiretap(self.port, prefix)
        self.url = f"http://127.0.0.1:{self.tap.port}{prefix}"
        # Documents name the relay, so that clients keep talking through it.
        self.env = environment({"public_url": self.url, **settings})
        self.tokens: dict[str, str] = {}
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def index(self) -> str:
        """Cargo's identity of this registry."""
        return f"sparse+{self.url}/cargo/index/"

    @property
    def npm(self) -> str:
        return f"{self.url}/npm/"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the registry is not running"
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until /health says that it is ready and caught up."""
        listen = f"http://127.0.0.1:{self.port}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--data", str(self.data), "--listen", listen],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        answer = "nothing"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._process = None
                raise AssertionError(f"serve ended:\n{self.end_of_log()}")
            try:
                health = httpx.get(f"{listen}/health", timeout=5)
            except httpx.TransportError as error:
                answer = repr(error)
            else:
                if health.status_code == 200:
                    return
                answer = f"{health.status_code} {health.text}"
            time.sleep(0.05)
        self._end(signal.SIGKILL)
        raise AssertionError(
            f"not healthy within {START_TIMEOUT_S} s ({answer}):\n{self.end_of_log()}"
        )

    def stop(self) -> None:
        """Ask the server to end, as an operator would, and require that it does."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._end(signal.SIGKILL)
            raise AssertionError(
                f"SIGTERM did not end serve within {STOP_TIMEOUT_S} s:\n{self.end_of_log()}"
            ) from None
        self._process = None
        assert code == 0, f"serve ended with {code} on SIGTERM:\n{self.end_of_log()}"

    def close(self) -> None:
        self.http.close()
        try:
            self.stop()
        finally:
            self.tap.close()

    def _end(self, how: signal.Signals) -> None:
        # The session it leads: supervisor, workers and projector, and nobody else's processes.
        assert self._process is not None
        os.killpg(self._process.pid, how)
        self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def end_of_log(self) -> str:
        """What the server said last."""
        return self.log.read_text()[-5000:]

    def cli(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """Run `packledger ARGUMENTS` here; what it printed, with errors if it fails."""
        command = [PACKLEDGER, *arguments, "--data", str(self.data)]
        finished = run(command, cwd=self.data.parent, env=self.env, stdin=stdin, fails=fails)
        return finished.text if fails else finished.stdout

    def add_user(self, name: str, *options: str) -> str:
        """Create an account with the password `password of NAME`; a token of it."""
        self.cli("user", "add", name, "--password-stdin", *options, stdin=f"password of {name}\n")
        self.tokens[name] = self.cli("token", "create", "--user", name).strip()
        return self.tokens[name]

    def log_in(self, name: str) -> str:
        """Return the token that `npm login` gets, which may manage tokens, too."""
        user = f"org.couchdb.user:{name}"
        login = {"_id": user, "name": name, "password": f"password of {name}"}
        answer = self.http.put(f"/npm/-/user/{user}", json=login).raise_for_status()
        return str(answer.json()["token"])

    def token(self, name: str = "alice") -> dict[str, str]:
        """The header of a request made by `name`."""
        return {"Authorization": f"Bearer {self.tokens[name]}"}


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with these settings, and no others."""
    return {
        **{key: value for key, value in os.environ.items() if "PACKLEDGER" not in key},
        **{f"PACKLEDGER_{key.upper()}": _setting(value) for key, value in settings.items()},
    }


def _setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
