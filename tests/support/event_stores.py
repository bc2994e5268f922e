"""Every event store there is, and a writer that another process can be."""

from collections.abc import Callable
from pathlib import Path

from packledger.domain import crate
from packledger.domain.actor import Actor
from packledger.domain.events import Event, encode, tag_of
from packledger.domain.streams import stream_id
from packledger.eventstore.log import Log, Recorded
from packledger.eventstore.sqlite_store import SQLiteStore

AT = "2026-11-21T10:00:00.000Z"
ACTOR = Actor(AT, "alice")


def open_sqlite(folder: Path) -> Log:
    return Log(SQLiteStore(folder / "events.sqlite"))


STORES: dict[str, Callable[[Path], Log]] = {"sqlite": open_sqlite}


def recorded(
    position: int, version: int, event: Event, kind: str = "registry", name: str = ""
) -> Recorded:
    """Return an event as a log would, without one."""
    stream = stream_id(kind, name).hex
    return Recorded(position, version, event, stream, tag_of(type(event)), encode(event))


def add_owner(log: Log, name: str, account: str) -> None:
    log.execute(
        "crate",
        name,
        lambda state, version: crate.decide_owners(state, ACTOR, name, add=[account]),
    )


def add_owners(store: str, folder: str, writer: int, count: int) -> None:
    """Add so many owners to the crate `demo`, one by one."""
    log = STORES[store](Path(folder))
    for number in range(count):
        add_owner(log, "demo", f"{writer}-{number}")
    log.close()
