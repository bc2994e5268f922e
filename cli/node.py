"""A node: one data directory with one projector and any number of web servers, in any order.

    run/project.lock    held alone by whoever keeps the read models up to date: `project` or `serve`
    run/web.lock        held together by all who read them for clients: `web` and `serve`

The kernel lets go of both when their holders have ended, however they did. What the board says of
an earlier run must not be believed: who begins while the other side is not there has nothing read
until the projector has caught up. While the other side is there, readers keep what they see.
"""

import fcntl
import time
from contextlib import closing, suppress
from typing import IO

import click

from packledger.cli.settings import Settings
from packledger.cli.stores import Places, places_of
from packledger.projections.board import Board

PATIENCE_S = 2.0
"""Whoever was killed is started again at once, maybe before its children have noticed."""
POLL_S = 0.05


def hold_projector(settings: Settings, command: str) -> IO[str]:
    """Be the one that writes this node's read models, until the returned file is closed.

    command: what to call us when another one is refused.

    Raises:
        click.ClickException: another process is it.
    """
    places = places_of(settings)
    lock = (places.run / "project.lock").open("a+")
    deadline_s = time.monotonic() + PATIENCE_S
    while not _locks(lock, fcntl.LOCK_EX):
        if time.monotonic() < deadline_s:
            time.sleep(POLL_S)
            continue
        lock.seek(0)
        other = lock.read() or command
        lock.close()
        raise click.ClickException(
            f"another `packledger {other}` runs on `{places.data}`; stop it first"
        )
    lock.truncate(0)
    lock.write(command)
    lock.flush()
    with (places.run / "web.lock").open("w") as web:
        if _locks(web, fcntl.LOCK_EX):
            with _board(places) as board:
                board.reset()
    return lock


def hold_web(settings: Settings) -> IO[str]:
    """Be one that reads this node's read models, until the returned file is closed."""
    places = places_of(settings)
    lock = (places.run / "web.lock").open("w")
    if _locks(lock, fcntl.LOCK_EX):
        with _board(places) as board:
            if not board.projector_lives():
                board.set_unreadable()
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _locks(file: IO[str], how: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, how | fcntl.LOCK_NB)
        return True
    return False


def _board(places: Places) -> closing[Board]:
    return closing(Board(places.board))
