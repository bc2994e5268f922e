"""The projector: follows a feed and keeps every read model up to date.

A projection that cannot apply an event stops there, alone, and says so in the log and on the board;
the others go on. Everything it knows is in the read models: killed at any moment, it continues.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from packledger.domain.events import tag_of
from packledger.feeds.feed import Feed, Recorded
from packledger.projections.board import BUILDING, FAILED, RUNNING, Board
from packledger.projections.generation import Generations
from packledger.projections.read_model import Gap, Projection, ReadModel

PAGE_EVENTS = 500
WAIT_S = 0.5

log = logging.getLogger("packledger.projector")


class LiveProjection:
    """One projection's live generation and how far it is."""

    def __init__(self, projection: Projection, generations: Generations, board: Board) -> None:
        self.projection, self._generations, self._board = projection, generations, board
        self.position = 0
        self.failed = False
        self._stamp: tuple[int, int] | None = None
        self._model: ReadModel | None = None
        with self._generations.locked():
            self._follow_swap()

    @property
    def name(self) -> str:
        """The projection's name."""
        return self.projection.name

    def revive(self) -> bool:
        """Begin again on a stopped projection if a rebuild has given it another generation."""
        if self._generations.stamp() != self._stamp:
            with self._generations.locked():
                self._follow_swap()
        return not self.failed

    def _follow_swap(self) -> None:
        """Open the live generation, or the first one; again after a rebuild has swapped it."""
        if self._model is not None and self._generations.stamp() == self._stamp:
            return
        if self._model is not None:
            self._model.close()
        if self._generations.live() == 0:
            self._create_first()
        generation = self._generations.live()
        self._stamp = self._generations.stamp()
        try:
            self._model = ReadModel(self._generations.model(generation), self.projection)
        except sqlite3.DatabaseError as error:
            self._model = None
            self._stop_at(error, ())
            return
        self.position = self._model.position()
        self._announce(generation)

    def _create_first(self) -> None:
        generation = self._generations.prepare()
        ReadModel(self._generations.model(generation), self.projection).close()
        self._generations.swap(generation)

    def _announce(self, generation: int) -> None:
        assert self._model is not None
        # Tables of another release are left alone; `serve` rebuilds them behind what is served.
        self.failed = self._model.stamp()[0] != self.projection.schema
        state = FAILED if self.failed else RUNNING if self._model.built() else BUILDING
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
        self._board.set_position(self.name, self.position)

    def _stop_at(self, error: Exception, page: Sequence[Recorded]) -> None:
        self.failed = True
        self._board.set_state(self.name, FAILED)
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

    def caught_up(self) -> None:
        """Let a first build be read, now that there is nothing more to apply."""
        if self._model is not None and not self.failed and not self._model.built():
            self._model.set_built()
            self._board.set_state(self.name, RUNNING)

    def close(self) -> None:
        """Close the file."""
        if self._model is not None:
            self._model.close()


class Projector:
    """Drives the live projections from one feed."""

    def __init__(
        self, feed: Feed, projections: Sequence[Projection], root: Path, board: Board
    ) -> None:
        self._feed, self._board = feed, board
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
        page = self._feed.read(position, PAGE_EVENTS)
        if page and page[0].position != position + 1:
            raise Gap(f"the feed skips from position {position} to {page[0].position}")
        for one in running:
            if page and page[-1].position > one.position:
                one.apply(page)
                self._board.beat()
        if not page:
            for one in running:
                one.caught_up()
        return bool(page)

    def catch_up(self) -> None:
        """Apply everything that is in the log now."""
        while self.step():
            pass

    def run(self, stopping: Callable[[], bool]) -> None:
        """Follow the feed until `stopping` says so; on return nobody waits for us any more."""
        try:
            while not stopping():
                self._board.beat()
                if not self.step():
                    self._feed.wait(WAIT_S)
        finally:
            self._board.stop()
            self.close()

    def close(self) -> None:
        """Close every file."""
        for one in self.live:
            one.close()
