"""Compare read models with a replay of the log, row by row, while they are served and written.

A replay is kept in a file of its own up to the very position that the live model had when it was
looked at. SQLite compares the rows; only where they differ are documents looked at, to name them.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice
from pathlib import Path

from packledger.audit.checks.faults import EVERYBODY, RESTORE, Fault
from packledger.audit.checks.leaves import ReadableLog
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import UnknownEvent
from packledger.projections.catalogue import row_of
from packledger.projections.comparison import (
    differences,
    indexes_that_differ,
    open_beside,
    tables_that_differ,
)
from packledger.projections.damage import damage_of, open_live
from packledger.projections.generation import Generations
from packledger.projections.read_model import Projection, ReadModel
from packledger.projections.rebuild import PAGE_EVENTS
from packledger.projections.static_tree.fold import STATIC_TREE

SHOWN_KEYS = 5
FTS5_INDEX = ("data", "idx", "docsize", "config")
"""The tables of a full-text index, behind its name. Source: https://www.sqlite.org/fts5.html"""
_OTHER_RELEASE = "is of another release"
Progress = Callable[[int, int], None]
"""Called with (position reached, position wanted)."""


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
    model = generations.model(generations.live())
    if not generations.live() or not model.exists():
        return "it is missing", 0
    damage = damage_of(model, sys.maxsize) or _foreign(model, kind)
    if damage:
        return damage, 0
    with closing(open_live(model)) as db:
        position = db.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()[0]
    return "", int(position)


def _foreign(model: Path, kind: Projection) -> str:
    """Return how a file's tables are not those of a projection, empty when they are."""
    with closing(open_live(model)) as db, closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(f"{kind.tables};{kind.indexes}")
        try:
            meta = dict(db.execute("SELECT key, value FROM meta"))
            missing = _tables(ours) - _tables(db)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            return str(error)
    if not all(isinstance(value, int) for value in meta.values()):
        return "its position is no number"
    if (meta.get("schema"), meta.get("renderer")) != (kind.schema, kind.renderer):
        return _OTHER_RELEASE
    return f"it lacks {', '.join(sorted(name for name, _ in missing))}" if missing else ""


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


def _tables(db: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(db.execute("SELECT name, coalesce(sql, '') FROM sqlite_master"))


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
        self.projection, self._path, self._error = projection, scratch / projection.name, ""
        generations = Generations(root, projection.name)
        self._live = open_beside(generations.model(generations.live()), self._path)
        self._live.execute("BEGIN")
        found = "SELECT value FROM main.meta WHERE key = 'position'"
        self.position = int(self._live.execute(found).fetchone()[0])
        self._model = ReadModel(self._path, projection, private=True)

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
        if self._error:
            return self._error
        where = f"differs from a replay up to position {self.position}"
        tables = []
        if self.projection.name != STATIC_TREE:  # it keeps what is about to be written, too
            tables = tables_that_differ(self._live)
            if not tables:
                return self._damage_of_indexes()
        keys = differences(self.projection, self._model.db, self._live)
        shown = list(islice(keys, SHOWN_KEYS))
        if shown:
            count = len(shown) + sum(1 for _ in keys)
            more = ", …" if count > SHOWN_KEYS else ""
            return f"{where} in {count} documents: {', '.join(shown)}{more}"
        return f"{where} in the tables {', '.join(tables)}" if tables else ""

    def close(self) -> None:
        """Forget the replay."""
        self._model.close()
        self._live.close()

    def _damage_of_indexes(self) -> str:
        """Return what is wrong with the indexes, whose tables are right; empty when nothing is."""
        damage = "ok"
        if indexes_that_differ(self._live):
            (damage,) = self._live.execute("PRAGMA main.integrity_check(1)").fetchone()
        broken = self._broken_texts() if damage == "ok" else []
        if broken:
            damage = f"the full-text index of {', '.join(broken)} does not fit it"
        return "" if damage == "ok" else f"is damaged: {damage}"

    def _broken_texts(self) -> list[str]:
        """Return the full-text indexes that do not fit the texts, which are those of the replay.

        It gets them, since the check writes.
        Source: https://www.sqlite.org/fts5.html#the_integrity_check_command
        """
        listed = self._model.db.execute("PRAGMA table_list")
        names = [name for _, name, kind, *_ in listed if kind == "virtual"]
        for table in (f"{name}_{part}" for name in names for part in FTS5_INDEX):
            self._live.execute(f"DELETE FROM replay.{table}")  # noqa: S608 - our own names
            self._live.execute(f"INSERT INTO replay.{table} SELECT * FROM main.{table}")  # noqa: S608
        self._live.execute("COMMIT")
        broken = []
        with closing(sqlite3.connect(self._path)) as copy:
            for name in names:
                try:
                    copy.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")  # noqa: S608
                except sqlite3.DatabaseError:
                    broken.append(name)
        return broken
