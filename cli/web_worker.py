"""Gunicorn's ASGI worker, except that it does not wait for idle connections when it is to end.

Gunicorn's own waits `graceful_timeout` for every open connection: behind a proxy, which always
keeps some, each stop would take the whole time, and Docker kills after 10 s.
"""

import asyncio
import contextlib
import signal
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

SWEEP_S = 0.1
FIRST_REQUEST_S = 1.0
"""How long a connection that has not asked for anything yet may still do so."""


class Connection(ASGIProtocol):  # type: ignore[misc]
    """A connection that its worker knows."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.worker.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.worker.connections.discard(self)
        super().connection_lost(exc)

    def close_if_idle(self, *, unused: bool) -> None:
        """Close it between two requests; unused: before its first one, too."""
        if self._awaiting_request and (unused or self.req_count > 1):
            self._close_transport()
            self._request_ready.set()


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]
    """Serves until it is told to end, then answers what was asked and closes what is idle."""

    def init_process(self) -> None:
        """Make connections known, then serve."""
        # Until gunicorn sets its own, the arbiter's handler is here, and would swallow the signal.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.connections: set[Connection] = set()
        # The worker builds its connections by this name, and has no setting for it.
        gasgi.ASGIProtocol = Connection
        super().init_process()

    async def _shutdown(self) -> None:
        closing = asyncio.create_task(self._close_idle())
        try:
            await super()._shutdown()
        finally:
            closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closing

    async def _close_idle(self) -> None:
        unused_after_s = self.loop.time() + FIRST_REQUEST_S
        while True:
            unused = self.loop.time() > unused_after_s
            for connection in list(self.connections):
                connection.close_if_idle(unused=unused)
            await asyncio.sleep(SWEEP_S)
