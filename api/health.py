"""`/health`: 200 when this process can serve reads that are up to date, and what is degraded.

Nobody stops sending reads here because a store is away: reads need none. So that is told, with 200;
commands are refused with 503 meanwhile.
"""

import asyncio

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.domain.errors import Unavailable

CAUGHT_UP_EVENTS = 1_000
"""A busy registry is always a few events behind; this many means that it is catching up."""
STORE_ANSWERS_S = 2.0
"""Whoever asks for our health waits a few seconds at most; a store that is away takes longer."""


class ProjectionHealth(msgspec.Struct, frozen=True):
    """lag_events: None while the store does not tell its head."""

    state: str
    position: int
    lag_events: int | None


class Health:
    """Liveness, and how far each projection is."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asking: asyncio.Task[int | None] | None = None

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer what is well and what is not."""
        board = self._context.registry.board
        head = await self._head()
        silent = board.overdue()
        states = {name: self._state(name, head, silent) for name in board.present()}
        projector = "ok" if board.projector_lives() else "down"
        readable = await asyncio.to_thread(self._readable)
        ready = projector == "ok" and readable and all(s.state == "ok" for s in states.values())
        degraded = silent or head is None
        resp.status = 200 if ready else 503
        resp.media = {
            "status": "not ready" if not ready else "degraded" if degraded else "ok",
            "position": max(state.position for state in states.values()) if head is None else head,
            "store": "unavailable" if head is None else "ok",
            "feed": {"from": self._context.feed, "state": "silent" if silent else "ok"},
            "projector": projector,
            "projections": msgspec.to_builtins(states),
        }
        resp.set_header("cache-control", "no-store")

    async def _head(self) -> int | None:
        """Return the position of the newest event; None if the store does not say soon."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._last_position))
        # Shielded: a question that still waits is not asked again, each would take a thread.
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), STORE_ANSWERS_S)
        except TimeoutError:
            return None

    def _last_position(self) -> int | None:
        try:
            return self._context.registry.log.last_position()
        except Unavailable:
            return None

    def _state(self, name: str, head: int | None, silent: bool) -> ProjectionHealth:
        board = self._context.registry.board
        position = board.position(name)
        lag_events = None if head is None else max(0, head - position)
        # What does not arrive is no reason to turn readers away: nobody has more.
        behind = not silent and (lag_events or 0) > CAUGHT_UP_EVENTS
        catching_up = behind or not board.readable(name)
        state = "failed" if board.failed(name) else "catching up" if catching_up else "ok"
        return ProjectionHealth(state, position, lag_events)

    def _readable(self) -> bool:
        context = self._context
        try:
            for reader in (
                context.accounts,
                context.sparse_index,
                context.packuments,
                context.search,
                context.pages,
            ):
                reader.db().execute("SELECT 1 FROM meta").fetchone()
        except Unavailable:
            return False
        return True
