"""One reaction: reads on from its checkpoint, takes its turn, acts, and then moves the checkpoint.

It has the turn only while there is something to do, so one that is idle writes nothing. An attempt
is written down before it begins whenever it may be what killed the last holder, so an event that
kills is parked like one that fails.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from packledger.domain.errors import RegistryError
from packledger.eventstore.log import Recorded
from packledger.eventstore.reactions import Parked, ReactionTable, Turn
from packledger.feeds.feed import BrokenFeed
from packledger.reactions.lease import REAL, Clock, Lease
from packledger.reactions.reaction import Begins, Page, Reaction

READ_EVENTS = 100
IDLE_S = 60.0
"""How long to wait at the end of the log; whoever appends rings before."""
STANDBY_S = 1.0
"""How often to look whether somebody else's turn is over."""
SAVE_S = 10.0
SAVE_EVENTS = 5_000
"""How much that is not wanted is passed over before the checkpoint moves. To read it again takes
30 ms, and a write of its own for each would be one more for each publish."""

log = logging.getLogger("packledger.reactions")
replace = msgspec.structs.replace


class Source(Protocol):
    """The log; any thread may read it."""

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return at most `limit` events that follow position `after`, in order, without a gap."""
        ...

    def last_position(self) -> int:
        """Return the position of the newest event, 0 for none."""
        ...


class Acting(msgspec.Struct, frozen=True):
    """What is being done. began_s: on our clock; noted: the turn is stored with this attempt."""

    turn: Turn
    began_s: float
    noted: bool


class Runner:
    """Drives one reaction, in one thread; `check` and `stop` may be called by another."""

    def __init__(
        self,
        reaction: Reaction,
        source: Source,
        table: ReactionTable,
        stopping: Callable[[], bool] = lambda: False,
        clock: Clock = REAL,
    ) -> None:
        self.reaction, self._patience = reaction, reaction.patience
        self._source, self._table, self._stopping = source, table, stopping
        self._now_s, self._between = clock.now_s, clock.between
        self._lease = Lease(reaction.name, table, self._patience.lease_s, clock)
        self._begun = False
        self._page: list[Recorded] = []
        self._saved = self._scanned = 0
        """The checkpoint as last seen, and how far behind it nothing is wanted."""
        self._save_at_s = self._retry_at_s = 0.0
        self._fence = 0
        self._alone = 0
        """How many events are to be acted on one by one, each attempt written down before."""
        self._acting: Acting | None = None
        self._done: Turn | None = None
        """What was done, and could not be stored yet."""

    def step(self) -> float:
        """Do the next piece of work; return after how many seconds there may be more, 0 for now.

        Raises:
            RegistryError: a store cannot be used now; nothing is lost.
        """
        if not self._begun:
            self._begin()
        if self._done is not None:
            self._store(self._done)
        left_s = self._retry_at_s - self._now_s()
        if left_s > 0:
            return left_s
        page = self._read()
        if not page:
            return self._caught_up()
        wanted = [one for one in page if self.reaction.wants(one)]
        if not wanted:
            self._scanned = page[-1].position
            return self._save() if self._scanned - self._saved >= SAVE_EVENTS else 0.0
        turn = self._take()
        if turn is None:
            return STANDBY_S
        if turn.position != self._saved:
            self._go_on_from(turn.position)
            return 0.0
        return self._work(turn, wanted, page[-1].position)

    def _begin(self) -> None:
        """Find the checkpoint, or make it.

        Raises:
            BrokenFeed: the log ends before it.
        """
        name, last = self.reaction.name, self._source.last_position()
        if name not in self._table.states():
            self._table.begin(name, last if self.reaction.begins is Begins.NOW else 0)
        position = self._table.states()[name].position
        if position > self._source.last_position():
            raise BrokenFeed(
                f"the reaction `{name}` has acted on the event at position {position}, but the log "
                f"ends at {last}: it has lost events; restore it together with its reactions"
            )
        self._go_on_from(position)
        self._begun = True

    def _go_on_from(self, position: int) -> None:
        self._saved = self._scanned = position

    def _read(self) -> list[Recorded]:
        """Return what follows; from memory while there is some of the last page."""
        self._page = [one for one in self._page if one.position > self._scanned]
        if not self._page or self._page[0].position != self._scanned + 1:
            self._page = self._source.read(self._scanned, READ_EVENTS)
        return self._page

    def _caught_up(self) -> float:
        if self._scanned == self._saved:
            return IDLE_S
        left_s = self._save_at_s - self._now_s()
        return left_s if left_s > 0 else self._save()

    def _save(self) -> float:
        """Move the checkpoint over what is not wanted, unless somebody else is at it."""
        self._save_at_s = self._now_s() + SAVE_S
        turn = self._take()
        if turn is None:
            return STANDBY_S
        if turn.position != self._saved:
            self._go_on_from(turn.position)
        else:
            self._store(replace(turn, position=self._scanned, attempts=0, error=""))
        return 0.0

    def _take(self) -> Turn | None:
        turn = self._lease.take()
        if turn is None:
            # Their checkpoint saves us from reading again what they are through with.
            self._go_on_from(self._table.states()[self.reaction.name].position)
        elif turn.fence != self._fence:
            self._fence, self._alone = turn.fence, self.reaction.page_events
        return turn

    def _store(self, done: Turn) -> None:
        """Move the checkpoint; if the store is away, before anything else is done."""
        self._done = done
        if self._lease.keep(done):
            self._go_on_from(done.position)
        self._done = None
        self._save_at_s = self._now_s() + SAVE_S

    def _work(self, turn: Turn, wanted: Sequence[Recorded], end: int) -> float:
        """Act on the first of what is wanted; return how long to pause."""
        careful = self._alone > 0 or turn.attempts > 0
        events = wanted[: 1 if careful else self.reaction.page_events]
        if len(events) < len(wanted):
            end = events[-1].position
        if turn.attempts >= self._patience.tries:
            return self._park(turn, events[0], end)
        turn = replace(turn, attempts=turn.attempts + 1)
        if careful and not self._lease.keep(turn):
            return 0.0
        error = self._act(turn, events, careful)
        if error is not None:
            return self._failed(turn, events, end, error)
        self._alone = max(0, self._alone - 1)
        self._store(replace(turn, position=end, attempts=0, error=""))
        return 0.0

    def _act(self, turn: Turn, events: Sequence[Recorded], noted: bool) -> Exception | None:
        """Act, and return what was raised."""
        self._acting = Acting(turn, self._now_s(), noted)
        try:
            self.reaction.act(Page(events, turn.attempts, turn.fence, self._stopping))
        except Exception as error:
            return error
        finally:
            self._acting = None
        return None

    def _failed(self, turn: Turn, events: Sequence[Recorded], end: int, error: Exception) -> float:
        if len(events) > 1:  # nobody knows which of them it was
            self._alone = len(events)
            turn = replace(turn, attempts=0)
        turn = replace(turn, error=reason_of(error))
        log.warning("a reaction failed", exc_info=error, extra=_where(turn, events[0]))
        if turn.attempts >= self._patience.tries:
            return self._park(turn, events[0], end)
        pause_s = self._pause_s(turn.attempts)
        self._retry_at_s = self._now_s() + pause_s
        return pause_s if self._lease.keep(turn, pause_s) else 0.0

    def _pause_s(self, attempts: int) -> float:
        patience = self._patience
        doubled_s = patience.first_s * 2.0 ** max(0, attempts - 1)
        return min(patience.longest_s, doubled_s) * self._between(0.5, 1.0)

    def _park(self, turn: Turn, one: Recorded, end: int) -> float:
        """Give an event up, say so, and go on behind it."""
        reason = turn.error or "the process ended each time"
        if not self._lease.park(turn, Parked(one.position, turn.attempts, reason)):
            return 0.0
        where = _where(turn, one)
        log.error("a reaction gives an event up and goes on: %s", reason, extra=where)
        self._alone = max(0, self._alone - 1)
        self._store(replace(turn, position=end, attempts=0, error=""))
        return 0.0

    def check(self) -> str:
        """Renew the turn of what is being done; return why this process must end now, or nothing.

        What cannot be stopped must not go on once another process may have begun.
        """
        acting = self._acting
        if acting is None:
            return ""
        if self._now_s() - acting.began_s > self._patience.limit_s:
            return f"`{self.reaction.name}` takes longer than {self._patience.limit_s:g} s"
        try:
            ours = self._lease.renewed(acting.turn)
        except RegistryError:
            ours = not self._lease.ends_soon()
        if ours or self._acting is not acting:
            return ""
        return f"the turn of `{self.reaction.name}` is over while it acts"

    def stop(self) -> None:
        """Give the turn up, so that another process may go on at once.

        What is still being done goes on until this process ends; its turn ends by itself, and its
        attempt does not count.
        """
        acting = self._acting
        try:
            if acting is None:
                self._lease.give_up()
            elif acting.noted:
                attempts = acting.turn.attempts - 1
                self._table.keep(replace(acting.turn, attempts=attempts), self._patience.lease_s)
        except RegistryError as error:
            log.warning("the turn of a reaction ends by itself: %s", error.sentence)


def reason_of(error: Exception) -> str:
    """Return what may be shown of an exception: one printable line."""
    if not isinstance(error, RegistryError):
        return f"{type(error).__name__}, see the log"
    line = " ".join(error.sentence.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _where(turn: Turn, one: Recorded) -> dict[str, object]:
    return {
        "reaction": turn.reaction,
        "position": one.position,
        "tag": one.tag,
        "attempts": turn.attempts,
    }
