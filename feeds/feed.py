"""What every feed does: yield the log in order from a checkpoint, and wait for more."""

from typing import Protocol

from packledger.eventstore.log import Recorded

__all__ = ["Feed", "Recorded"]


class Feed(Protocol):
    """The log as a projector sees it. Belongs to one thread."""

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return at most `limit` events that follow position `after`, in order, without a gap.

        Empty when there is nothing more now.
        """
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until there may be more events, at most `timeout_s`; return whether there may."""
        ...

    def last_position(self) -> int:
        """Return the newest position that the feed knows of, 0 for none."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
