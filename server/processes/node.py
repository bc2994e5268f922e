"""A node: one data directory with one projector and any number of web servers, in any order.

    run/project.lock    held alone by whoever keeps the read models up to date: `project` or `serve`
    run/web.lock        held together by all who read them for clients: `web` and `serve`

The kernel lets go of both when their holders have ended, however they did. What the board says of
an earlier run must not be believed: who begins while the other side is not there has nothing read
until the projector has caught up. While the other side is there, readers keep what they see.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import IO

from packledger.domain.errors import Unavailable
from packledger.projections.board import Board
from packledger.server.settings.settings import Settings
from packledger.server.stores import Places, places_of

PROJECT, WEB = "project.lock", "web.lock"
PATIENCE_S = 2.0
"""Whoever was killed is started again at once, maybe before its children have noticed."""
POLL_S = 0.05


def hold_projector(settings: Settings, command: str) -> IO[str]:
    """Be the one that writes this node's read models, until the returned file is closed.

    command: what to call us when another one is refused.

    Raises:
        Unavailable: another process is it.
    """
    places = places_of(settings)
    lock = (places.run / PROJECT).open("a+")
    deadline_s = time.monotonic() + PATIENCE_S
    while not _begins_projecting(places, lock):
        if time.monotonic() > deadline_s:
            lock.seek(0)
            other = lock.read() or command
            lock.close()
            raise Unavailable(
                f"another `packledger {other}` runs on `{places.data}`; stop it first"
            )
        time.sleep(POLL_S)
    lock.truncate(0)
    lock.write(command)
    lock.flush()
    return lock


def _begins_projecting(places: Places, lock: IO[str]) -> bool:
    with _one_at_a_time(places):
        if not _locks(lock):
            return False
        if _is_free(places, WEB):
            with closing(Board(places.board)) as board:
                board.reset()
        return True


def hold_web(settings: Settings) -> IO[str]:
    """Be one that reads this node's read models, until the returned file is closed."""
    places = places_of(settings)
    lock = (places.run / WEB).open("a")
    with _one_at_a_time(places):
        # The heartbeat would not do: it is believed for a while after a projector's death.
        if _is_free(places, WEB) and _is_free(places, PROJECT):
            with closing(Board(places.board)) as board:
                board.set_unreadable()
        fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


@contextmanager
def _one_at_a_time(places: Places) -> Iterator[None]:
    """Let nobody begin on the other side between a look there and what it leads to."""
    with (places.run / "begin.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_free(places: Places, name: str) -> bool:
    with (places.run / name).open("a") as lock:
        return _locks(lock)


def _locks(file: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
