"""Ask what `search.py` has folded: the one engine behind cargo, npm and the pages.

A name that is the query comes first, then names that begin with it, then names that hold its words;
among equals relevance (bm25, the name weighing most), downloads and freshness decide, the latter by
the log's own newest time and not by the clock, so that every node answers the same. When nothing
matches, names within a slip or two are offered, the nearest first. Source: https://www.sqlite.org/fts5.html
"""

import sqlite3
from collections.abc import Sequence, Sized

import msgspec

from packledger.projections.search import fold_name
from packledger.projections.search_query import Query, close_enough, parse_query, slips
from packledger.projections.search_summary import Summary

CANDIDATES = 300
"""Names that share letters with a misspelt one, looked at closely."""
MAX_MEANT = 50

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
    db: sqlite3.Connection, ecosystem: str, text: str, limit: int, offset: int = 0
) -> tuple[list[Found], int]:
    """Return one page of hits and the true total.

    ecosystem: `cargo`, `npm`, or empty for both; text: anything a user types, see `parse_query`.
    """
    query = parse_query(text)
    conditions, values = _filters(ecosystem, query)
    if not query.words:
        order = "popularity DESC, found.name"
        return _page(db, "found", conditions, values, order, [], limit, offset)
    match = " ".join(f'"{word}"*' for word in query.words)
    order, ordering = _ranking(query)
    words = ["words MATCH ?", *conditions]
    source = "words JOIN found ON found.id = words.rowid"
    hits, total = _page(db, source, words, [match, *values], order, ordering, limit, offset)
    if total:
        return hits, total
    meant = _meant(db, query)
    fewest = min(meant.values(), default=0)
    nearest = [rowid for rowid, count in meant.items() if count == fewest]
    order = f"found.id NOT IN ({_marks(nearest)}), popularity DESC, found.name"
    conditions = [f"found.id IN ({_marks(meant)})", *conditions]
    return _page(db, "found", conditions, [*meant, *values], order, nearest, limit, offset)


def _marks(values: Sized) -> str:
    return ",".join("?" * len(values))


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
    has = "EXISTS (SELECT 1 FROM json_each(summary, '$.keywords') WHERE lower(value) = ?)"
    conditions += [has] * len(query.keywords) + [f"NOT {has}"] * len(query.without_keywords)
    values += [*query.keywords, *query.without_keywords]
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
    if not parts:
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
