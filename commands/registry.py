"""What every command needs: the log, the blobs, the clock, the limits, and the wait for a read.

Built once per process by `cli/wiring.py`; shared by threads.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from packledger.commands.limits import Limits
from packledger.domain.actor import Actor
from packledger.domain.times import rfc3339
from packledger.eventstore.blobs import BlobStore
from packledger.eventstore.credentials import Credentials
from packledger.eventstore.log import Decision, Log
from packledger.projections.board import Board

WAIT_S = 5.0
"""A client is answered after this even if the projection has not shown its change yet: the event
is committed, so the answer is success."""
WAIT_POLL_S = 0.0005


@dataclass(frozen=True)
class Registry:
    """The write side. public_url: without a trailing slash."""

    log: Log
    blobs: BlobStore
    credentials: Credentials
    board: Board
    limits: Limits
    public_url: str
    own_index_urls: frozenset[str] = field(default_factory=frozenset)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def actor(self, account: str, token: str = "", request: str = "", admin: bool = False) -> Actor:
        """Return who acts, stamped with the time."""
        return Actor(rfc3339(self.now()), account, token, request, admin)

    def execute(self, kind: str, canonical_name: str, decide: Decision) -> bool:
        """Decide, append, and wait until reads show it; return whether anything changed.

        Raises:
            RegistryError: from `decide`; nothing was appended.
            Unavailable: the store cannot be written.
        """
        recorded = self.log.execute(kind, canonical_name, decide)
        if recorded:
            self.wait_for(recorded[-1].position)
        return bool(recorded)

    def wait_for(self, position: int) -> bool:
        """Wait until every healthy projection has passed a position; return whether it has.

        Nobody waits for a projector that is known to be down.
        """
        deadline_s = time.monotonic() + WAIT_S
        while self.board.waiting_for(position):
            if not self.board.projector_lives() or time.monotonic() > deadline_s:
                return False
            time.sleep(WAIT_POLL_S)
        return True
