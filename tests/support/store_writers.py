"""Processes that append to an event store; a new process imports them by this name."""

from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any

from event_stores import AT, add_owner, open_log
from packledger.domain.errors import Unavailable
from packledger.domain.events.cargo import CrateRegistered
from packledger.domain.events.event import Event
from packledger.domain.streams import CRATES


def write_streams(place: str, writer: int, count: int) -> None:
    """Append to streams of one's own and, in between, to one that all fight for."""
    decided = 0

    def decide(state: Any, version: int, name: str) -> list[Event]:
        nonlocal decided
        decided += 1
        return [CrateRegistered(at=AT, by="alice", name=name, owner="alice")]

    with closing(open_log(place)) as log:
        for number in range(count):
            name = f"crate-{writer}-{number}"
            log.execute(CRATES, name, partial(decide, name=name))
            add_owner(log, "demo", f"{writer}-{number}")
    assert decided == count, "an append loses no race for a stream that nobody else writes"


def write_until_told(place: str, writer: int, pipe: Pipe) -> None:
    """Add owners until told to stop; send who was acknowledged, and who perhaps was stored."""
    acknowledged, unknown = [], []
    with closing(open_log(place)) as log:
        number = 0
        while not pipe.poll():
            number += 1
            name = f"{writer}-{number}"
            try:
                add_owner(log, "demo", name)
                acknowledged.append(name)
            except Unavailable:
                unknown.append(name)
            if number == 5:
                pipe.send("going")
    pipe.send((acknowledged, unknown))
