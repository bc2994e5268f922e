"""Tools for transparency logs that are not ours, built by `make test` from tests/log_checker."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from packledger.audit.translog.notes import VerifierKey
from running_registry import free_port

PROGRAMS = Path(__file__).parents[2] / "build" / "log_checker"
TIMEOUT_S = 180
EMPTY_ROOT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def program(name: str) -> str:
    """Return the path of one of the tools."""
    path = PROGRAMS / name
    if not path.exists():
        raise FileNotFoundError(f"there is no `{path}`; `make test` builds it")
    return str(path)


def fsck(url: str, key: VerifierKey, folder: Path, token: str = "") -> tuple[bool, str]:
    """Run tessera's fsck on a log; whether it printed that all is well, and all that it printed.

    Its exit code is 0 whatever it finds, and by default it may wait for ever on a bad log.
    """
    vkey = folder / "fsck.vkey"
    vkey.write_text(str(key))
    command = [program("fsck"), "-N", "64", "-ui=false", "-storage_url", f"{url}/log/"]
    command += ["-public_key", str(vkey), *(["-bearer_token", token] if token else [])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            said = process.communicate(timeout=TIMEOUT_S)[1].decode()
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1].decode()
    return bool(re.search(r"Successfully fsck'd log with size \d+ ", said)), said


def check(*arguments: str) -> tuple[bool, str]:
    """Run our small checker, which has only others' code for what it checks."""
    finished = subprocess.run(
        [program("log_checker"), *arguments], capture_output=True, timeout=TIMEOUT_S, check=False
    )
    return finished.returncode == 0, (finished.stdout + finished.stderr).decode()


class Witness:
    """A litewitness, and an ssh agent with its key; `stop` and `start` keep what it knows."""

    name = "witness.example.com/w1"

    def __init__(self, folder: Path) -> None:
        # A socket's path must be short.
        self._folder, self._socket = folder, str(folder / "a")
        self._database = folder / "witness.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._agent = subprocess.Popen(
            [program("log_checker"), "agent", self._socket], stdout=subprocess.PIPE
        )
        assert self._agent.stdout is not None
        self._fingerprint = self._agent.stdout.readline().decode().strip()
        self.vkey = ""

    def start(self) -> None:
        log = self._folder / "witness.log"
        command = [program("litewitness"), "-name", self.name, "-key", self._fingerprint]
        command += ["-ssh-agent", self._socket, "-db", str(self._database)]
        command += ["-listen", f"127.0.0.1:{self.port}"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stderr=output, stdout=output)
        deadline_s = time.monotonic() + 30
        while not (match := re.search(r"vkey=(\S+)", log.read_text())) or not self._listens():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.02)
        self.vkey = match[1].strip('"')

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def knows(self, key: VerifierKey) -> None:
        """Tell it of a log."""
        with closing(sqlite3.connect(self._database, timeout=30)) as db, db:
            db.execute("INSERT INTO log VALUES (?, 0, ?)", (key.name, EMPTY_ROOT))
            db.execute("INSERT INTO key VALUES (?, ?)", (key.name, str(key)))

    def seen(self, key: VerifierKey) -> int:
        """Return the size of the log that it cosigned last."""
        with closing(sqlite3.connect(self._database, timeout=30)) as db:
            row = db.execute("SELECT tree_size FROM log WHERE origin = ?", (key.name,)).fetchone()
        return int(row[0])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._agent.kill()
        self._agent.wait()
        assert self._agent.stdout is not None
        self._agent.stdout.close()
