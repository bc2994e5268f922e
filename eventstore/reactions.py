"""How far each reaction is, and whose turn it is: in the log's database and its backup.

A turn is a lease with a number. Whoever takes a reaction's turn raises the number, and every later
write names it: who lost the turn while it was paused can write nothing of it any more. A store's
own clock says when a lease is over, so nodes may disagree about the time.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from packledger.eventstore.damaged_log import DamagedLog

Row = TypeVar("Row", bound=msgspec.Struct)


class Turn(msgspec.Struct, frozen=True):
    """The right to act, and where to go on.

    fence: 1 more for each turn of a reaction; position: of the last event that is done with;
    attempts: begun at the event that follows, by anybody; error: of the last of them.
    """

    reaction: str
    fence: int
    position: int
    attempts: int = 0
    error: str = ""


class Parked(msgspec.Struct, frozen=True):
    """An event that was given up. reason: of the last attempt."""

    position: int
    attempts: int
    reason: str


class ReactionState(msgspec.Struct, frozen=True):
    """How far a reaction is; as `Turn`. parked: how many events were given up."""

    position: int
    attempts: int
    error: str
    parked: int


class ReactionTable(Protocol):
    """The rows of every reaction. Any thread may ask. Each write is durable on return.

    Every method raises Unavailable when the database cannot be used, and DamagedLog for what nobody
    has written. Of a write that may have happened or not, the same one again is harmless.
    """

    def begin(self, reaction: str, position: int) -> None:
        """Let a reaction begin behind a position; one that has begun stays where it is."""
        ...

    def take(self, reaction: str, lease_s: float) -> Turn | None:
        """Take the turn of a reaction that has begun; None while somebody else has it."""
        ...

    def renew(self, turn: Turn, lease_s: float) -> bool:
        """Keep a turn for so long from now on, 0 gives it up; return whether it was still ours."""
        ...

    def keep(self, turn: Turn, lease_s: float) -> bool:
        """Store a turn's position, attempts and error, and renew it; return whether it was ours.

        The position never goes back: False, too, for one behind that which is stored.
        """
        ...

    def park(self, turn: Turn, parked: Parked) -> bool:
        """Store an event that is given up; return whether the turn was ours."""
        ...

    def states(self) -> Mapping[str, ReactionState]:
        """Return how far each reaction is; none before the first has begun."""
        ...

    def parked(self, reaction: str, limit: int) -> Sequence[Parked]:
        """Return the newest events that were given up, newest first."""
        ...


def row_of(kind: type[Row], values: Iterable[object]) -> Row:
    """Return a row as one of these structs.

    Raises:
        DamagedLog: it has other types than we write.
    """
    try:
        return msgspec.convert(dict(zip(kind.__struct_fields__, values, strict=True)), kind)
    except msgspec.ValidationError as error:
        raise DamagedLog(f"a row of a reaction is not what was written: {error}") from error
