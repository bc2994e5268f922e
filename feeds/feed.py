"""What every feed does: yield the log in order from a checkpoint, and wait for more."""

from typing import Protocol

from packledger.domain.errors import Conflict
from packledger.eventstore.log import Recorded

__all__ = ["BrokenFeed", "Feed", "Recorded"]


class BrokenFeed(Conflict):
    """What the feed holds is not the log; waiting does not help, so it must be seen to."""


class Feed(Protocol):
    """The log as a projector sees it. Belongs to one thread."""

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return at most `limit` events that follow position `after`, in order, without a gap.

        Empty when there is nothing more now.

        Raises:
            Unavailable: the log cannot be reached now; nothing is known of what follows.
            BrokenFeed: what follows is missing or not of this log.
        """
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until there may be more events, at most `timeout_s`; return whether there may."""
        ...

    def last_position(self) -> int:
        """Return the position of the newest event, 0 for none.

        Raises:
            Unavailable: the log cannot be reached now.
        """
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
