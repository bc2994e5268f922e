"""What every command needs: the log, the blobs, the clock, the limits, and the wait for a read.

Built once per process by `server/wiring.py`; shared by threads.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from packledger.commands.limits import Limits
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.caller import NO_POLICY, Caller, Verdicts
from packledger.domain.accounts.permissions import Identity
from packledger.domain.events.registry import RegistryConfigured
from packledger.domain.streams import REGISTRY, Decision, E, State, Stream
from packledger.domain.times import rfc3339
from packledger.eventstore.blobs.store import BlobStore
from packledger.eventstore.checkpoints import Checkpoints
from packledger.eventstore.credentials import Credentials
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Log
from packledger.eventstore.reactions import ReactionTable
from packledger.projections.board import Board

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

WAIT_S = 5.0
"""A client is answered after this even if the projection has not shown its change yet: the event
is committed, so the answer is success."""


@dataclass(frozen=True)
class Registry:
    """The write side. public_url: without a trailing slash."""

    log: Log
    blobs: BlobStore
    credentials: Credentials
    checkpoints: Checkpoints
    reactions: ReactionTable
    board: Board
    limits: Limits
    public_url: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    signers: dict[str, "EllipticCurvePrivateKey"] = field(default_factory=dict)
    """Keys for npm signatures that were read already, by their ids."""

    def actor(self, account: str, token: str = "", request: str = "", admin: bool = False) -> Actor:
        """Return who acts, stamped with the time."""
        return Actor(rfc3339(self.now()), account, token, request, admin)

    def caller(
        self,
        identity: Identity | None,
        request: str = "",
        address: str = "",
        verdicts: Verdicts = NO_POLICY,
    ) -> Caller:
        """Return who asks, stamped with the time. verdicts: of whoever has a say beside us."""
        who = identity or Identity("")
        return Caller(
            identity, self.actor(who.account, who.token, request, who.admin), address, verdicts
        )

    def execute(self, kind: Stream[State, E], name: str, decide: Decision[State, E]) -> bool:
        """Decide, append, and wait until reads show it; return whether anything changed.

        Raises:
            RegistryError: from `decide`; nothing was appended.
            DamagedLog: the store is damaged, as far as somebody of this node knows.
            Unavailable: the store cannot be written.
        """
        if self.board.damaged():
            raise DamagedLog("nothing is added to it")
        try:
            recorded = self.log.execute(kind, name, decide)
        except DamagedLog:
            self.board.set_damaged()
            raise
        if recorded:
            self.wait_for(recorded[-1].position)
        return bool(recorded)

    def wait_for(self, position: int) -> bool:
        """Wait until what is awaited, and healthy, has passed a position; return whether it has.

        Nobody waits for a projector that is known to be down, or for events that do not arrive.
        """
        deadline_s = time.monotonic() + WAIT_S
        while True:
            rung = self.board.moved.rung()
            if not self.board.waiting_for(position):
                return True
            if not self.board.projector_lives() or self.board.overdue():
                return False
            if time.monotonic() > deadline_s:
                self.board.set_overdue(position)
                return False
            self.board.moved.wait(rung)

    @cached_property
    def own_index_urls(self) -> frozenset[str]:
        """Return the index URLs that mean this registry: today's, and those it had before."""
        configured = (
            one for one in self.log.stream(REGISTRY) if isinstance(one, RegistryConfigured)
        )
        urls = {self.public_url, *(one.public_url for one in configured)}
        return frozenset(f"sparse+{url}/cargo/index/" for url in urls)
