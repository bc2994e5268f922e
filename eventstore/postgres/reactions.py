"""The reactions in the database of the log. Its server's clock alone says when a turn is over."""

from collections.abc import Mapping, Sequence
from typing import Any

from eventsourcing.persistence import PersistenceError

from packledger.domain.errors import Unavailable
from packledger.eventstore.postgres.connections import Connections
from packledger.eventstore.reactions import Parked, ReactionState, Turn, row_of

_UNTIL = "clock_timestamp() + %(lease_s)s * interval '1 second'"
_OURS = "reaction = %(reaction)s AND fence = %(fence)s"


class PostgresReactions:
    """Two small tables, made by `migrate`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def begin(self, reaction: str, position: int) -> None:
        """Let a reaction begin behind a position; one that has begun stays where it is."""
        self._change(
            "INSERT INTO reactions VALUES (%(reaction)s, 0, %(position)s, 0, '', '-infinity')"
            " ON CONFLICT DO NOTHING",
            {"reaction": reaction, "position": position},
        )

    def take(self, reaction: str, lease_s: float) -> Turn | None:
        """Take the turn of a reaction that has begun; None while somebody else has it.

        None, too, if it was taken and the connection broke before we knew: until that lease ends.
        """
        rows = self._rows(
            "UPDATE reactions SET fence = fence + 1,"  # noqa: S608
            f" leased_until = {_UNTIL} WHERE reaction = (SELECT reaction FROM reactions"
            " WHERE reaction = %(reaction)s AND leased_until <= clock_timestamp()"
            " FOR UPDATE SKIP LOCKED)"
            " RETURNING reaction, fence, position, attempts, error",
            {"reaction": reaction, "lease_s": lease_s},
        )
        return row_of(Turn, rows[0]) if rows else None

    def renew(self, turn: Turn, lease_s: float) -> bool:
        """Keep a turn for so long from now on, 0 gives it up; return whether it was still ours."""
        return self._change(
            f"UPDATE reactions SET leased_until = {_UNTIL} WHERE {_OURS}",  # noqa: S608
            _values(turn, lease_s),
        )

    def keep(self, turn: Turn, lease_s: float) -> bool:
        """Store a turn's position, attempts and error, and renew it; return whether it was ours."""
        return self._change(
            "UPDATE reactions SET position = %(position)s, attempts = %(attempts)s,"  # noqa: S608
            f" error = %(error)s, leased_until = {_UNTIL}"
            f" WHERE {_OURS} AND position <= %(position)s",
            _values(turn, lease_s),
        )

    def park(self, turn: Turn, parked: Parked) -> bool:
        """Store an event that is given up; return whether the turn was ours."""
        return self._change(
            "INSERT INTO parked_events"  # noqa: S608
            " SELECT reaction, %(at)s::bigint, %(tried)s::bigint, %(reason)s FROM reactions"
            f" WHERE {_OURS} ON CONFLICT (reaction, position)"
            " DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason",
            {
                "reaction": turn.reaction,
                "fence": turn.fence,
                "at": parked.position,
                "tried": parked.attempts,
                "reason": parked.reason,
            },
        )

    def states(self) -> Mapping[str, ReactionState]:
        """Return how far each reaction is; none before the first has begun."""
        rows = self._rows(
            "SELECT reaction, position, attempts, error, (SELECT count(*) FROM parked_events"
            " WHERE parked_events.reaction = reactions.reaction) FROM reactions",
            {},
        )
        return {name: row_of(ReactionState, row) for name, *row in rows}

    def parked(self, reaction: str, limit: int) -> Sequence[Parked]:
        """Return the newest events that were given up, newest first."""
        rows = self._rows(
            "SELECT position, attempts, reason FROM parked_events WHERE reaction = %(reaction)s"
            " ORDER BY position DESC LIMIT %(limit)s",
            {"reaction": reaction, "limit": limit},
        )
        return [row_of(Parked, row) for row in rows]

    def _change(self, statement: str, values: Mapping[str, Any]) -> bool:
        command = statement.encode()
        try:
            changed = self._connections.run(
                lambda connection: connection.execute(command, values).rowcount
            )
        except PersistenceError as error:
            raise _unavailable("write", error) from error
        return changed == 1

    def _rows(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        command = statement.encode()
        try:
            return self._connections.run(
                lambda connection: connection.execute(command, values).fetchall()
            )
        except PersistenceError as error:
            raise _unavailable("read", error) from error


def _values(turn: Turn, lease_s: float) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(turn, name) for name in turn.__struct_fields__}
    return values | {"lease_s": lease_s}


def _unavailable(what: str, error: PersistenceError) -> Unavailable:
    return Unavailable(f"the registry cannot {what} its reactions now: {error}; try again later")
