"""What `/health` tells of reactions: nobody waits for them, but who runs them should see it."""

from collections.abc import Sequence

import msgspec

from packledger.eventstore.reactions import Parked, ReactionState, ReactionTable

PARKED_TOLD = 5
FAILING = "failing"


class ReactionHealth(msgspec.Struct, frozen=True):
    """state: `ok`, `failing` while an event is tried again, `not begun`.

    position and lag_events: as they are stored, so for some seconds what is not wanted counts, too.
    error: of the last attempt; parked: how many events were given up; newest_parked: the last few.
    """

    state: str
    position: int = 0
    lag_events: int | None = None
    error: str = ""
    parked: int = 0
    newest_parked: tuple[Parked, ...] = ()


def reactions_health(
    table: ReactionTable, names: Sequence[str], head: int
) -> dict[str, ReactionHealth]:
    """Return how far each reaction is; where there is none, nothing is asked.

    Raises:
        Unavailable: the store cannot be read.
    """
    states = table.states() if names else {}
    return {name: _health(table, name, states.get(name), head) for name in names}


def _health(
    table: ReactionTable, name: str, state: ReactionState | None, head: int
) -> ReactionHealth:
    if state is None:
        return ReactionHealth("not begun")
    return ReactionHealth(
        FAILING if state.error else "ok",
        state.position,
        max(0, head - state.position),
        state.error,
        state.parked,
        tuple(table.parked(name, PARKED_TOLD)) if state.parked else (),
    )
