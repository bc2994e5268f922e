"""Where the event store of several machines is. No driver is imported here."""

from typing import Annotated

from packledger.domain.section import Section, setting


class Postgres(Section, frozen=True):
    """The event store of several machines."""

    url: Annotated[
        str,
        setting(
            "The event store of several machines, `postgresql://USER:PASSWORD@HOST:PORT/NAME`. "
            "Empty: SQLite in `data`.",
            flat="database",
            secret=True,
        ),
    ] = ""
    connections: Annotated[
        int,
        setting(
            "The most connections to `database` that one process keeps.",
            ge=1,
            le=100,
            flat="database_connections",
        ),
    ] = 8
