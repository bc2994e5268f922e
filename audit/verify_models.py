"""Compare read models with a replay of the log, row by row, while they are served and written.

A replay is kept in a file of its own up to the very position that the live model had when it was
looked at. Rows are compared by the sum of their hashes, which costs a fourth of putting documents
together; only where that differs are documents looked at, to name them.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

from packledger.audit.faults import EVERYBODY, RESTORE, Fault
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.mapper import UnknownEvent
from packledger.feeds.feed import Feed
from packledger.projections.board import STATIC_TREE
from packledger.projections.comparison import differences
from packledger.projections.damage import damage_of, open_live
from packledger.projections.generation import Generations
from packledger.projections.read_model import Projection, ReadModel

PAGE_EVENTS = 2_000
SHOWN_KEYS = 5
AFFECTS = {
    "sparse-index": "cargo: which versions there are, and their digests",
    "packuments": "npm, pnpm, yarn and bun: which versions there are, and their digests",
    "search": "what a search finds",
    "accounts": "who may log in and publish",
    "pages": "what people read about packages",
    "log-tiles": "auditors, receipts, and views of the past",
    STATIC_TREE: "what nginx answers with in our place",
}
Progress = Callable[[int, int], None]
"""Called with (position reached, position wanted)."""


def look_at(root: Path, kinds: Sequence[Projection], last_position: int) -> Iterator[Fault]:
    """Yield which read models are missing or broken as files; the others may be compared.

    One that is ahead of the log is damaged; if all are, the log is.
    """
    ahead = []
    for kind in kinds:
        generations = Generations(root, kind.name)
        live = generations.live()
        damage = "it is missing"
        if live and generations.model(live).exists():
            model = generations.model(live)
            damage = damage_of(model, sys.maxsize, every_index=True) or _foreign(model, kind)
            if not damage and _position(model) > last_position:
                ahead.append(kind.name)
        if damage:
            yield fault_of(kind.name, f"is damaged: {damage}")
    if len(ahead) == len(kinds):
        what = f"the event store ends at position {last_position}, every read model is ahead of it"
        yield Fault(f"{what}: it lost events", EVERYBODY, RESTORE)
        return
    for name in ahead:
        yield fault_of(name, "is damaged: it is ahead of the log")


def _position(model: Path) -> int:
    with closing(open_live(model)) as db:
        return int(db.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()[0])


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
        return "it is of another release"
    return f"it lacks {', '.join(sorted(name for name, _ in missing))}" if missing else ""


def _tables(db: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(db.execute("SELECT name, coalesce(sql, '') FROM sqlite_master"))


def fault_of(name: str, what: str) -> Fault:
    """Return the fault of a read model."""
    return Fault(f"the read model `{name}` {what}", AFFECTS[name], f"packledger rebuild {name}")


def verify_models(
    feed: Feed, projections: Sequence[Projection], root: Path, scratch: Path, progress: Progress
) -> Iterator[Fault]:
    """Yield the read models that are not what the log gives. scratch: an empty folder."""
    with ExitStack() as stack:
        pairs = []
        for projection in projections:
            live = stack.enter_context(closing(_live(root, projection.name)))
            pairs.append(stack.enter_context(closing(_Pair(projection, live, scratch))))
        try:
            _replay(feed, pairs, progress)
        except (DamagedLog, UnknownEvent) as error:
            names = ", ".join(f"`{pair.projection.name}`" for pair in pairs)
            yield Fault(
                f"the read models {names} cannot be compared: {error}",
                "nobody as long as they stay as they are",
                "mend the event store before, and verify again",
            )
            return
        for pair in pairs:
            try:
                what = pair.difference()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                what = f"cannot be read: {error}"
            if what:
                yield fault_of(pair.projection.name, what)


def _replay(feed: Feed, pairs: Sequence["_Pair"], progress: Progress) -> None:
    until = max((pair.position for pair in pairs), default=0)
    position = 0
    while position < until and (page := feed.read(position, min(PAGE_EVENTS, until - position))):
        for pair in pairs:
            pair.apply(page[: max(0, pair.position - position)])
        position = page[-1].position
        progress(position, until)


class _Pair:
    """A live read model as it was at one moment, and its replay. position: of that moment."""

    def __init__(self, projection: Projection, live: sqlite3.Connection, scratch: Path) -> None:
        self.projection, self._live, self._error = projection, live, ""
        self._scratch = scratch
        live.execute("BEGIN")
        found = "SELECT value FROM meta WHERE key = 'position'"
        self.position = int(live.execute(found).fetchone()[0])
        path = scratch / f"{projection.name}.sqlite"
        self._model = ReadModel(path, projection, private=True)
        path.unlink()  # so that nothing is left, however this ends

    def apply(self, page: Sequence[object]) -> None:
        """Apply a page, if the log can be applied at all."""
        if not page or self._error:
            return
        try:
            self._model.apply(page)  # type: ignore[arg-type]
        except (DamagedLog, UnknownEvent):
            raise
        except Exception as error:
            self._error = f"cannot be built from the log: {type(error).__name__} {error}"

    def difference(self) -> str:
        """Return what differs, empty when nothing does."""
        if self._error:
            return self._error
        self._model.end()
        where = f"differs from a replay up to position {self.position}"
        tables = []
        if self.projection.name != STATIC_TREE:  # it keeps what is about to be written, too
            tables = _tables_that_differ(self._model.db, self._live, self._scratch)
            if not tables:
                return ""
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


def _live(root: Path, name: str) -> sqlite3.Connection:
    generations = Generations(root, name)
    return open_live(generations.model(generations.live()))


def _tables_that_differ(
    ours: sqlite3.Connection, theirs: sqlite3.Connection, scratch: Path
) -> list[str]:
    """Return the tables whose rows are not the same, in whatever order, and broken indexes."""
    kinds = {name: kind for schema, name, kind, *_ in _listed(ours) if schema == "main"}
    full_text = [name for name, kind in kinds.items() if kind == "virtual"]
    rows = [name for name, kind in kinds.items() if kind == "table" and name[:7] != "sqlite_"]
    sources = {name: f"main.{name}" for name in rows if name != "meta"}
    # The ids of texts are those of other tables' rows.
    sources |= {name: f"(SELECT rowid, * FROM main.{name})" for name in full_text}  # noqa: S608
    wrong = [name for name, one in sources.items() if _sum_of(ours, one) != _sum_of(theirs, one)]
    return wrong or (_broken_indexes(theirs, full_text, scratch) if full_text else [])


def _listed(db: sqlite3.Connection) -> list[tuple[str, ...]]:
    return db.execute("PRAGMA table_list").fetchall()


def _sum_of(db: sqlite3.Connection, source: str) -> int | None:
    """Return a sum over the rows of a table or query, None if they cannot be read.

    Python's hashes of texts and bytes are keyed anew in every process.
    """
    try:
        return sum(map(hash, db.execute(f"SELECT * FROM {source}")))  # noqa: S608 - our own tables
    except (sqlite3.DatabaseError, ValueError):
        return None


def _broken_indexes(live: sqlite3.Connection, names: Sequence[str], scratch: Path) -> list[str]:
    """Return the full-text indexes that do not fit the texts, of a copy: it takes the write lock.

    Source: https://www.sqlite.org/fts5.html#the_integrity_check_command
    """
    broken = []
    with closing(sqlite3.connect(scratch / "copy.sqlite")) as copy:
        live.backup(copy)
        for name in names:
            try:
                copy.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")  # noqa: S608
            except sqlite3.DatabaseError:
                broken.append(name)
    return broken
