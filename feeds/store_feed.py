"""The feed that follows the event store itself."""

from packledger.eventstore.log import Log, Recorded


class StoreFeed:
    """Reads the log and notices appends by the store's own means."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._watch = log.watch()

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return at most `limit` events that follow position `after`, in order."""
        return self._log.read(after, limit)

    def wait(self, timeout_s: float) -> bool:
        """Block until somebody appends to the log, at most `timeout_s`; return whether so."""
        return self._watch.wait(timeout_s)

    def last_position(self) -> int:
        """Return the position of the newest event."""
        return self._log.last_position()

    def close(self) -> None:
        """Close the watch; the log belongs to the caller."""
        self._watch.close()
