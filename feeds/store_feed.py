"""The feed of the embedded registry: it follows the event store itself."""

import time
from collections.abc import Callable

from packledger.eventstore.log import Log, Recorded

BUSY_POLL_S = 0.0005
IDLE_POLL_S = 0.005
BUSY_FOR_S = 2.0
"""After an event the next one is likely soon: look 2,000 times a second (3 µs each) for a while."""


class StoreFeed:
    """Reads the log's file and notices commits by `PRAGMA data_version`."""

    def __init__(
        self,
        log: Log,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._log, self._clock_s, self._sleep = log, clock_s, sleep
        self._watch = log.watch()
        self._busy_until_s = 0.0

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return at most `limit` events that follow position `after`, in order."""
        return self._log.read(after, limit)

    def wait(self, timeout_s: float) -> bool:
        """Block until somebody commits to the log, at most `timeout_s`; return whether so."""
        now_s = self._clock_s()
        deadline_s = now_s + timeout_s
        while not self._watch.changed():
            if now_s >= deadline_s:
                return False
            self._sleep(BUSY_POLL_S if now_s < self._busy_until_s else IDLE_POLL_S)
            now_s = self._clock_s()
        self._busy_until_s = now_s + BUSY_FOR_S
        return True

    def last_position(self) -> int:
        """Return the position of the newest event."""
        return self._log.last_position()

    def close(self) -> None:
        """Close the watch; the log belongs to the caller."""
        self._watch.close()
