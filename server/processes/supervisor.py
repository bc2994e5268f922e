"""Keeps child processes running: what dies is started again, and SIGTERM stops them in order."""

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType

import msgspec

from packledger.domain.errors import RegistryError

log = logging.getLogger("packledger.supervisor")

POLL_S = 0.05
QUICK_DEATH_S = 1.0
MAX_PAUSE_S = 5.0
STOP_TIMEOUT_S = 40.0
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


class Child(msgspec.Struct):
    """A process to keep alive. once: it may end by itself with status 0."""

    name: str
    main: Callable[[], None]
    once: bool = False
    pid: int = 0
    started_s: float = 0.0
    pause_s: float = 0.0
    start_at_s: float = 0.0


def end_at_sigterm() -> None:
    """End with status 0 at SIGTERM, until who runs for long listens to it.

    Without a handler it kills, which looks like a failure; and process 1 of a container ignores it.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))


class StopAsked:
    """Becomes true at SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def __call__(self) -> bool:
        """Return whether it was asked for."""
        return self._asked


class Supervisor:
    """Runs until it is told to stop. Children are stopped in the order in which they are given.

    on_stop: called before the first of them is stopped.
    """

    def __init__(
        self, children: Sequence[Child], on_stop: Callable[[], None] = lambda: None
    ) -> None:
        self._children, self._before_stop = list(children), on_stop
        self._stopping = False

    def run(self) -> None:
        """Start the children and watch over them until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        while not self._stopping:
            now_s = time.monotonic()
            for child in self._children:
                if child.pid == 0 and now_s >= child.start_at_s:
                    _start(child)
            self._reap()
            time.sleep(POLL_S)
        self._before_stop()
        for child in self._children:
            _stop(child)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _reap(self) -> None:
        for child in list(self._children):
            if child.pid == 0:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            child.pid = 0
            if child.once and status == 0:
                self._children.remove(child)
                continue
            lived_s = time.monotonic() - child.started_s
            child.pause_s = (
                0.0 if lived_s > QUICK_DEATH_S else min(MAX_PAUSE_S, 2 * child.pause_s + 0.1)
            )
            child.start_at_s = time.monotonic() + child.pause_s
            log.error(
                "%s ended and is started again",
                child.name,
                extra={"status": os.waitstatus_to_exitcode(status), "pause_s": child.pause_s},
            )


def _start(child: Child) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child.started_s = time.monotonic()
    child.pid = os.fork()
    if child.pid:
        return
    status = 1
    try:
        # Before the kernel may send it: the supervisor's handler would swallow it here.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        die_with(parent)
        name_this_process(child.name)
        child.main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0
    except RegistryError as error:
        # Whoever waits for a store or a topic meets this every few seconds: no traceback.
        log.error("%s ends: %s", child.name, error.sentence)
    except BaseException:
        log.exception("%s failed", child.name)
    finally:
        # Not sys.exit: the parent's clean-up must not run in a fork of it.
        logging.shutdown()
        os._exit(status)


def die_with(parent: int) -> None:
    """Ask the kernel for SIGTERM when our parent is killed, so that nothing is left behind."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def name_this_process(name: str) -> None:
    """Have `ps` and `top` call this process, and what it forks, by a name: of 15 bytes at most."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NAME, name.encode())


def _stop(child: Child) -> None:
    if child.pid == 0:
        return
    os.kill(child.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if os.waitpid(child.pid, os.WNOHANG)[0]:
            return
        time.sleep(0.02)
    log.error("%s did not stop in %d s and is killed", child.name, STOP_TIMEOUT_S)
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
