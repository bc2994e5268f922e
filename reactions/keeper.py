"""All reactions in one process: a thread for each, so that none waits for another.

The first thread hears of appends, renews the turns of what takes long, and ends the process if
something cannot be stopped otherwise: a thread cannot.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from packledger.domain.errors import RegistryError
from packledger.reactions.runner import Runner

LISTEN_S = 0.5
"""How long to listen between two looks at what is being done."""
AGAIN_S = 2.0
"""After a store was away."""
STOP_S = 5.0
"""How long what is being done may go on when the process is to end."""

log = logging.getLogger("packledger.reactions")


class Waker:
    """Wakes every thread that waits: something was appended, or it is time to stop."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self.stopping = False

    def calls(self) -> int:
        """Return how often it was called."""
        return self._count

    def wake(self, *, stop: bool = False) -> None:
        """Wake everybody. stop: for good."""
        with self._changed:
            self._count += 1
            self.stopping |= stop
            self._changed.notify_all()

    def wait(self, calls: int, timeout_s: float) -> None:
        """Wait until it was called more often than that, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != calls, timeout_s)


class Keeper:
    """Runs reactions until they are to stop. waker: tells them."""

    def __init__(self, runners: Sequence[Runner], waker: Waker) -> None:
        self._runners, self._waker = runners, waker

    def run(self, listen: Callable[[float], bool], stopping: Callable[[], bool]) -> str:
        """Run until `stopping` says so; return why it could not go on, empty if it was to stop.

        The process must end then, since threads may be at something. listen: blocks until there are
        events, at most so many seconds, and returns whether there may be.
        """
        threads = [
            threading.Thread(target=self._drive, args=[one], daemon=True, name=one.reaction.name)
            for one in self._runners
        ]
        for thread in threads:
            thread.start()
        stuck: dict[Runner, str] = {}
        while not stuck and not stopping():
            if listen(LISTEN_S):
                self._waker.wake()
            stuck = {one: why for one in self._runners if (why := one.check())}
        self._waker.wake(stop=True)
        deadline_s = time.monotonic() + (0.0 if stuck else STOP_S)
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        for one in self._runners:
            if one not in stuck:  # whose attempt counts
                one.stop()
        return "; ".join(stuck.values())

    def _drive(self, runner: Runner) -> None:
        said = ""
        while not self._waker.stopping:
            calls = self._waker.calls()
            try:
                pause_s = runner.step()
                said = ""
            except RegistryError as error:
                if error.sentence != said:  # once, not every other second
                    said = error.sentence
                    log.error("%s waits: %s", runner.reaction.name, said)
                pause_s = AGAIN_S
            if pause_s > 0:
                self._waker.wait(calls, pause_s)
