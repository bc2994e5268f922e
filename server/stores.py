"""Which stores a node has, by its settings; the part of `wiring` that opens them."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from packledger.domain.errors import NotFound
from packledger.eventstore.log import Log
from packledger.eventstore.sqlite.store import SQLiteStore
from packledger.eventstore.store import Store
from packledger.feeds.feed import Feed
from packledger.feeds.store_feed import StoreFeed
from packledger.server.settings.settings import Settings

if TYPE_CHECKING:
    from packledger.feeds.kafka_address import KafkaAddress


class Places:
    """Where things are in a data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.events = data / "events.sqlite"
        self.snapshot_key = data / "snapshot.key"
        self.blobs = data / "blobs"
        self.read = data / "read"
        self.run = data / "run"
        self.board = self.run / "board"
        self.temporary = self.run / "tmp"

    def create(self) -> None:
        """Create the directory, readable by its owner alone."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run.mkdir(exist_ok=True)
        self.temporary.mkdir(exist_ok=True)


def places_of(settings: Settings) -> Places:
    """Return the places of the data directory, which is created if need be."""
    places = Places(Path(settings.data))
    places.create()
    return places


def node_of(settings: Settings) -> str:
    """Return the name under which a node counts downloads: its web processes count together."""
    return settings.node or (socket.gethostname() if settings.postgres.url else "embedded")


def open_store(settings: Settings, *, create: bool) -> Store:
    """Open the event store; PostgreSQL is asked for nothing yet, unless it is to be migrated.

    Raises:
        NotFound: there is none, and none is to be created.
        Unavailable: PostgreSQL cannot be migrated.
    """
    if settings.postgres.url:
        # Only now: the driver takes 10 MB in every process that has it.
        from packledger.eventstore.postgres.schema import migrate
        from packledger.eventstore.postgres.store import PostgresStore

        if create:
            migrate(settings.postgres.url)
        return PostgresStore(settings.postgres.url, settings.postgres.connections)
    places = Places(Path(settings.data))
    if not create and not places.events.exists():
        raise NotFound(
            f"there is no registry in `{places.data}`; check --data, or start one with "
            "`packledger serve`"
        )
    places.create()
    return SQLiteStore(places.events)


@contextmanager
def opened_feed(settings: Settings) -> Iterator[Feed]:
    """Give the log as this node reads it; from Kafka it needs no other store."""
    if settings.brokers.servers:
        # Only now: the client takes 0.2 s and 20 MB in every process that has it.
        from packledger.feeds.kafka_feed import KafkaFeed

        with closing(KafkaFeed(kafka_address(settings))) as kafka:
            yield kafka
        return
    with opened_store_feed(settings) as feed:
        yield feed


@contextmanager
def opened_store_feed(settings: Settings) -> Iterator[Feed]:
    """Give the log as the event store has it."""
    with (
        closing(Log(open_store(settings, create=False))) as log,
        closing(StoreFeed(log)) as feed,
    ):
        yield feed


def kafka_address(settings: Settings) -> "KafkaAddress":
    """Return where the log is in Kafka."""
    from packledger.feeds.kafka_address import KafkaAddress

    return KafkaAddress(**msgspec.structs.asdict(settings.brokers))
