"""The projector: follows a feed and keeps every read model up to date.

A projection that cannot apply an event stops there, alone, and says so in the log and on the board;
the others go on. One that only cannot write now (a full disk) tries again every second. Everything
it knows is in the read models: killed at any moment, it continues.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from packledger.domain.errors import Unavailable
from packledger.domain.events.event import tag_of
from packledger.eventstore.damaged_log import DamagedLog
from packledger.feeds.feed import Feed, Recorded
from packledger.projections.board import BUILDING, FAILED, RUNNING, Board
from packledger.projections.generation import Generations
from packledger.projections.projection import Model, Projection
from packledger.projections.read_model import Gap

PAGE_EVENTS = 500
WAIT_S = 0.5
RETRY_S = 1.0

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""What goes away when there is space again. Source: https://www.sqlite.org/rescode.html"""

log = logging.getLogger("packledger.projector")


class LiveProjection:
    """One projection's live generation and how far it is."""

    def __init__(
        self,
        projection: Projection,
        generations: Generations,
        board: Board,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.projection, self._generations, self._board = projection, generations, board
        self._clock_s = clock_s
        self.position = 0
        self.failed = False
        self._retry_at_s: float | None = None
        self._stamp: tuple[int, int] | None = None
        self._model: Model | None = None
        with self._generations.locked():
            self._follow_swap()

    @property
    def name(self) -> str:
        """The projection's name."""
        return self.projection.name

    def revive(self) -> bool:
        """Begin again on a stopped projection.

        Once a rebuild has given it another generation, or when it could not write a moment ago.
        """
        retry = self._retry_at_s is not None and self._clock_s() >= self._retry_at_s
        if retry or self._generations.stamp() != self._stamp:
            with self._generations.locked():
                self._reopen()
        return not self.failed

    def _follow_swap(self) -> None:
        """Open the live generation, or the first one; again after a rebuild has swapped it."""
        if self._model is None or self._generations.stamp() != self._stamp:
            self._reopen()

    def _reopen(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None
        try:
            if self._generations.live() == 0:
                self._create_first()
            generation = self._generations.live()
            self._stamp = self._generations.stamp()
            folder = self._generations.folder(generation)
            self._model = self.projection.open(folder, lazy=True)
        except (sqlite3.DatabaseError, UnicodeDecodeError, OSError) as error:
            self._stop_at(error, ())
            return
        self.position = self._model.position()
        self._announce(generation)

    def _create_first(self) -> None:
        generation = self._generations.prepare(self._board.generation(self.name))
        self.projection.open(self._generations.folder(generation)).close()
        self._generations.swap(generation)

    def _announce(self, generation: int) -> None:
        assert self._model is not None
        # Tables of another release are left alone; `serve` rebuilds them behind what is served.
        self.failed = self._model.stamp()[0] != self.projection.schema
        # After the projector alone was started again, readers keep what they can see already.
        readable = self._model.built() and self._board.readable(self.name)
        state = FAILED if self.failed else RUNNING if readable else BUILDING
        self._board.set_position(self.name, self.position)
        self._board.set_generation(self.name, generation)
        self._board.set_state(self.name, state)

    def apply(self, page: Sequence[Recorded]) -> None:
        """Apply what is new of a page; an error stops this projection where it is."""
        with self._generations.locked():
            self._follow_swap()
            if self._model is None or page[0].position > self.position + 1:
                return  # a rebuild swapped in a generation that is a little behind: read again
            try:
                self.position = self._model.apply(page)
            except Exception as error:
                self._stop_at(error, page)
                return
        self._retry_at_s = None
        self._board.set_position(self.name, self.position)

    def _stop_at(self, error: Exception, page: Sequence[Recorded]) -> None:
        again = self._retry_at_s is not None
        self.failed = True
        self._board.set_state(self.name, FAILED)
        self._retry_at_s = self._clock_s() + RETRY_S if _passes(error) else None
        if self._retry_at_s is not None:
            if not again:
                log.error(
                    "projection cannot write now and tries again every second: %s",
                    error,
                    extra={"projection": self.name, "position": self.position},
                )
            return
        at = next((one for one in page if one.position > self.position), None)
        log.error(
            "projection stopped; the others go on. Restart after mending the cause, "
            "or run `packledger rebuild`",
            exc_info=error,
            extra={
                "projection": self.name,
                "position": self.position,
                "tag": tag_of(type(at.event)) if at else "",
            },
        )

    def behind(self, page: Sequence[Recorded]) -> bool:
        """Return whether there is something to do after a page that was not full."""
        here = not page or self.failed or self.position >= page[-1].position
        return not (here and self._board.readable(self.name))

    def caught_up(self) -> None:
        """Let it be read, now that there is nothing more to apply."""
        if self._generations.stamp() != self._stamp:
            # A rebuild that was killed after its swap could tell nobody.
            with self._generations.locked():
                self._follow_swap()
            return
        if self._model is None or self.failed or self._board.readable(self.name):
            return
        if not self._model.built():
            self._model.set_built()
        self._board.set_state(self.name, RUNNING)

    def close(self) -> None:
        """Close the file."""
        if self._model is not None:
            self._model.close()


def _passes(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
    return isinstance(error, OSError)


class Projector:
    """Drives the live projections from one feed.

    awaited: commands wait for these; it is the one of which `Board.projector_lives` tells them.
    """

    def __init__(
        self,
        feed: Feed,
        projections: Sequence[Projection],
        root: Path,
        board: Board,
        *,
        awaited: bool = True,
    ) -> None:
        self._feed, self._board, self._awaited = feed, board, awaited
        self._more = True
        self.live = [
            LiveProjection(projection, Generations(root, projection.name), board)
            for projection in projections
        ]

    def step(self) -> bool:
        """Apply one page to every projection that needs it; return whether there was one."""
        running = [one for one in self.live if not one.failed or one.revive()]
        if not running:
            return False
        position = min(one.position for one in running)
        page = self._read(position)
        if page is None:
            return False  # not caught up: nothing is known of what follows
        if page and page[0].position != position + 1:
            raise Gap(f"the feed skips from position {position} to {page[0].position}")
        for one in running:
            if page and page[-1].position > one.position:
                one.apply(page)
                self._board.beat(awaited=self._awaited)
        self._board.moved.ring()
        if not page:
            for one in running:
                one.caught_up()
        self._more = len(page) == PAGE_EVENTS or any(one.behind(page) for one in running)
        return bool(page)

    def _read(self, position: int) -> list[Recorded] | None:
        """Return the next page, None while the feed does not answer."""
        try:
            page = self._feed.read(position, PAGE_EVENTS)
        except DamagedLog:
            self._board.set_damaged()
            raise
        except Unavailable:
            self._set_silent(True)
            return None
        self._set_silent(False)
        return page

    def _set_silent(self, silent: bool) -> None:
        if self._awaited:  # of the others' feed nobody needs to know, and one flag has one writer
            self._board.set_feed_silent(silent)

    def catch_up(self) -> None:
        """Apply everything that is in the log now."""
        while self.step():
            pass

    def run(self, stopping: Callable[[], bool]) -> None:
        """Follow the feed until `stopping` says so; on return nobody waits for us any more."""
        try:
            while not stopping():
                self._board.beat(awaited=self._awaited)
                if not (self.step() and self._more):
                    self._feed.wait(WAIT_S)
        finally:
            self._board.stop(awaited=self._awaited)
            self.close()

    def close(self) -> None:
        """Close every file."""
        for one in self.live:
            one.close()
