"""`packledger serve`: web workers and the projector under one supervisor."""

import fcntl
import logging
import signal
import socket
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click
import msgspec
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from packledger.api.hooks import Hooks
from packledger.cli import logs, wiring
from packledger.cli.settings import Settings, address
from packledger.cli.supervisor import Child, Supervisor
from packledger.cli.web_app import NO_HOOKS, build_app
from packledger.cli.web_worker import Worker
from packledger.projections.board import PROJECTIONS

KEEPALIVE_S = 65
"""Longer than a proxy keeps an idle connection (nginx: 60 s): it never meets a closed one."""
GRACEFUL_S = 10
BACKLOG = 1024

log = logging.getLogger("packledger.serve")


def serve(settings: Settings, hooks: Hooks = NO_HOOKS) -> None:
    """Serve a data directory until SIGTERM. hooks: an embedding program's own say.

    Raises:
        click.ClickException: another `serve` runs on it, or a port is in use.
    """
    logs.configure(settings.log_level)
    places = wiring.Places(Path(settings.data))
    places.create()
    lock = _only_one(places)
    sockets = [_listen(one) for one in settings.listen]
    settings = _with_real_ports(settings, sockets)
    _announce(settings, _prepare(settings))
    children = [
        Child("web", lambda: Arbiter(_Web(settings, sockets, hooks)).run()),
        Child("projector", lambda: _project(settings, sockets)),
        Child("rebuild", lambda: _rebuild_stale(settings, sockets), once=True),
    ]
    Supervisor(children, on_stop=lambda: _close(sockets)).run()
    lock.close()


def _listen(one: str) -> socket.socket:
    host, port = address(one)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {one}: {error.strerror}; choose another with --listen"
        ) from error
    listener.listen(BACKLOG)
    return listener


def _close(sockets: list[socket.socket]) -> None:
    """Close our copies: as long as one is open, the kernel accepts clients that nobody answers."""
    for listener in sockets:
        listener.close()


def _with_real_ports(settings: Settings, sockets: list[socket.socket]) -> Settings:
    """Replace port 0 by the one that the system chose, in what we print and publish."""
    first = settings.listen[0].rstrip("/")
    if not first.endswith(":0"):
        return settings
    real = f"{first[:-2]}:{sockets[0].getsockname()[1]}"
    public_url = real if settings.public_url == first else settings.public_url
    return msgspec.structs.replace(settings, listen=(real,), public_url=public_url)


def _only_one(places: wiring.Places) -> IO[str]:
    lock = (places.run / "serve.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise click.ClickException(
            f"another `packledger serve` runs on `{places.data}`; stop it first"
        ) from error
    return lock


def _prepare(settings: Settings) -> str | None:
    """Create what is missing; return the setup code while there is no administrator.

    Everything is closed again before the children are forked: SQLite connections must not cross.
    """
    registry = wiring.open_registry(settings, create=True)
    try:
        registry.board.reset()
        wiring.sweep_uploads(registry)
        wiring.configure(registry)
        for name, damage in wiring.set_damaged_aside(settings, registry).items():
            log.error("damaged, and built anew: %s", damage, extra={"projection": name})
        return registry.credentials.new_setup_code()
    finally:
        wiring.close_registry(registry)


def _announce(settings: Settings, code: str | None) -> None:
    url = settings.public_url
    click.echo(f"packledger serves {Path(settings.data).resolve()}")
    click.echo(f"  cargo  sparse+{url}/cargo/index/")
    click.echo(f"  npm    {url}/npm/")
    if code is not None:
        click.echo(
            f"\nThere is no administrator yet. One-time setup code: {code}\n"
            f"Open {url}/setup and enter it there, or run on this machine:\n"
            f"  packledger user add NAME --admin --setup-code {code} --data {settings.data}\n"
        )


class _GunicornLogger(Logger):  # type: ignore[misc]
    """Gunicorn's own lines, through our handler; no access log: ours has the request id."""

    def setup(self, cfg: Any) -> None:
        self.error_log = logging.getLogger("packledger.gunicorn")
        self.error_log.setLevel(logging.WARNING)
        self.access_log = logging.getLogger("packledger.gunicorn.access")
        self.access_log.disabled = True


class _Web(BaseApplication):  # type: ignore[misc]
    """Gunicorn, told in code."""

    def __init__(self, settings: Settings, sockets: list[socket.socket], hooks: Hooks) -> None:
        self._settings, self._sockets, self._hooks = settings, sockets, hooks
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": [f"fd://{listener.fileno()}" for listener in self._sockets],
            "workers": self._settings.workers,
            "worker_class": Worker,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": GRACEFUL_S,
            "timeout": 60,
            "logger_class": _GunicornLogger,
            "control_socket_disable": True,
            "proc_name": "packledger-web",
            "limit_request_line": 8190,
        }
        for key, value in values.items():
            self.cfg.set(key, value)
        Worker.patience_s = self._settings.client_timeout_s

    def load(self) -> Any:
        return build_app(self._settings, self._hooks)


class _Stop:
    """Becomes true at SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def __call__(self) -> bool:
        return self._asked


def _project(settings: Settings, sockets: list[socket.socket]) -> None:
    stop = _Stop()
    _close(sockets)
    registry = wiring.open_registry(settings, create=False)
    wiring.open_projector(settings, registry).run(stop)
    wiring.close_registry(registry)


def _rebuild_stale(settings: Settings, sockets: list[socket.socket]) -> None:
    """Rebuild what another release rendered, behind what is being served."""
    _close(sockets)
    registry = wiring.open_registry(settings, create=False)
    for name in PROJECTIONS:
        if wiring.is_stale(settings, name):
            log.info("rendering has changed: rebuilding", extra={"projection": name})
            outcome = wiring.run_rebuild(settings, registry, name)
            log.info("rebuilt", extra={"projection": name, "documents": outcome.documents})
    wiring.close_registry(registry)
