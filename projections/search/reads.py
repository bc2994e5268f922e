"""Ask what `search.py` has folded: the one engine behind cargo, npm and the pages.

A name that is the query comes first, then names that begin with it, then names that hold its words;
among equals relevance (bm25, the name weighing most), downloads and freshness decide, the latter by
the log's own newest time and not by the clock, so that every node answers the same. When nothing
matches, names within a slip or two are offered, the nearest first.

A search has a budget of processor time. One that needs more, which takes a hundred thousand matches
or a hostile mind, is answered with the names that begin with what was typed.
Source: https://www.sqlite.org/fts5.html
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager

import msgspec

from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import TooMany
from packledger.projections.search.fold import fold_name
from packledger.projections.search.form import Summary
from packledger.projections.search.query import (
    MAX_MISSPELT,
    Query,
    close_enough,
    parse_query,
    phrase_of,
    slips,
)

CANDIDATES = 300
"""Names that share letters with a misspelt one, looked at closely."""
MAX_MEANT = 50
BUDGET_S = 1.0
"""Processor time of a search; the slowest ordinary one takes 60 ms where there are 30,000 names."""
LOOK_EVERY = 20_000
"""Steps of SQLite's machine between two looks at the clock: about 2 ms."""

_decode_summary = msgspec.json.Decoder(Summary).decode
_decode_owners = msgspec.json.Decoder(list[str]).decode


class Found(msgspec.Struct, frozen=True):
    """One hit."""

    ecosystem: str
    name: str
    owners: list[str]
    summary: Summary
    downloads: int


def search(
    db: sqlite3.Connection,
    ecosystem: str,
    text: str,
    limit: int,
    offset: int = 0,
    budget_s: float = BUDGET_S,
) -> tuple[list[Found], int]:
    """Return one page of hits and the true total.

    ecosystem: `cargo`, `npm`, or empty for both; text: anything a user types, see `parse_query`.

    Raises:
        TooMany: not even the names that begin with the text were found in time.
    """
    try:
        with _bounded(db, budget_s):
            return _search(db, ecosystem, parse_query(text), limit, offset)
    except _OutOfTime:
        pass
    try:
        with _bounded(db, BUDGET_S):
            return _beginning(db, ecosystem, parse_query(text), limit, offset)
    except _OutOfTime:
        raise TooMany("the search takes too long", 5) from None


class _OutOfTime(Exception):
    pass


@contextmanager
def _bounded(db: sqlite3.Connection, budget_s: float) -> Iterator[None]:
    """Have SQLite give up after some processor time of this thread."""
    end_s = time.thread_time() + budget_s
    db.set_progress_handler(lambda: time.thread_time() > end_s, LOOK_EVERY)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise _OutOfTime from error
    finally:
        db.set_progress_handler(None, 0)


def _search(
    db: sqlite3.Connection, ecosystem: str, query: Query, limit: int, offset: int
) -> tuple[list[Found], int]:
    conditions, values = _filters(ecosystem, query)
    if not query.words:
        order = "popularity DESC, found.name"
        return _page(db, "found", conditions, values, order, [], limit, offset)
    order, ordering = _ranking(query)
    words = ["words MATCH ?", *conditions]
    # CROSS: SQLite would rather look into the words of each name of an ecosystem.
    source = "words CROSS JOIN found ON found.id = words.rowid"
    found = [phrase_of(query.words), *values]
    hits, total = _page(db, source, words, found, order, ordering, limit, offset)
    if total:
        return hits, total
    meant = _meant(db, query)
    fewest = min(meant.values(), default=0)
    nearest = [rowid for rowid, count in meant.items() if count == fewest]
    order = f"found.id NOT IN ({_marks(nearest)}), popularity DESC, found.name"
    conditions = [f"found.id IN ({_marks(meant)})", *conditions]
    return _page(db, "found", conditions, [*meant, *values], order, nearest, limit, offset)


def _beginning(
    db: sqlite3.Connection, ecosystem: str, query: Query, limit: int, offset: int
) -> tuple[list[Found], int]:
    """Return names that begin with a text; found by an index, whatever else there is."""
    begin = query.text.strip()
    conditions = ["found.ecosystem IN (?, ?)", "found.name >= ?", "found.name < ?"]
    values = [*([ecosystem] * 2 if ecosystem else [CARGO, NPM]), begin, f"{begin}\U0010ffff"]
    return _page(db, "found", conditions, values, "found.name", [], limit, offset)


def _marks(values: Sized) -> str:
    return ",".join("?" * len(values))


_WITH_KEYWORD = (
    "(SELECT one.id FROM words CROSS JOIN found AS one ON one.id = words.rowid WHERE words MATCH ?"
    " AND EXISTS (SELECT 1 FROM json_each(one.summary, '$.keywords') WHERE lower(value) = ?))"
)
"""The index of words finds few candidates; of those the whole keyword must be the one asked for."""


def _column_phrase(keyword: str) -> str:
    return 'keywords : "' + keyword.replace('"', '""') + '"'


def _filters(ecosystem: str, query: Query) -> tuple[list[str], list[str | int]]:
    """Return what the qualifiers ask for, as conditions and their values."""
    conditions: list[str] = []
    values: list[str | int] = []
    if ecosystem:
        conditions.append("found.ecosystem = ?")
        values.append(ecosystem)
    if query.scope:
        conditions.append("found.scope = ?")
        values.append(query.scope)
    if query.unstable is not None:
        conditions.append("found.unstable = ?")
        values.append(int(query.unstable))
    if query.people:
        marks = ",".join("?" * len(query.people))
        conditions.append(
            f"(summary ->> 'by' IN ({marks}) OR EXISTS (SELECT 1 FROM json_each(owners)"  # noqa: S608
            f" WHERE value IN ({marks})))"
        )
        values += [*query.people, *query.people]
    for keyword in query.keywords:
        conditions.append(f"found.id IN {_WITH_KEYWORD}")
        values += [_column_phrase(keyword), keyword]
    for keyword in query.without_keywords:
        conditions.append(f"found.id NOT IN {_WITH_KEYWORD}")
        values += [_column_phrase(keyword), keyword]
    return conditions, values


def _ranking(query: Query) -> tuple[str, list[str]]:
    """Return the order of matches and its values.

    bm25 is negative, better is less, and usually between -15 and 0; 1,000 downloads are worth 5, a
    version of today 2, one of half a year ago 1.
    """
    exact = fold_name(query.text.strip())
    tier = (
        "CASE WHEN found.folded = ? THEN 0 WHEN found.folded = '@' || found.scope || '/' || ?"
        " THEN 1 WHEN substr(found.folded, 1, length(?)) = ? THEN 2 ELSE 3 END"
    )
    if not query.boost_exact:
        tier = "? = ? AND ? = ?"
    age_days = "max(0, julianday((SELECT at FROM newest)) - julianday(found.date))"
    score = (
        f"bm25(words, 10.0, 4.0, 1.0) - 0.5 * coalesce(popularity, 0) - 2 / (1 + {age_days} / 180)"
    )
    return f"{tier}, {score}, found.name", [exact] * 4


def _page(  # noqa: PLR0913, PLR0917 - one statement in its parts
    db: sqlite3.Connection,
    source: str,
    conditions: Sequence[str],
    values: Sequence[str | int],
    order: str,
    ordering: Sequence[str | int],
    limit: int,
    offset: int,
) -> tuple[list[Found], int]:
    where = " AND ".join(conditions) or "1"
    total = db.execute(f"SELECT count(*) FROM {source} WHERE {where}", values).fetchone()[0]  # noqa: S608
    if offset >= total or not limit:
        return [], total
    rows = db.execute(
        f"SELECT ecosystem, found.name, owners, summary, coalesce(total, 0) FROM {source}"  # noqa: S608
        " LEFT JOIN downloads ON downloads.key = ecosystem || ':' || found.name"
        f" WHERE {where} ORDER BY {order}, ecosystem LIMIT ? OFFSET ?",
        [*values, *ordering, limit, offset],
    )
    hits = [
        Found(ecosystem, name, _decode_owners(owners), _decode_summary(summary), downloads)
        for ecosystem, name, owners, summary, downloads in rows
    ]
    return hits, total


def _meant(db: sqlite3.Connection, query: Query) -> dict[int, int]:
    """Return the ids of names that a misspelt query may mean, with the slips between them.

    They share three letters in a row.
    """
    typed = fold_name(query.text.strip())
    parts = {typed[start : start + 3] for start in range(len(typed) - 2)}
    if not parts or len(typed) > MAX_MISSPELT:
        return {}
    match = " OR ".join('"' + part.replace('"', '""') + '"' for part in sorted(parts))
    rows = db.execute(
        "SELECT rowid, folded FROM names WHERE names MATCH ? ORDER BY rank, rowid LIMIT ?",
        (match, CANDIDATES),
    )
    meant: dict[int, int] = {}
    for rowid, name in rows:
        spelt = [one for one in (name, name.rpartition("/")[2]) if close_enough(typed, one)]
        if spelt and len(meant) < MAX_MEANT:
            meant[rowid] = min(slips(typed, one) for one in spelt)
    return meant
