"""Replay the log into a new generation of a read model, compare, and swap, while others serve."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from packledger.feeds.feed import Feed
from packledger.projections.board import RUNNING, Board
from packledger.projections.generation import Generations
from packledger.projections.read_model import Projection, ReadModel

PAGE_EVENTS = 2_000
KEEP_ROWS = 20_000
"""Head rows kept in memory before they are written: about 1 KB each."""
CATCH_UP_EVENTS = 200
"""A rebuild closes the last distance with the lock held, once it is this short."""

Progress = Callable[[int, int], None]
"""Called with (position reached, position wanted)."""


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


class Outcome(msgspec.Struct, frozen=True):
    """What a rebuild found. differences: keys whose bytes were not those of the live generation."""

    projection: str
    position: int
    documents: int
    digest: str
    differences: list[str]
    swapped: bool


def rebuild(
    feed: Feed,
    projection: Projection,
    root: Path,
    board: Board,
    *,
    check: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Replay everything into a new generation and make it the live one; with `check`, only compare.

    The live generation goes on being served and written meanwhile. Both are compared at one
    position: the lock is held only to bring the new one there and to begin reading the old one.

    Raises:
        Gap: the feed is not the whole log.
    """
    generations = Generations(root, projection.name)
    with generations.rebuilding():
        generation = generations.prepare()
        model = ReadModel(generations.model(generation), projection)
        live = _open_live(generations)
        try:
            _replay(feed, model, progress, _target(feed, live, check) - CATCH_UP_EVENTS)
            with generations.locked():
                _catch_up(feed, model, _target(feed, live, check))
                comparable = _begin_reading(live, model)
                if not check:
                    model.set_built()
                    generations.swap(generation)
                    board.set_position(projection.name, model.position())
                    board.set_generation(projection.name, generation)
                    board.set_state(projection.name, RUNNING)
            return _compare(projection, model, live, comparable, swapped=not check)
        finally:
            model.close()
            if live is not None:
                live.close()
            if generations.live() != generation:
                generations.discard(generation)


def _open_live(generations: Generations) -> sqlite3.Connection | None:
    """Return a connection to the live generation, None if there is none or it is damaged."""
    path = generations.model(generations.live())
    if not path.exists():
        return None
    live = sqlite3.connect(path, isolation_level=None)
    try:
        _meta(live)
    except sqlite3.DatabaseError:
        live.close()
        return None
    return live


def stamp_of(generations: Generations) -> tuple[int, int]:
    """Return the schema and renderer of the live generation, (0, 0) if it is missing or damaged."""
    live = _open_live(generations)
    if live is None:
        return 0, 0
    meta = _meta(live)
    live.close()
    return meta["schema"], meta["renderer"]


def _meta(db: sqlite3.Connection) -> dict[str, int]:
    return dict(db.execute("SELECT key, value FROM meta"))


def _target(feed: Feed, live: sqlite3.Connection | None, check: bool) -> int:
    return _meta(live)["position"] if check and live is not None else feed.last_position()


def _replay(feed: Feed, model: ReadModel, progress: Progress, until: int) -> None:
    position = model.position()
    while position < until and (page := feed.read(position, min(PAGE_EVENTS, until - position))):
        position = model.apply(page, keep_rows=KEEP_ROWS)
        progress(position, until)
    model.flush()


def _catch_up(feed: Feed, model: ReadModel, target: int) -> None:
    while (missing := target - model.position()) > 0:
        page = feed.read(model.position(), min(PAGE_EVENTS, missing))
        if not page:
            return
        model.apply(page)


def _begin_reading(live: sqlite3.Connection | None, model: ReadModel) -> bool:
    """Begin a read transaction on the live generation; return whether the two should be equal."""
    if live is None:
        return False
    live.execute("BEGIN")
    meta = _meta(live)
    stamp = (meta["schema"], meta["renderer"])
    return meta["position"] == model.position() and stamp == model.stamp()


def _compare(
    projection: Projection,
    model: ReadModel,
    live: sqlite3.Connection | None,
    comparable: bool,
    *,
    swapped: bool,
) -> Outcome:
    """Walk both generations in order of their keys and list what differs."""
    ours = projection.documents(model.db)
    theirs = _readable(projection, live) if live is not None and comparable else iter(())
    differences: list[str] = []
    if live is None and not swapped:
        differences.append("the live generation is missing or damaged")
    digest = hashlib.sha256()
    count = 0
    for key, body, other in _side_by_side(ours, theirs):
        if body is not None:
            count += 1
            digest.update(hashlib.sha256(key.encode() + b"\0" + body).digest())
        if comparable and body != other:
            differences.append(key)
    return Outcome(
        projection.name, model.position(), count, digest.hexdigest(), differences, swapped
    )


def _readable(projection: Projection, live: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Yield the live documents up to the first that a damaged file cannot give."""
    try:
        yield from projection.documents(live)
    except (sqlite3.DatabaseError, ValueError, TypeError):
        return


def _side_by_side(
    ours: Iterator[tuple[str, bytes]], theirs: Iterator[tuple[str, bytes]]
) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """Merge two key-ordered streams into (key, ours, theirs), None where one lacks the key."""
    left, right = next(ours, None), next(theirs, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield left[0], left[1], None
            left = next(ours, None)
        elif left is None or right[0] < left[0]:
            yield right[0], None, right[1]
            right = next(theirs, None)
        else:
            yield left[0], left[1], right[1]
            left, right = next(ours, None), next(theirs, None)
