"""The schema in PostgreSQL: made once by `migrate`, which alone creates anything."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

from packledger.domain.errors import Unavailable, WrongSchema
from packledger.eventstore.postgres.connections import Connection, closed_on_error, connect
from packledger.eventstore.postgres.errors import reason

CHANNEL = "packledger_appended"
"""Of NOTIFY; `append_events` names it."""

_ADVISORY_LOCK = 0x7061636B6C656467  # "packledg"

_FIRST = (
    "CREATE TABLE stored_events (position bigint PRIMARY KEY, originator_id uuid NOT NULL,"
    " originator_version bigint NOT NULL, topic text NOT NULL, state bytea NOT NULL,"
    " UNIQUE (originator_id, originator_version))",
    "CREATE TABLE stored_snapshots (originator_id uuid, originator_version bigint,"
    " topic text NOT NULL, state bytea NOT NULL,"
    " PRIMARY KEY (originator_id, originator_version))",
    "CREATE TABLE credentials (account text PRIMARY KEY, password_hash text NOT NULL,"
    " email text NOT NULL)",
    "CREATE TABLE setup (id integer PRIMARY KEY, code_sha256 text)",
    "CREATE TABLE signing_keys (keyid text PRIMARY KEY, private_key text NOT NULL)",
    "CREATE TABLE log_checkpoint (log text PRIMARY KEY, number text NOT NULL,"
    " signed text NOT NULL, published text NOT NULL, vkey text NOT NULL, refusal text NOT NULL)",
    # Always empty. Appends queue for its lock and not for that of the events, which VACUUM,
    # ANALYZE and CREATE INDEX CONCURRENTLY hold for as long as they take.
    "CREATE TABLE append_order ()",
    # Who has the lock sees every earlier append, so max + 1 leaves no gap; and the lock is given
    # back after the commit is visible, so that nobody sees a later position before an earlier one.
    """
    CREATE FUNCTION append_events(ids uuid[], versions bigint[], topics text[], states bytea[])
    RETURNS SETOF bigint LANGUAGE plpgsql AS $$
    DECLARE last bigint;
    BEGIN
        LOCK TABLE append_order IN EXCLUSIVE MODE;
        SELECT coalesce(max(position), 0) INTO last FROM stored_events;
        NOTIFY packledger_appended;
        RETURN QUERY INSERT INTO stored_events AS stored
            SELECT last + n, id, version, topic, state
            FROM unnest(ids, versions, topics, states) WITH ORDINALITY
                AS given(id, version, topic, state, n)
            ORDER BY n
            RETURNING stored.position;
    END $$
    """,
)

_REACTIONS = (
    "CREATE TABLE reactions (reaction text PRIMARY KEY, fence bigint NOT NULL,"
    " position bigint NOT NULL, attempts bigint NOT NULL, error text NOT NULL,"
    " leased_until timestamptz NOT NULL)",
    "CREATE TABLE parked_events (reaction text, position bigint, attempts bigint NOT NULL,"
    " reason text NOT NULL, PRIMARY KEY (reaction, position))",
)

MIGRATIONS = (_FIRST, _REACTIONS)
"""The statements that lead from each version of the schema to the next, from 0 on. They grow."""


def migrate(url: str) -> int:
    """Bring a database's schema to this release's version and return the version; repeatable.

    Two at once wait for each other.

    Raises:
        WrongSchema: a newer release has migrated it.
        Unavailable: it cannot be reached, or refuses the changes.
    """
    try:
        with connect(url) as connection:
            # However long the other one takes, or a change of a large table.
            connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
                _migrate(connection, url)
    except psycopg.Error as error:
        raise Unavailable(
            f"the database `{_name(url)}` cannot be migrated: {reason(error)}; "
            "mend that and run `packledger migrate` again"
        ) from error
    return len(MIGRATIONS)


def _migrate(connection: Connection, url: str) -> None:
    version = _version(connection) or 0
    _refuse_newer(version, url)
    if version == 0:
        connection.execute("CREATE TABLE schema_version (version integer NOT NULL)")
        connection.execute("INSERT INTO schema_version VALUES (0)")
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement.encode())
    connection.execute("UPDATE schema_version SET version = %s", [len(MIGRATIONS)])


def connect_migrated(url: str) -> Connection:
    """Return a new connection to a database that `migrate` has brought to this release's version.

    Raises:
        WrongSchema: it was never migrated, or its schema is older or newer.
        psycopg.OperationalError: it cannot be reached, or refuses us.
    """
    connection = connect(url)
    with closed_on_error(connection):
        version = _version(connection)
        if version is None:
            raise WrongSchema(
                f"there is no registry in the database `{_name(url)}`; run `packledger migrate`"
            )
        _refuse_newer(version, url)
        if version < len(MIGRATIONS):
            raise WrongSchema(
                f"the schema of the database `{_name(url)}` has version {version}, this release "
                f"needs {len(MIGRATIONS)}; run `packledger migrate`"
            )
    return connection


def _refuse_newer(version: int, url: str) -> None:
    if version > len(MIGRATIONS):
        raise WrongSchema(
            f"the schema of the database `{_name(url)}` has version {version}, this release knows "
            f"{len(MIGRATIONS)}; upgrade packledger"
        )


def _version(connection: Connection) -> int | None:
    found = connection.execute("SELECT to_regclass('schema_version') IS NOT NULL").fetchone()
    if found != (True,):
        return None
    row = connection.execute("SELECT version FROM schema_version").fetchone()
    return int(row[0]) if row else None


def _name(url: str) -> str:
    named = conninfo_to_dict(url)
    return str(named.get("dbname") or named.get("user") or "")
