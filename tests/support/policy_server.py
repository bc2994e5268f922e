"""Somebody else who decides: a program that a registry asks over a socket, one line a question."""

import json
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple


class Asked(NamedTuple):
    action: str
    ecosystem: str
    name: str
    account: str


Rule = Callable[[Asked], bool | None]
"""Yes, no, or None: the connection is closed without an answer."""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


class PolicyServer:
    """Answers by `rule`, but holds what `holds` says until `release`. most: asked at once."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.rule: Rule = lambda asked: True
        self.holds: Callable[[Asked], bool] = lambda asked: False
        self.waiting = self.most = 0
        self._released, self._lock = threading.Event(), threading.Lock()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._answer(self.rfile, self.wfile)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _answer(self, reader: Any, writer: Any) -> None:
        line = reader.readline()
        if not line:  # whoever asked has stopped waiting
            return
        asked = Asked(**json.loads(line))
        with self._lock:
            self.asked.append(asked)
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        if self.holds(asked):
            self._released.wait()
        said = self.rule(asked)
        with self._lock:
            self.waiting -= 1
        if said is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                writer.write(b"yes\n" if said else b"no\n")

    def release(self) -> None:
        """Let go all that is held."""
        self._released.set()

    def reset(self) -> None:
        """Allow everything, and forget what was asked."""
        self._released.set()
        self._released = threading.Event()
        self.rule, self.holds = (lambda asked: True), (lambda asked: False)
        self.asked.clear()
        self.most = self.waiting

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
