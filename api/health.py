"""`/health`: 200 only when this process can serve everything and is caught up."""

import asyncio

import falcon.asgi

from packledger.api.context import Context
from packledger.domain.errors import Unavailable
from packledger.projections.board import PROJECTIONS

CAUGHT_UP_EVENTS = 1_000
"""A busy registry is always a few events behind; this many means that it is catching up."""


class Health:
    """Liveness, and the lag of each projection in events."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer what is well and what is not."""
        registry = self._context.registry
        board = registry.board
        last = await asyncio.to_thread(registry.log.last_position)
        states = {}
        for name in PROJECTIONS:
            lag_events = max(0, last - board.position(name))
            behind = lag_events > CAUGHT_UP_EVENTS or not board.readable(name)
            state = "failed" if board.failed(name) else "catching up" if behind else "ok"
            states[name] = {"state": state, "lag_events": lag_events}
        projector = "ok" if board.projector_lives() else "down"
        readable = await asyncio.to_thread(self._readable)
        well = projector == "ok" and readable and all(s["state"] == "ok" for s in states.values())
        resp.status = 200 if well else 503
        resp.media = {
            "status": "ok" if well else "not ready",
            "position": last,
            "projector": projector,
            "projections": states,
        }
        resp.set_header("cache-control", "no-store")

    def _readable(self) -> bool:
        context = self._context
        try:
            for reader in (
                context.accounts,
                context.sparse_index,
                context.packuments,
                context.search,
            ):
                reader.db().execute("SELECT 1 FROM meta").fetchone()
        except Unavailable:
            return False
        return True
