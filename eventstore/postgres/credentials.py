"""The credentials in the database of the log."""

from eventsourcing.persistence import PersistenceError

from packledger.domain.errors import Unavailable
from packledger.eventstore.postgres.connections import Connections


class PostgresCredentials:
    """Four small tables, made by `migrate`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def change(self, statement: str, *values: str) -> int:
        """Run one durable statement and return how many rows it changed."""
        command = statement.replace("?", "%s").encode()
        try:
            return self._connections.run(
                lambda connection: connection.execute(command, values).rowcount
            )
        except PersistenceError as error:
            raise Unavailable(
                f"the registry cannot write its accounts now: {error}; try again later"
            ) from error

    def one(self, statement: str, *values: str) -> tuple[str, ...] | None:
        """Return the first row."""
        if any("\0" in value for value in values):
            return None  # PostgreSQL's text cannot hold it, so no row does
        command = statement.replace("?", "%s").encode()
        try:
            return self._connections.run(
                lambda connection: connection.execute(command, values).fetchone()
            )
        except PersistenceError as error:
            raise Unavailable(
                f"the registry cannot read its accounts now: {error}; try again later"
            ) from error
