"""Reactions to test with: they write down what they are told, and fail or die where they should."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from packledger.domain.errors import Unavailable
from packledger.eventstore.log import Recorded
from packledger.eventstore.reactions import Parked, ReactionState, ReactionTable, Turn
from packledger.reactions.reaction import Begins, Page, Patience

Result = TypeVar("Result")
QUICK = Patience(lease_s=10.0, limit_s=1000.0, tries=3, first_s=1.0, longest_s=4.0)


class Dead(BaseException):
    """Whoever raises it is gone, and cleans up nothing."""


class Refused(Unavailable):
    """What the world says of an event that it does not take."""


class Acts:
    """Acts on the events that are wanted; `before` and `after` are asked of each of them."""

    name = "test"

    def __init__(
        self,
        begins: Begins = Begins.BEGINNING,
        page_events: int = 1,
        patience: Patience = QUICK,
        wants: Callable[[int], bool] = lambda position: True,
    ) -> None:
        self.begins, self.page_events, self.patience = begins, page_events, patience
        self._wants = wants
        self.pages: list[Page] = []
        self.done: list[int] = []
        self.refused: set[int] = set()
        self.before: Callable[[int, Page], None] = lambda position, page: None
        self.after: Callable[[int, Page], None] = lambda position, page: None

    def wants(self, recorded: Recorded) -> bool:
        return self._wants(recorded.position)

    def act(self, page: Page) -> None:
        self.pages.append(page)
        for one in page.events:
            self.before(one.position, page)
            if one.position in self.refused:
                raise Refused(f"nobody takes {one.position}")
            self.done.append(one.position)
            self.after(one.position, page)


class Failing:
    """A table whose next call fails, before or after it has done what it should."""

    def __init__(self, table: ReactionTable) -> None:
        self._table = table
        self.fails: str | None = None
        self.faults = 0

    def _run(self, call: Callable[[], Result]) -> Result:
        how, self.fails = self.fails, None
        self.faults += how is not None
        if how == "before":
            raise Unavailable("the store is away")
        result = call()
        if how == "after":
            raise Unavailable("the store went away")
        return result

    def begin(self, reaction: str, position: int) -> None:
        self._run(lambda: self._table.begin(reaction, position))

    def take(self, reaction: str, lease_s: float) -> Turn | None:
        return self._run(lambda: self._table.take(reaction, lease_s))

    def renew(self, turn: Turn, lease_s: float) -> bool:
        return self._run(lambda: self._table.renew(turn, lease_s))

    def keep(self, turn: Turn, lease_s: float) -> bool:
        return self._run(lambda: self._table.keep(turn, lease_s))

    def park(self, turn: Turn, parked: Parked) -> bool:
        return self._run(lambda: self._table.park(turn, parked))

    def states(self) -> dict[str, ReactionState]:
        return self._run(lambda: dict(self._table.states()))

    def parked(self, reaction: str, limit: int) -> Sequence[Parked]:
        return self._run(lambda: self._table.parked(reaction, limit))
