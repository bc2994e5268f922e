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


class Bell:
    """Wakes every thread that waits: something was appended, or it is time to stop."""

    def __init__(self) -> None:
        self._rings = threading.Condition()
        self._count = 0
        self.stopping = False

    def heard(self) -> int:
        """Return how often it rang."""
        return self._count

    def ring(self, *, stop: bool = False) -> None:
        """Wake everybody. stop: for good."""
        with self._rings:
            self._count += 1
            self.stopping |= stop
            self._rings.notify_all()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Wait until it has rung more often than was heard, at most so long."""
        with self._rings:
            self._rings.wait_for(lambda: self._count != heard, timeout_s)


class Keeper:
    """Runs reactions until they are to stop. bell: tells them."""

    def __init__(self, runners: Sequence[Runner], bell: Bell) -> None:
        self._runners, self._bell = runners, bell

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
                self._bell.ring()
            stuck = {one: why for one in self._runners if (why := one.check())}
        self._bell.ring(stop=True)
        deadline_s = time.monotonic() + (0.0 if stuck else STOP_S)
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        for one in self._runners:
            if one not in stuck:  # whose attempt counts
                one.stop()
        return "; ".join(stuck.values())

    def _drive(self, runner: Runner) -> None:
        said = ""
        while not self._bell.stopping:
            heard = self._bell.heard()
            try:
                pause_s = runner.step()
                said = ""
            except RegistryError as error:
                if error.sentence != said:  # once, not every other second
                    said = error.sentence
                    log.error("%s waits: %s", runner.reaction.name, said)
                pause_s = AGAIN_S
            if pause_s > 0:
                self._bell.wait(heard, pause_s)
