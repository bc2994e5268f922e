"""The reactions in the file of the log. Their tables are made by the first that begins."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from packledger.domain.errors import Unavailable
from packledger.eventstore.reactions import Parked, ReactionState, Turn, row_of
from packledger.eventstore.sqlite.append_lock import AppendLock
from packledger.eventstore.sqlite.durable import durable_connection
from packledger.eventstore.sqlite.schema import REACTIONS

_FREE = "NOT (leased_from - 5 <= :now AND :now < leased_until)"
"""A clock that was set back must not keep a turn for as long as it was ahead; a little is usual."""
_OURS = "reaction = :reaction AND fence = :fence"


class SQLiteReactions:
    """Two small tables; a connection of its own for every change. now_s: seconds since 1970."""

    def __init__(
        self, path: Path, append_lock: AppendLock, now_s: Callable[[], float] = time.time
    ) -> None:
        self._path, self._lock, self._now_s = path, append_lock, now_s

    def begin(self, reaction: str, position: int) -> None:
        """Let a reaction begin behind a position; one that has begun stays where it is."""
        with self._changing() as db:
            for table in REACTIONS:
                db.execute(table)
            db.execute(
                "INSERT INTO reactions VALUES (?, 0, ?, 0, '', 0, 0) ON CONFLICT DO NOTHING",
                (reaction, position),
            )

    def take(self, reaction: str, lease_s: float) -> Turn | None:
        """Take the turn of a reaction that has begun; None while somebody else has it."""
        with self._reading() as db:
            values = self._times(lease_s) | {"reaction": reaction}
            free = f"SELECT 1 FROM reactions WHERE reaction = :reaction AND {_FREE}"  # noqa: S608
            if db.execute(free, values).fetchone() is None:
                return None  # who looks every second need not queue with those who publish
        with self._changing() as db:
            values |= self._times(lease_s)
            taken = db.execute(
                "UPDATE reactions SET fence = fence + 1, leased_from = :now, leased_until = :until"  # noqa: S608
                f" WHERE reaction = :reaction AND {_FREE}",
                values,
            ).rowcount
            if not taken:
                return None
            return row_of(
                Turn,
                db.execute(
                    "SELECT reaction, fence, position, attempts, error FROM reactions"
                    " WHERE reaction = :reaction",
                    values,
                ).fetchone(),
            )

    def renew(self, turn: Turn, lease_s: float) -> bool:
        """Keep a turn for so long from now on, 0 gives it up; return whether it was still ours."""
        return self._change(
            "UPDATE reactions SET leased_from = :now, leased_until = :until"  # noqa: S608
            f" WHERE {_OURS}",
            turn,
            lease_s,
        )

    def keep(self, turn: Turn, lease_s: float) -> bool:
        """Store a turn's position, attempts and error, and renew it; return whether it was ours."""
        return self._change(
            "UPDATE reactions SET position = :position, attempts = :attempts, error = :error,"  # noqa: S608
            " leased_from = :now, leased_until = :until"
            f" WHERE {_OURS} AND position <= :position",
            turn,
            lease_s,
        )

    def park(self, turn: Turn, parked: Parked) -> bool:
        """Store an event that is given up; return whether the turn was ours."""
        with self._changing() as db:
            return (
                db.execute(
                    "INSERT INTO parked_events SELECT reaction, :at, :tried, :reason FROM reactions"  # noqa: S608
                    f" WHERE {_OURS} ON CONFLICT (reaction, position)"
                    " DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason",
                    {
                        "reaction": turn.reaction,
                        "fence": turn.fence,
                        "at": parked.position,
                        "tried": parked.attempts,
                        "reason": parked.reason,
                    },
                ).rowcount
                == 1
            )

    def states(self) -> Mapping[str, ReactionState]:
        """Return how far each reaction is; none before the first has begun."""
        with self._reading() as db:
            if not _begun(db):
                return {}
            rows = db.execute(
                "SELECT reaction, position, attempts, error, (SELECT count(*) FROM parked_events"
                " WHERE parked_events.reaction = reactions.reaction) FROM reactions"
            ).fetchall()
        return {str(name): row_of(ReactionState, row) for name, *row in rows}

    def parked(self, reaction: str, limit: int) -> Sequence[Parked]:
        """Return the newest events that were given up, newest first."""
        with self._reading() as db:
            if not _begun(db):
                return []
            rows = db.execute(
                "SELECT position, attempts, reason FROM parked_events WHERE reaction = ?"
                " ORDER BY position DESC LIMIT ?",
                (reaction, limit),
            ).fetchall()
        return [row_of(Parked, row) for row in rows]

    def _change(self, statement: str, turn: Turn, lease_s: float) -> bool:
        values = {name: getattr(turn, name) for name in turn.__struct_fields__}
        with self._changing() as db:
            return db.execute(statement, values | self._times(lease_s)).rowcount == 1

    def _times(self, lease_s: float) -> dict[str, object]:
        """Return now and when a lease ends; for a change it must be asked within the queue."""
        now_s = self._now_s()
        return {"now": now_s, "until": now_s + lease_s}

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection, in a durable transaction of the append queue.

        Raises:
            Unavailable: it cannot be written.
        """
        try:
            with self._lock.held(), durable_connection(self._path) as db:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the registry cannot write its reactions now; try again later: {error}"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with durable_connection(self._path) as db:
                yield db
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the registry cannot read its reactions now; try again later: {error}"
            ) from error


def _begun(db: sqlite3.Connection) -> bool:
    """Return whether a reaction has begun, and so made the tables."""
    made = "SELECT 1 FROM sqlite_master WHERE name = 'reactions'"
    return db.execute(made).fetchone() is not None
