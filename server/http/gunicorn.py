"""Gunicorn, told in code: the web workers of a node."""

import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.sock import TCP6Socket, TCPSocket

from packledger.api.access.hooks import Hooks
from packledger.reactions.catalogue import REACTIONS
from packledger.reactions.reaction import Reaction
from packledger.server.http.app import build_app
from packledger.server.http.worker import Worker
from packledger.server.settings.settings import Settings

KEEPALIVE_S = 65
"""Longer than a proxy keeps an idle connection (nginx: 60 s): it never meets a closed one."""
GRACEFUL_S = 10


def announce(settings: Settings) -> None:
    """Say where clients find what is served."""
    url = settings.public_url
    # Flushed: what waits here at a fork would be printed by every child, too.
    print(
        f"packledger serves {Path(settings.data).resolve()}",
        f"  page   {url}/",
        f"  cargo  sparse+{url}/cargo/index/",
        f"  npm    {url}/npm/",
        sep="\n",
        flush=True,
    )


def run_web_server(
    settings: Settings,
    sockets: list[socket.socket],
    hooks: Hooks,
    reactions: Sequence[Reaction] = REACTIONS,
) -> None:
    """Serve on open listeners until SIGTERM; the application is built in each worker."""
    arbiter = Arbiter(_Web(settings, hooks, reactions))
    # Told by their numbers, it would look at each with a socket that it never closes.
    arbiter.LISTENERS = [_taken(listener, arbiter) for listener in sockets]
    arbiter.run()


def _taken(listener: socket.socket, arbiter: Any) -> Any:
    """Return gunicorn's form of a listener, which owns its file from now on."""
    kind = TCP6Socket if listener.family == socket.AF_INET6 else TCPSocket
    name = listener.getsockname()
    return kind(name, arbiter.cfg, arbiter.log, fd=listener.detach())


class _GunicornLogger(Logger):  # type: ignore[misc]
    """Gunicorn's own lines, through our handler; no access log: ours has the request id."""

    def setup(self, cfg: Any) -> None:
        self.error_log = logging.getLogger("packledger.gunicorn")
        self.error_log.setLevel(logging.WARNING)
        self.access_log = logging.getLogger("packledger.gunicorn.access")
        self.access_log.disabled = True


class _Web(BaseApplication):  # type: ignore[misc]
    """Gunicorn's settings and where it finds the application."""

    def __init__(self, settings: Settings, hooks: Hooks, reactions: Sequence[Reaction]) -> None:
        self._settings, self._hooks, self._reactions = settings, hooks, reactions
        super().__init__()

    def load_config(self) -> None:
        values = {
            "workers": self._settings.http.workers,
            "worker_class": Worker,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": GRACEFUL_S,
            "timeout": 60,
            "logger_class": _GunicornLogger,
            "control_socket_disable": True,
            "proc_name": "packledger-web",
            # Its own defaults are of when it was imported, maybe root's.
            "user": os.geteuid(),
            "group": os.getegid(),
            "umask": 0o077,
            "limit_request_line": 8190,
            # The public URL says which scheme clients use. Gunicorn would refuse two headers about
            # it that differ, and takes `https` in both of them for a difference.
            "secure_scheme_headers": {},
        }
        for key, value in values.items():
            self.cfg.set(key, value)
        Worker.patience_s = self._settings.http.client_timeout_s

    def load(self) -> Any:
        return build_app(self._settings, self._hooks, self._reactions)
