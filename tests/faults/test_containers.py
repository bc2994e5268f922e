"""In a container: the first process, and a root file system that nobody may write to.

The namespaces are real; whoever is not root gets them with a user namespace of their own.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from documents_served import documents, publish_all
from process_tree import session, wait_until
from running_registry import PACKLEDGER, RunningRegistry, environment

ROOT = os.geteuid() == 0
UNSHARE = ["unshare", *([] if ROOT else ["--user", "--map-root-user"])]
FIRST = [*UNSHARE, "--pid", "--fork", "--mount-proc", "--kill-child"]
# Everything that Docker's `--read-only` makes so: /proc, /sys and /dev are mounts of their own.
READ_ONLY = """
set -e
mount --make-rprivate /
writable=$1; shift
[ "$writable" = none ] || mount --bind "$writable" "$writable"
while read -r _ place _; do
  case "$place" in /proc*|/sys*|/dev*|"$writable") ;; *) mount -o remount,bind,ro "$place" ;; esac
done < /proc/self/mounts
! touch /tmp/written /var/tmp/written 2>/dev/null
exec "$@"
"""


class First(RunningRegistry):
    """`serve` as the first process of a PID namespace."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, [*FIRST, PACKLEDGER, "serve"])
        self.env["PYTHONWARNINGS"] = "error"

    @property
    def first(self) -> int:
        (first,) = (one.pid for one in session(self.pid) if one.parent == self.pid)
        return first

    def inside(self, script: str) -> str:
        """Run a shell script beside it, as `docker exec` does."""
        user = [] if ROOT else ["--user", "--preserve-credentials"]
        command = ["nsenter", f"--target={self.first}", *user, "--pid", "--mount", "sh", "-c"]
        done = subprocess.run([*command, script], capture_output=True, timeout=60, check=True)
        return done.stdout.decode()

    def stop(self) -> None:
        """As `docker stop` does; `unshare` hands no signal on."""
        if self._process is not None:
            os.kill(self.first, signal.SIGTERM)
            code = self._process.wait(45)
            self._process = None
            assert code == 0, self.end_of_log()


@pytest.fixture
def first(tmp_path: Path) -> Iterator[First]:
    registry = First(tmp_path / "registry")
    try:
        registry.start()
        yield registry
    finally:
        registry.close()


def test_the_first_process_keeps_no_zombie(first: First) -> None:
    orphans = first.inside("for n in 1 2 3; do sleep 0.$n >/dev/null & echo $!; done").split()
    assert len(orphans) == 3
    are_there = " || ".join(f"test -e /proc/{orphan}" for orphan in orphans)

    def gone() -> bool:
        return first.inside(f"if {are_there}; then echo there; fi") == ""

    wait_until(gone, "every orphan is gone, and its zombie with it")
    first.stop()
    assert "Warning" not in first.log.read_text()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 1), (signal.SIGKILL, 137)]
)
def test_a_command_that_is_the_first_process_ends_by_a_signal(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The kernel does not end a first process by a signal that it has not asked for."""
    # What runs the tests in the background may have left SIGINT ignored.
    begin = ["env", "--default-signal=INT", *FIRST]
    command = [*begin, PACKLEDGER, "user", "add", "alice", "--password-stdin"]
    with subprocess.Popen(
        [*command, "--data", str(tmp_path / "data")],
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        wait_until(lambda: len(session(process.pid)) == 3, "the command runs, and waits", 60)
        first, command_itself = (one.pid for one in session(process.pid)[1:])
        # Nobody can be kept from killing the command itself.
        os.kill(command_itself if number == signal.SIGKILL else first, number)
        assert process.wait(30) == code


def read_only_root(data: Path, *command: str) -> list[str]:
    return [*UNSHARE, "--mount", "sh", "-c", READ_ONLY, "sh", str(data), *command]


def test_a_registry_needs_nothing_but_its_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "registry" / "data"
    data.mkdir(parents=True)
    registry = RunningRegistry(
        tmp_path / "registry", read_only_root(data, PACKLEDGER, "serve"), workers=1
    )
    registry.env["PYTHONWARNINGS"] = "error"
    try:
        registry.start()
        del registry.env["PYTHONWARNINGS"]
        registry.add_user("alice")
        with httpx.Client(base_url=f"http://127.0.0.1:{registry.port}", timeout=30) as http:
            publish_all(http, registry.tokens["alice"])
            assert documents(str(http.base_url))
        registry.stop()
        assert "Warning" not in registry.log.read_text()
        for arguments in (["verify"], ["rebuild"], ["gc", "--dry-run"], ["history"]):
            command = [PACKLEDGER, *arguments, "--data", str(data)]
            done = subprocess.run(
                read_only_root(data, *command),
                env=registry.env,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        assert list((data / "run" / "tmp").iterdir()) == []
    finally:
        registry.close()


@pytest.mark.parametrize("command", ["serve", "history", "verify", "user list", "log rotate"])
def test_a_read_only_data_directory_is_told_in_a_sentence(tmp_path: Path, command: str) -> None:
    data = tmp_path / "data"
    made = [PACKLEDGER, "user", "add", "alice", "--password-stdin", "--data", str(data)]
    subprocess.run(made, env=environment({}), input=b"password of alice\n", timeout=60, check=True)
    done = subprocess.run(
        [
            *read_only_root(Path("none"), PACKLEDGER, *command.split()),
            *("--data", str(data)),
            *(("--listen", "http://127.0.0.1:0") if command == "serve" else ()),
        ],
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: `{data}` is on a file system that is mounted read-only")
    assert len(done.stderr.splitlines()) == 1
