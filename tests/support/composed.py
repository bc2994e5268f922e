"""A registry that the real Docker Compose started from one of our compose files.

The commands are those of the documents and of the files' own comments, as they stand there. What
they do not say is put in: the test's address for the example's, and that nothing is pulled.
"""

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx

from docker_engine import ROOT, Engine
from process_tree import wait_until
from processes import Finished, run
from publications import Publication, check_served
from terminal import converse

EXAMPLE = "https://registry.example.com"
COMES_BACK_WITHIN_S = 240.0
_UP_S = 400.0
_LEFT_OUT = (".git", ".venv", "build", "node_modules", "__pycache__", ".env", ".*_cache")


def checkout(folder: Path) -> Path:
    """Return a copy of the repository, for commands that write into it."""
    return Path(shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT)))


def commands_of(file: str) -> list[str]:
    """Return the commands in the comment with which a compose file begins."""
    comment = []
    for line in (ROOT / file).read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line)
    return [_command(line) for line in comment if line.startswith("#   ")]


def commands_in(block: str) -> list[str]:
    """Return the commands of a document's block, one for each line or `&&`, without remarks."""
    return [
        command.strip()
        for line in block.replace("\\\n", " ").splitlines()
        for command in re.split(r"\s#\s", line)[0].split(" && ")
    ]


def _command(line: str) -> str:
    """A line of a comment: behind the command, and some space, may be what it does."""
    return re.split(r"\s{3,}", line.removeprefix("#   "))[0]


class Desk:
    """Somebody at a shell in a checkout, who types what a document says.

    project: the name of all that is started, which nobody else uses.
    """

    def __init__(self, docker: Engine, source: Path, url: str, project: str) -> None:
        self.docker, self.source, self.url, self.project = docker, source, url, project
        self.env = {**docker.env, "COMPOSE_PROJECT_NAME": project}

    def type(self, command: str, password: str = "", *, fails: bool = False) -> Finished:
        """Run a command; password: it asks for one on the terminal."""
        said = command.replace(EXAMPLE, self.url)
        said = said.replace("docker compose up", "docker compose up --pull never")
        if said.startswith("export "):
            self.env |= dict(word.split("=", 1) for word in said.split()[1:])
        words = ["bash", "-euc", said]
        if not password:
            return run(words, cwd=self.source, env=self.env, timeout_s=_UP_S, fails=fails)
        answers = [("Password:", password), ("Repeat for confirmation:", password)]
        finished = converse(words, answers, cwd=self.source, env=self.env, kind="xterm")
        assert finished.code == 0, finished.text
        return finished


class Composed:
    """One that runs; met by `Cargo` and `NpmClient` as any other registry.

    node: the service that serves, and in which commands are run.
    """

    def __init__(self, desk: Desk, node: str) -> None:
        self.desk, self.node = desk, node
        self.url = desk.url
        self.tokens: dict[str, str] = {}
        self._up = ""
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self.published: list[Publication] = []

    @property
    def index(self) -> str:
        return f"sparse+{self.url}/cargo/index/"

    @property
    def npm(self) -> str:
        return f"{self.url}/npm/"

    def compose(self, *arguments: str, fails: bool = False) -> str:
        """Run a command of Compose; what it printed."""
        command = ["docker", "compose", *arguments]
        finished = run(
            command, cwd=self.desk.source, env=self.desk.env, timeout_s=_UP_S, fails=fails
        )
        return finished.text

    def packledger(self, *arguments: str) -> str:
        """Run a command of ours in the container that serves."""
        return self.compose("exec", "-T", self.node, "packledger", *arguments)

    def begin(self, commands: list[str]) -> None:
        """Type what starts it, the last of which makes alice an account; and wait for it."""
        *start, account = commands
        (self._up,) = [command for command in start if "docker compose up" in command]
        for command in start:
            said = self.desk.type(command).text
            if " logs " in command:
                assert "One-time setup code: " in said, said
        said = self.desk.type(account, "a password of alice").text
        assert "created administrator alice" in said
        self.wait()
        self.tokens["alice"] = self.packledger("token", "create", "--user", "alice").strip()

    def up(self) -> None:
        """Start it again with the documented command, and wait."""
        self.desk.type(self._up)
        self.wait()

    def services(self) -> dict[str, dict[str, Any]]:
        """Return what Compose says of each of its containers, also of those that ended."""
        listed = self.compose("ps", "--all", "--format", "json", "--no-trunc")
        found = [json.loads(line) for line in listed.splitlines() if line.startswith("{")]
        return {one["Service"]: one for one in found}

    def wait(self) -> None:
        """Wait until it is ready for clients, as clients see it."""
        wait_until(self._is_ready, "the registry is ready", COMES_BACK_WITHIN_S, self.said)

    def _is_ready(self) -> bool:
        try:
            return self.http.get("/health").json()["status"] == "ok"
        except (httpx.HTTPError, ValueError):
            return False

    def wait_healthy(self) -> None:
        """Wait until the engine's own checks say that all is well."""
        wait_until(self._is_healthy, "all is healthy", COMES_BACK_WITHIN_S, self.said)

    def _is_healthy(self) -> bool:
        return all(
            one["Health"] in {"", "healthy"} and one["State"] == "running"
            for one in self.services().values()
            if one["Service"] != "migrate"
        )

    def said(self) -> str:
        """Return what the containers printed lately, for whoever looks for the reason."""
        return self.compose("ps", "--all") + self.compose("logs", "--tail", "15")

    def publish(self, one: Publication) -> None:
        """Publish, trying again while it is refused for now; what is in is never lost."""

        def accepted() -> bool:
            try:
                answer = one.put(self.http, self.tokens["alice"])
            except httpx.HTTPError:
                return False
            # An answer that was lost may have been a yes.
            return answer.status_code in {200, 201, 403, 409} or self._serves(one)

        wait_until(accepted, f"{one.key} is accepted", COMES_BACK_WITHIN_S, self.said)
        self.published.append(one)

    def _serves(self, one: Publication) -> bool:
        with contextlib.suppress(AssertionError, KeyError, httpx.HTTPError):
            check_served(self.http, one.name, [one])
            return True
        return False

    def check(self) -> None:
        """Require that everything that was ever published is served, whole."""
        for one in self.published:
            wait_until(
                lambda one=one: self._serves(one),  # type: ignore[misc]
                f"{one.key} is served",
                COMES_BACK_WITHIN_S,
                self.said,
            )

    def kill(self, service: str) -> None:
        """Have a container's first process drop dead, and wait until the engine restarted it."""
        before = self._inspected(service)
        self.desk.docker.kill(before["State"]["Pid"])
        wait_until(
            lambda: self._restarted(service, before["RestartCount"]),
            f"{service} was started again",
            COMES_BACK_WITHIN_S,
            self.said,
        )

    def _restarted(self, service: str, before: int) -> bool:
        now = self._inspected(service)
        return bool(now["RestartCount"] > before and now["State"]["Running"])

    def _inspected(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(self.desk.docker("inspect", self.services()[service]["ID"]).stdout)
        return dict(found)

    def close(self) -> None:
        """Remove it, and what it stored."""
        self.http.close()
        self.compose("down", "--volumes", "--remove-orphans")
