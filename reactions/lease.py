"""The turn of one reaction as this process has it: when it may be over, and renewing it before."""

import logging
import random
import time
from collections.abc import Callable

import msgspec

from packledger.eventstore.reactions import Parked, ReactionTable, Turn

log = logging.getLogger("packledger.reactions")


class Clock(msgspec.Struct, frozen=True):
    """Seconds that never go back, and a random number between two."""

    now_s: Callable[[], float] = time.monotonic
    between: Callable[[float, float], float] = random.uniform


REAL = Clock()


class Lease:
    """A turn, taken when it is needed. turn: None while it is not ours, as far as we know.

    until_s: when it may be over, on our clock: never later than in the store.
    """

    def __init__(
        self, reaction: str, table: ReactionTable, lease_s: float, clock: Clock = REAL
    ) -> None:
        self._reaction, self._table = reaction, table
        self._lease_s, self._clock = lease_s, clock
        self.turn: Turn | None = None
        self.until_s = 0.0

    def take(self) -> Turn | None:
        """Return our turn for a third of its time at least; None while somebody else has it.

        Another `fence` than before: somebody else may have had it.

        Raises:
            Unavailable: the store cannot be used.
        """
        if self.turn is not None and self.renewed(self.turn):
            return self.turn
        if self.turn is not None:
            self._lost(self.turn)
        now_s = self._clock.now_s()
        self.turn = self._table.take(self._reaction, self._lease_s)
        if self.turn is not None:
            self.until_s = now_s + self._lease_s
        return self.turn

    def renewed(self, turn: Turn) -> bool:
        """Return whether a turn is ours for long enough; renewed if need be. Any thread may ask.

        Raises:
            Unavailable: the store cannot be used.
        """
        now_s = self._clock.now_s()
        if self.until_s - now_s > self._lease_s * 2 / 3:
            return True
        if not self._table.renew(turn, self._lease_s):
            return False
        self.until_s = max(self.until_s, now_s + self._lease_s)
        return True

    def ends_soon(self) -> bool:
        """Return whether it must be renewed now, or what is done with it must end."""
        return self._clock.now_s() > self.until_s - self._lease_s / 3

    def keep(self, turn: Turn, pause_s: float = 0.0) -> bool:
        """Store what has become of the turn, and have it beyond a pause; return whether it is ours.

        Raises:
            Unavailable: the store cannot be used; the same may be stored again.
        """
        now_s = self._clock.now_s()
        lease_s = self._lease_s + pause_s
        if not self._table.keep(turn, lease_s):
            self._lost(turn)
            return False
        self.turn, self.until_s = turn, now_s + lease_s
        return True

    def park(self, turn: Turn, parked: Parked) -> bool:
        """Store an event that is given up; return whether the turn is ours.

        Raises:
            Unavailable: the store cannot be used; the same may be stored again.
        """
        ours = self._table.park(turn, parked)
        if not ours:
            self._lost(turn)
        return ours

    def give_up(self) -> None:
        """Let another one take the turn at once.

        Raises:
            Unavailable: the store cannot be used; the turn ends by itself.
        """
        if self.turn is not None:
            self._table.renew(self.turn, 0.0)
            self.turn = None

    def _lost(self, turn: Turn) -> None:
        log.warning(
            "another process has taken over a reaction, and nothing of ours counts any more",
            extra={"reaction": turn.reaction, "position": turn.position, "fence": turn.fence},
        )
        self.turn = None
