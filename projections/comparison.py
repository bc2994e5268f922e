"""Two generations of a read model side by side: which documents differ."""

import sqlite3
from collections.abc import Iterator

from packledger.projections.read_model import Projection


def differences(
    projection: Projection, ours: sqlite3.Connection, theirs: sqlite3.Connection
) -> Iterator[str]:
    """Yield the keys of documents that are not the same, in order.

    A file that is damaged has no documents from there on.
    """
    pairs = side_by_side(projection.documents(ours), readable(projection, theirs))
    return (key for key, body, other in pairs if body != other)


def readable(projection: Projection, live: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Yield the live documents up to the first that a damaged file cannot give."""
    try:
        yield from projection.documents(live)
    except (sqlite3.DatabaseError, ValueError, TypeError, LookupError, AttributeError):
        return


def side_by_side(
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
