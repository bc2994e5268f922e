"""Replay the log into new generations of read models, compare, and swap, while others serve."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec

from packledger.domain.errors import Unavailable
from packledger.eventstore.damaged_log import misfits_as_damage
from packledger.feeds.feed import Feed
from packledger.feeds.progress import Progress, no_progress
from packledger.projections.board import RUNNING, Board
from packledger.projections.generation import Generations
from packledger.projections.projection import Model, Projection

PAGE_EVENTS = 250
"""With what is made of them they fit the cache of a core: 2,000 cost a twentieth more."""


class Outcome(msgspec.Struct, frozen=True):
    """What a rebuild found.

    differences: keys of documents whose bytes were not those of the live generation; rows, digest:
    of a check, SHA-256 in hex, the same wherever the same log is folded. Reading them all is a
    tenth of the work, so a rebuild that is swapped in leaves it out.
    """

    projection: str
    position: int
    differences: list[str]
    swapped: bool
    rows: int | None = None
    digest: str | None = None


def rebuild(
    feed: Feed,
    projection: Projection,
    root: Path,
    board: Board,
    *,
    check: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Rebuild one projection, see `rebuild_all`."""
    return rebuild_all(feed, [projection], root, board, check=check, progress=progress)[0]


def rebuild_all(  # noqa: PLR0913 - what is rebuilt from what, and how
    feed: Feed,
    projections: Sequence[Projection],
    root: Path,
    board: Board,
    *,
    check: bool = False,
    progress: Progress = no_progress,
    log_position: Callable[[], int] | None = None,
) -> list[Outcome]:
    """Replay the log once into new generations and make them live; with `check`, only compare.

    The live generations go on being served and written meanwhile. Old and new are compared at one
    position: the lock is held only to bring the new one there and to begin reading the old one.

    log_position: how long the log is, where a feed may be behind it.

    Raises:
        Gap: the feed is not the whole log.
        DamagedLog: its events do not follow from each other.
        Unavailable: the feed is behind the log and a live generation; that one stays.
    """
    # Always in one order: two rebuilds wait for each other's locks, never both.
    ordered = sorted(projections, key=lambda projection: projection.name)
    with ExitStack() as stack:
        building = [stack.enter_context(_building(one, root, board, check)) for one in ordered]
        with misfits_as_damage("the log"):
            _replay(feed, building, progress)
            for one in building:
                one.go_live(feed, log_position or feed.last_position)
        outcomes = {one.projection.name: one.compare() for one in building}
    return [outcomes[projection.name] for projection in projections]


class _Building:
    """One projection's new generation beside its live one."""

    def __init__(
        self, projection: Projection, generations: Generations, board: Board, check: bool
    ) -> None:
        self.projection, self._generations = projection, generations
        self._board, self._check = board, check
        self._level = check or projection.has_files
        self.generation = generations.prepare(board.generation(projection.name))
        try:
            self.model = projection.open(generations.folder(self.generation), private=True)
        except BaseException:
            generations.discard(self.generation)
            raise
        self._live = self.model.beside(generations.folder(generations.live()))
        self._comparable = False

    def target(self, feed: Feed) -> int:
        """Return the position to reach: the live generation's if it must not be passed."""
        if self._level and self._live is not None:
            return self._live.position()
        return feed.last_position()

    def go_live(self, feed: Feed, log_position: Callable[[], int]) -> None:
        """Close the last distance and swap, with the lock held for as little as possible."""
        self.model.share()
        _catch_up(feed, self.model, self.target(feed))
        with self._generations.locked():
            _catch_up(feed, self.model, self.target(feed))
            if not self._check:
                self._refuse_less_than_live(feed, log_position)
            self._comparable = self._live is not None and self._live.begin()
            if not self._check:
                self.model.set_built()
                self._generations.swap(self.generation)
                # In this order: a position says that whoever reads now sees it.
                self._board.set_generation(self.projection.name, self.generation)
                self._board.set_position(self.projection.name, self.model.position())
                self._board.set_state(self.projection.name, RUNNING)
            self.model.hold()

    def _refuse_less_than_live(self, feed: Feed, log_position: Callable[[], int]) -> None:
        """Take nothing from readers because a topic that was lost is still being published again.

        A live generation that is ahead of the log itself, which came from a backup, is replaced.
        """
        live = 0 if self._live is None else self._live.position()
        if self.model.position() >= live:
            return
        logged = log_position()
        _catch_up(feed, self.model, self.target(feed))  # as both may grow
        reached = self.model.position()
        if reached < min(live, logged):
            raise Unavailable(
                f"`{self.projection.name}` is not swapped: it would end at event {reached}, and "
                f"what is served knows {live}; see that the relay runs, and rebuild once it has "
                "published the log again"
            )

    def compare(self) -> Outcome:
        """Return what differs between the two generations."""
        live, names = self._live, list[str]()
        if live is not None and self._comparable:
            documents, parts = live.difference()
            names = documents or [f"the table {table}" for table in parts]
        elif self._check:
            names = [
                "the live generation is missing or damaged"
                if live is None
                else "the live generation is of another release, or ahead of what can be read now"
            ]
        digest = self.model.digest() if self._check else (None, None)
        position = self.model.position()
        return Outcome(self.projection.name, position, names, not self._check, *digest)

    def close(self) -> None:
        """Close the files, and remove a generation that did not become the live one."""
        self.model.close()
        if self._live is not None:
            self._live.close()
        if self._generations.live() != self.generation:
            self._generations.discard(self.generation)


@contextmanager
def _building(projection: Projection, root: Path, board: Board, check: bool) -> Iterator[_Building]:
    generations = Generations(root, projection.name)
    with (
        generations.rebuilding(),
        closing(_Building(projection, generations, board, check)) as building,
    ):
        yield building


def stamp_of(projection: Projection, generations: Generations) -> tuple[int, int]:
    """Return the schema and renderer of the live generation, (0, 0) if it is missing or damaged."""
    meta = projection.meta(generations.folder(generations.live()))
    return (meta.schema, meta.renderer) if meta else (0, 0)


def is_built(projection: Projection, generations: Generations) -> bool:
    """Return whether the live generation has been up to date at some time."""
    meta = projection.meta(generations.folder(generations.live()))
    return meta is not None and meta.built


def _replay(feed: Feed, building: Sequence[_Building], progress: Progress) -> None:
    """Read the log once, and apply each page to every model up to its own target."""
    targets = [(one.model, one.target(feed)) for one in building]
    until = max(target for _, target in targets)
    position = 0
    while position < until and (page := feed.read(position, min(PAGE_EVENTS, until - position))):
        for model, target in targets:
            if position < target:
                model.apply(page[: target - position])
        position = page[-1].position
        progress(position, until)


def _catch_up(feed: Feed, model: Model, target: int) -> None:
    while (missing := target - model.position()) > 0:
        page = feed.read(model.position(), min(PAGE_EVENTS, missing))
        if not page:
            return
        model.apply(page)
