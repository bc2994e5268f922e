"""What the read figures ask for: index files like crates.io's, and packuments of a chosen size."""

import random
from collections.abc import Iterator
from pathlib import Path

from generated_log import append, crate_version, npm_version

from packledger.domain import streams
from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.events.event import Event
from packledger.domain.npm import package as npm_package
from packledger.domain.streams import AnyStream
from packledger.eventstore.mapper import StreamEvent

OWNER = "bench"
CRATES = 2_000
HIT = "bench-hit"
HIT_VERSIONS = 75
HIT_SIZE = 8
"""Of 1.3 KB in the abbreviated form: 100 KB, 13 KB compressed."""
LARGE = "bench-large"
LARGE_VERSIONS = 3_000
LARGE_SIZE = 6
"""A version has 2.7 KB in the full form: 8 MB."""
_ACTOR = Actor("2026-03-04T05:06:07.890Z", OWNER)


def crate_name(number: int) -> str:
    """Return the name of a crate; its index file is below `be/nc`."""
    return f"bench-{number}"


def write_content(path: Path) -> None:
    """Append it all to a log, which may be new."""
    append(path, _events(random.Random(1)))


def _events(chance: random.Random) -> Iterator[StreamEvent]:
    for number in range(CRATES):
        versions = min(300, int(chance.paretovariate(1.0) * 1.5))
        # Most crates have a few versions and some have hundreds; the mean file has 3.8 KB.
        yield from _crate(crate_name(number), versions, chance)
    yield from _package(HIT, HIT_VERSIONS, HIT_SIZE, chance)
    yield from _package(LARGE, LARGE_VERSIONS, LARGE_SIZE, chance)


def _crate(name: str, versions: int, chance: random.Random) -> Iterator[StreamEvent]:
    state, stream = None, _Stream(streams.CRATES, name)
    for number in range(versions):
        version = crate_version(_ACTOR, name, f"1.{number}.0", chance)
        events = crate.decide_publish(state, _ACTOR, version)
        state = streams.CRATES.fold(state, events)
        yield from stream.placed(events)


def _package(name: str, versions: int, size: int, chance: random.Random) -> Iterator[StreamEvent]:
    state, stream = None, _Stream(streams.PACKAGES, name)
    for number in range(versions):
        version = npm_version(_ACTOR, name, f"1.{number}.0", chance, size)
        events = npm_package.decide_publish(state, _ACTOR, version, ("latest",))
        state = streams.PACKAGES.fold(state, events)
        yield from stream.placed(events)


class _Stream:
    """Counts the versions of a stream."""

    def __init__(self, kind: AnyStream, name: str) -> None:
        self._id, self._version = kind.id(name), 0

    def placed(self, events: list[Event]) -> Iterator[StreamEvent]:
        for event in events:
            self._version += 1
            yield StreamEvent(self._id, self._version, event)
