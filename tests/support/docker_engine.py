"""A container engine: the one that answers on this machine, else a private one without a trace.

A private `dockerd` is in namespaces of its own. Its bridges, its rules for packets and the ports
that it publishes are in a network that nobody else sees, so that it needs no free port or subnet of
this machine, and two may run; whoever wants to talk to such a port goes in (`Engine.inside`). Its
processes are below one that ends with it, even when the tests are killed.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from processes import Finished, run

ROOT = Path(__file__).parents[2]
DATA = ROOT / "build" / "docker"
"""The images, for the next time; what ran is removed before anything else runs."""
COMPOSE = ROOT / "build" / "compose" / "docker-compose"
STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 60.0
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_GROUP = "packledger-tests"
# Were an image missing, the engine would ask a public host for it: it finds nobody to ask.
_NOBODY = "http://127.0.0.1:9"
_LIBC = ctypes.CDLL(None, use_errno=True)


class Engine:
    """One that runs.

    env: what its clients must have in their environment. private: nobody else uses it.
    """

    private = False

    def __init__(self, folder: Path, host: str = "") -> None:
        """folder: for the client's settings. host: where it listens, if not where all look."""
        if not COMPOSE.exists():
            raise FileNotFoundError(f"there is no `{COMPOSE}`; `make test` builds it")
        plugins = folder / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / COMPOSE.name).symlink_to(COMPOSE)
        self.env = {
            **{
                k: v for k, v in os.environ.items() if not k.startswith(("COMPOSE_", "PACKLEDGER_"))
            },
            "DOCKER_CONFIG": str(folder),
            # The engine's own builder: the other one is a plug-in, which not every machine has.
            "DOCKER_BUILDKIT": "0",
            **({"DOCKER_HOST": host} if host else {}),
        }

    def __call__(
        self, *arguments: str, cwd: Path = ROOT, fails: bool = False, timeout_s: float = 120
    ) -> Finished:
        """Run a command of `docker`."""
        command = ["docker", *arguments]
        return run(command, cwd=cwd, env=self.env, fails=fails, timeout_s=timeout_s)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread does, and what it starts, meets the ports that containers publish."""
        yield

    def kill(self, pid: int) -> None:
        """Have a process drop dead; pid: as the engine says it."""
        os.kill(pid, signal.SIGKILL)


def answers() -> bool:
    """Whether an engine is there already."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def engine(*, building: bool = False) -> Iterator[Engine]:
    """Yield an engine. building: its containers have the machine's network, for builds alone."""
    with tempfile.TemporaryDirectory(prefix="packledger-docker-") as folder:
        if answers():
            # Its ports and networks are the machine's: one run at a time.
            with _locked(Path(tempfile.gettempdir()) / "packledger-docker.lock"):
                yield Engine(Path(folder))
            return
        DATA.mkdir(parents=True, exist_ok=True)
        with _locked(DATA / "lock"):
            if building and _something_is_left():
                with _private(Path(folder) / "sweeping", building=False):
                    pass
            with _private(Path(folder) / "running", building=building) as private:
                yield private


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _something_is_left() -> bool:
    """Whether a run that was killed left containers, which the engine would start again."""
    containers = DATA / "data" / "containers"
    return containers.is_dir() and any(containers.iterdir())


@contextlib.contextmanager
def _private(folder: Path, *, building: bool) -> Iterator[Engine]:
    private = _Private(folder, building=building)
    try:
        private.wait()
        private.sweep()
        yield private
        private.sweep()
    finally:
        private.close()


class _Private(Engine):
    """A `dockerd` of our own, in a folder of its own but for its data."""

    private = True

    def __init__(self, folder: Path, *, building: bool) -> None:
        remove_stale_groups()
        super().__init__(folder / "client", f"unix://{folder}/docker.sock")
        if os.geteuid() != 0:
            raise PermissionError(
                "no container engine answers, and only root can start one: run `make test` as root"
            )
        self._log = folder / "log"
        self._group = f"{_GROUP}-{os.getpid()}"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_alone(own_network=not building), *self._daemon(folder, building=building)],
                env={**os.environ, "HTTP_PROXY": _NOBODY, "HTTPS_PROXY": _NOBODY},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _daemon(self, folder: Path, *, building: bool) -> Iterator[str]:
        (folder / "daemon.json").write_text("{}")
        yield from ("dockerd", "--config-file", str(folder / "daemon.json"), "--log-level=warn")
        yield from ("--host", self.env["DOCKER_HOST"], "--pidfile", str(folder / "pid"))
        yield from ("--data-root", str(DATA / "data"), "--exec-root", str(folder / "exec"))
        # The system's own manager would be told process ids that are not its.
        yield from ("--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self._group}")
        if building:
            yield from ("--bridge=none", "--iptables=false", "--ip-forward=false")

    def wait(self) -> None:
        """Wait until it answers."""
        deadline_s = time.monotonic() + STARTS_WITHIN_S
        command = ["docker", "version"]
        while subprocess.run(command, env=self.env, capture_output=True, check=False).returncode:
            assert self._process.poll() is None, f"dockerd ended:\n{self._log.read_text()[-4000:]}"
            assert time.monotonic() < deadline_s, f"no answer:\n{self._log.read_text()[-4000:]}"
            time.sleep(0.1)
        with self.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))

    def sweep(self) -> None:
        """Remove every container, volume and network."""
        if left := self("ps", "--all", "--quiet").stdout.split():
            self("rm", "--force", "--volumes", *left)
        if volumes := self("volume", "ls", "--quiet").stdout.split():
            self("volume", "rm", "--force", *volumes)
        self("network", "prune", "--force")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        with Path("/proc/thread-self/ns/net").open("rb") as outside:
            with Path(f"/proc/{self._first()}/ns/net").open("rb") as network:
                _enter(network.fileno())
            try:
                yield
            finally:
                _enter(outside.fileno())

    def kill(self, pid: int) -> None:
        place = ["nsenter", f"--target={self._first()}", "--pid", "--mount"]
        run([*place, "bash", "-c", f"kill -KILL {pid}"], cwd=ROOT, env=os.environ)

    def _first(self) -> int:
        """The first process in its namespaces."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return int(children.split()[0])

    def close(self) -> None:
        """End it as an operator would, or with all that it started if it does not."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            os.kill(self._first(), signal.SIGTERM)
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"dockerd stays:\n{self._log.read_text()[-4000:]}") from None
        finally:
            remove_groups(self._group)


def _alone(*, own_network: bool) -> Iterator[str]:
    """What runs a program in namespaces that end with us, or with it."""
    yield from ("setpriv", "--pdeathsig=KILL")
    yield from ("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child=KILL")
    if own_network:
        yield "--net"
    # The first process inherits orphans, and must not leave them as zombies.
    yield from (shutil.which("docker-init") or "/usr/libexec/docker/docker-init", "--")


def _enter(network: int) -> None:
    if _LIBC.setns(network, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the engine's network")


def remove_groups(name: str) -> None:
    """Remove the control groups that were made for an engine: they are directories, now empty."""
    groups = Path("/sys/fs/cgroup")
    for parent in [groups, *groups.iterdir()]:
        top = parent / name
        if not top.is_dir():
            continue
        below = [path for path in top.rglob("*") if path.is_dir()]
        for path in sorted(below, key=lambda one: len(one.parts), reverse=True):
            path.rmdir()
        top.rmdir()


def remove_stale_groups() -> None:
    """Remove those of runs that were killed: their names end with the run's process id."""
    groups = Path("/sys/fs/cgroup")
    for path in [*groups.glob(f"{_GROUP}-*"), *groups.glob(f"*/{_GROUP}-*")]:
        if not Path("/proc", path.name.rpartition("-")[2]).exists():
            remove_groups(path.name)
