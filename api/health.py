"""`/health`: 200 when this process can serve reads that are up to date, and what is degraded.

Nobody stops sending reads here because a store is away: reads need none. So that is told, with 200;
commands are refused with 503 meanwhile. What no publish waits for may be behind, with 200 as well.
"""

import asyncio
import sqlite3
from datetime import timedelta

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.reaction_health import FAILING, ReactionHealth, reactions_health
from packledger.audit.translog.checkpoint import parse_checkpoint
from packledger.audit.translog.notes import BadNote, names_of_signers
from packledger.domain.errors import NotAuthenticated, TooMany, Unavailable
from packledger.domain.times import rfc3339
from packledger.eventstore.checkpoints import CheckpointRow
from packledger.projections.catalogue import row_of
from packledger.projections.log_tiles.fold import newest_time

CAUGHT_UP_EVENTS = 1_000
"""A busy registry is always a few events behind; this many means that it is catching up."""
STORE_ANSWERS_S = 2.0
"""Whoever asks for our health waits a few seconds at most; a store that is away takes longer."""

NO_WITNESS = "no witness"
CLOCKS_DIFFER = timedelta(minutes=1)
"""Between machines that keep time: another one has dated the newest event."""


class ProjectionHealth(msgspec.Struct, frozen=True):
    """lag_events: None while the store does not tell its head. awaited: publishes wait for it."""

    state: str
    position: int
    lag_events: int | None
    awaited: bool


class LogHealth(msgspec.Struct, frozen=True):
    """The transparency log. state: `signed`, `not signed`, or `refused`, and then why.

    witness: who has cosigned what is served, or `no witness`: then nobody else remembers it.
    """

    state: str
    size: int
    why: str
    witness: str


class Told(msgspec.Struct, frozen=True):
    """What the store says: the position of its newest event, what is signed, the reactions."""

    head: int
    log: LogHealth
    reactions: dict[str, ReactionHealth]


class ClockHealth(msgspec.Struct, frozen=True):
    """This machine's clock. state: `ok`, or `behind the log`, and then the latest time in that.

    One of them is wrong. Views of the past do not mind, but people who read the times do.
    """

    state: str
    newest: str


class Health:
    """Liveness, and how far each projection is."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asking: asyncio.Task[Told | None] | None = None

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer what is well and what is not."""
        board = self._context.registry.board
        # First: what is appended meanwhile may be there already, and is no sign of another log.
        positions = {name: board.position(name) for name in board.present()}
        told = await self._store()
        head, log = (told.head, told.log) if told else (None, None)
        silent = board.overdue()
        states = {name: self._state(name, at, head, silent) for name, at in positions.items()}
        projector = "ok" if board.projector_lives() else "down"
        readable = await asyncio.to_thread(self._readable)
        clock = await asyncio.to_thread(self._clock)
        store = "damaged" if board.damaged() else "ok" if told else "unavailable"
        wrong = [one for one in states.values() if one.state != "ok"]
        well = projector == "ok" and readable and not any(one.awaited for one in wrong)
        ready = well and store != "damaged"
        unwell = wrong or clock.state != "ok" or _is_degraded(told)
        degraded = silent or unwell
        resp.status = 200 if ready else 503
        resp.set_header("cache-control", "no-store")
        status = "not ready" if not ready else "degraded" if degraded else "ok"
        if not await self._may_see(req):
            resp.media = {"status": status}
            return
        resp.media = {
            "status": status,
            "position": max(state.position for state in states.values()) if head is None else head,
            "store": store,
            "feed": {"from": self._context.feed, "state": "silent" if silent else "ok"},
            "projector": projector,
            "projections": msgspec.to_builtins(states),
            "log": msgspec.to_builtins(log),
            "reactions": msgspec.to_builtins(told.reactions if told else {}),
            "clock": msgspec.to_builtins(clock),
        }

    async def _may_see(self, req: falcon.asgi.Request) -> bool:
        """Return whether the caller may know how much is in the log, and what is wrong with it."""
        if not self._context.private:
            return True
        try:
            return await self._context.authenticator.identify(req) is not None
        except (NotAuthenticated, TooMany):
            return False  # a monitor with an old token still learns the status

    async def _store(self) -> Told | None:
        """Return what the store says; None if nobody says it soon."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask_store))
        # Shielded: a question that still waits is not asked again, each would take a thread.
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), STORE_ANSWERS_S)
        except TimeoutError:
            return None

    def _ask_store(self) -> Told | None:
        registry = self._context.registry
        try:
            position, row = registry.log.last_position(), registry.checkpoints.read()
            reactions = reactions_health(registry.reactions, self._context.reactions, position)
        except Unavailable:
            return None
        names = names_of_signers(row.published, self._context.witnesses)
        return Told(position, _log_health(row, ", ".join(names) or NO_WITNESS), reactions)

    def _state(self, name: str, position: int, head: int | None, silent: bool) -> ProjectionHealth:
        board, awaited = self._context.registry.board, row_of(name).awaited
        lag_events = None if head is None else max(0, head - position)
        if head is not None and position > head:
            return ProjectionHealth("ahead of the log", position, 0, awaited)
        # What does not arrive is no reason to turn readers away: nobody has more.
        behind = not silent and (lag_events or 0) > CAUGHT_UP_EVENTS
        catching_up = behind or not board.readable(name)
        state = "failed" if board.failed(name) else "catching up" if catching_up else "ok"
        if not awaited and state == "ok" and not board.projector_lives(awaited=False):
            state = "not followed"
        return ProjectionHealth(state, position, lag_events, awaited)

    def _clock(self) -> ClockHealth:
        """Compare this machine's clock with the log's times, as far as its tiles are."""
        context = self._context
        try:
            newest = newest_time(context.log_tiles.db())
        except (Unavailable, sqlite3.DatabaseError, ValueError):
            return ClockHealth("ok", "")  # /health says of the tiles themselves what is wrong
        if newest > rfc3339(context.registry.now() + CLOCKS_DIFFER):
            return ClockHealth("behind the log", newest)
        return ClockHealth("ok", "")

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
                if row_of(reader.projection).awaited:
                    reader.db().execute("SELECT 1 FROM meta").fetchone()
        except Unavailable:
            return False
        return True


def _is_degraded(told: Told | None) -> bool:
    """Return whether the store says nothing, or something that should be seen to."""
    if told is None or told.log.state == "refused":
        return True
    return any(one.state == FAILING for one in told.reactions.values())


def _log_health(row: CheckpointRow, witness: str) -> LogHealth:
    try:
        size = parse_checkpoint(row.published).size if row.published else 0
    except BadNote as error:
        return LogHealth("refused", 0, str(error), witness)
    state = "refused" if row.refusal else "signed" if row.published else "not signed"
    return LogHealth(state, size, row.refusal, witness)
