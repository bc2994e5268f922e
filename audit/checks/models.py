"""Compare read models with a replay of the log, row by row, while they are served and written.

A replay is kept in a file of its own up to the very position that the live model had when it was
looked at. SQLite compares the rows; only where they differ are documents looked at, to name them.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from packledger.audit.checks.faults import EVERYBODY, RESTORE, Fault
from packledger.audit.checks.leaves import ReadableLog
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import UnknownEvent
from packledger.feeds.progress import Progress
from packledger.projections.catalogue import row_of
from packledger.projections.generation import Generations
from packledger.projections.projection import Projection
from packledger.projections.rebuild import PAGE_EVENTS

SHOWN_KEYS = 5
_OTHER_RELEASE = "is of another release"


def look_at(root: Path, kinds: Sequence[Projection], last_position: int) -> Iterator[Fault]:
    """Yield which read models are missing or broken as files; the others may be compared.

    One that is ahead of the log is damaged; if all are, the log is.
    """
    ahead = []
    # SQLite lets go of the interpreter while it checks a file.
    with ThreadPoolExecutor(len(kinds), thread_name_prefix="look") as pool:
        looked = list(pool.map(partial(_look, root), kinds))
    for kind, (damage, position) in zip(kinds, looked, strict=True):
        if damage == _OTHER_RELEASE:
            yield _of_another_release(kind.name)
        elif damage:
            yield fault_of(kind.name, f"is damaged: {damage}")
        elif position > last_position:
            ahead.append(kind.name)
    if len(ahead) == len(kinds):
        what = f"the event store ends at position {last_position}, every read model is ahead of it"
        yield Fault(f"{what}: it lost events", EVERYBODY, RESTORE)
        return
    for name in ahead:
        yield fault_of(name, "is damaged: it is ahead of the log")


def _look(root: Path, kind: Projection) -> tuple[str, int]:
    """Return what is wrong with a read model as a file, empty when nothing is, and its position."""
    generations = Generations(root, kind.name)
    live = generations.live()
    if not live:
        return "it is missing", 0
    folder = generations.folder(live)
    damage, meta = kind.damage(folder), kind.meta(folder)
    if damage or meta is None:
        return damage or "it cannot be read", 0
    if (meta.schema, meta.renderer) != (kind.schema, kind.renderer):
        return _OTHER_RELEASE, 0
    return kind.lacks(folder), meta.position


def _of_another_release(name: str) -> Fault:
    """Return what is said before the first `serve` of a release that renders otherwise.

    A fault all the same, with exit 1: it was not compared with the log, and a flipped bit of the
    release that is written in the file would look no different.
    """
    return Fault(
        f"the read model `{name}` {_OTHER_RELEASE}: it was not looked at; `packledger serve` "
        "builds it anew when it starts",
        "nobody: what is served is what that release made of the log",
        _mend(name),
    )


def _mend(name: str) -> str:
    return f"packledger rebuild {name}"


def fault_of(name: str, what: str) -> Fault:
    """Return the fault of a read model."""
    return Fault(f"the read model `{name}` {what}", row_of(name).affects, _mend(name))


class Replays:
    """Read models as they are now, each beside its replay. scratch: an empty folder."""

    def __init__(self, projections: Sequence[Projection], root: Path, scratch: Path) -> None:
        with ExitStack() as stack:
            self._pairs = [
                stack.enter_context(closing(_Pair(projection, root, scratch)))
                for projection in projections
            ]
            self._opened = stack.pop_all()
        self._until = max((pair.position for pair in self._pairs), default=0)
        self._position = 0

    def follow(self, page: Sequence[Recorded]) -> None:
        """Apply the events that come next in the log."""
        for pair in self._pairs:
            pair.apply(page[: max(0, pair.position - self._position)])
        self._position = page[-1].position

    def faults(self, log: ReadableLog, progress: Progress) -> Iterator[Fault]:
        """Follow the log to its end; yield the read models that are not what it gives."""
        try:
            while self._position < self._until:
                limit = min(PAGE_EVENTS, self._until - self._position)
                page = log.read(self._position, limit)
                if not page:
                    break
                self.follow(page)
                progress(self._position, self._until)
        except (DamagedLog, UnknownEvent) as error:
            names = ", ".join(f"`{pair.projection.name}`" for pair in self._pairs)
            yield Fault(
                f"the read models {names} cannot be compared: {error}",
                "nobody as long as they stay as they are",
                "mend the event store before, and verify again",
            )
            return
        for pair in self._pairs:
            try:
                what = pair.difference()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                what = f"cannot be read: {error}"
            if what:
                yield fault_of(pair.projection.name, what)

    def close(self) -> None:
        """Forget the replays."""
        self._opened.close()


class _Pair:
    """A live read model as it was at one moment, and its replay. position: of that moment."""

    def __init__(self, projection: Projection, root: Path, scratch: Path) -> None:
        self.projection, self._error = projection, ""
        generations, folder = Generations(root, projection.name), scratch / projection.name
        folder.mkdir()
        self._model = projection.open(folder, private=True)
        self._live = self._model.beside(generations.folder(generations.live()))
        self.position = 0
        if self._live is None:
            self._error = "is missing or damaged"
        else:
            self._live.begin()
            self.position = self._live.position()

    def apply(self, page: Sequence[Recorded]) -> None:
        """Apply a page, if the log can be applied at all."""
        if page:
            self._attempt(partial(self._model.apply, page))

    def _attempt(self, step: Callable[[], object]) -> None:
        if self._error:
            return
        try:
            step()
        except (DamagedLog, UnknownEvent):
            raise
        except Exception as error:
            self._error = f"cannot be built from the log: {type(error).__name__} {error}"

    def difference(self) -> str:
        """Return what differs, empty when nothing does."""
        self._attempt(self._model.end)
        if self._error or self._live is None:
            return self._error
        documents, parts = self._live.difference()
        where = f"differs from a replay up to position {self.position}"
        if documents:
            more = ", …" if len(documents) > SHOWN_KEYS else ""
            shown = ", ".join(documents[:SHOWN_KEYS])
            return f"{where} in {len(documents)} documents: {shown}{more}"
        return f"{where} in the tables {', '.join(parts)}" if parts else self._live.damage()

    def close(self) -> None:
        """Forget the replay."""
        self._model.close()
        if self._live is not None:
            self._live.close()
