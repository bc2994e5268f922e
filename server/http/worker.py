"""Gunicorn's ASGI worker, with connections that are bounded in number and time.

Gunicorn's own also waits `graceful_timeout` for every open connection when it is to end: behind a
proxy, which always keeps some, each stop would take the whole time, and Docker kills after 10 s.
"""

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

from gunicorn.workers import gasgi

from packledger.api.hot_reads import HotReads
from packledger.server.http.connection import Connection, limits_of
from packledger.server.http.hits import Hits

SWEEP_S = 0.1
FIRST_REQUEST_S = 1.0
"""How long a connection that has not asked for anything yet may still do so, before the end."""
MAX_CONNECTIONS = 2_000
"""Of one worker: each costs a file descriptor and about 20 KB."""
OPEN_FILES = 8_192


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]
    """Serves until it is told to end, then answers what was asked and closes what is idle.

    patience_s: how long a client may do nothing while it is its turn; set before the fork.
    """

    patience_s = 30.0
    hits: Hits | None = None
    """What connections ask before the application; None if that must see every request."""

    def init_process(self) -> None:
        """Make connections known, then serve."""
        # Until gunicorn sets its own, the arbiter's handler is here, and would swallow the signal.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.connections: dict[Connection, None] = {}
        self.max_connections = min(MAX_CONNECTIONS, _raise_open_files() // 2)
        _keep_freed_memory()
        # The worker builds its connections by this name, and has no setting for it.
        gasgi.ASGIProtocol = Connection
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the application."""
        super().load_wsgi()
        self.hits = (
            Hits(self.asgi, limits_of(self.cfg)) if isinstance(self.asgi, HotReads) else None
        )

    def make_room(self, newest: Connection) -> None:
        """Close the oldest idle connection if there are too many, else refuse the newest."""
        if len(self.connections) <= self.max_connections:
            return
        others = (one for one in self.connections if one is not newest)
        if not any(one.close_if_idle(unused=True) for one in others):
            newest.refuse("this registry has too many connections now; try again later")

    def init_signals(self) -> None:
        """Let SIGTERM end the process until there is something to end in order.

        uvloop forgets a signal that comes between `add_signal_handler` and the start of the loop.
        """
        super().init_signals()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    async def _serve(self) -> None:
        self.loop.add_signal_handler(signal.SIGTERM, self.handle_exit_signal)
        async with _meanwhile(self._end_stuck):
            await super()._serve()

    async def _end_stuck(self) -> None:
        while True:
            await asyncio.sleep(self.patience_s / 4)
            now_s = self.loop.time()
            for connection in list(self.connections):
                connection.end_if_stuck(now_s, self.patience_s)

    async def _shutdown(self) -> None:
        async with _meanwhile(self._close_idle):
            await super()._shutdown()

    async def _close_idle(self) -> None:
        unused_after_s = self.loop.time() + FIRST_REQUEST_S
        while True:
            unused = self.loop.time() > unused_after_s
            for connection in list(self.connections):
                connection.close_if_idle(unused=unused)
            await asyncio.sleep(SWEEP_S)


def _keep_freed_memory() -> None:
    """Have glibc keep up to 8 MiB that were freed, as it does once a block of 4 MiB was freed.

    Else every piece of a file or body is memory that the kernel takes back and clears again: 100 µs
    for each 256 KiB, three times what reading them costs.
    Source: https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD)
    """
    block = bytes(4 * 1024 * 1024)
    del block


def _raise_open_files() -> int:
    """Let this process open as many files as it may, within reason; return how many.

    The usual 1,024 are for programs that use `select`; idle clients alone would take them all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


@contextlib.asynccontextmanager
async def _meanwhile(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run something as long as the block runs."""
    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
