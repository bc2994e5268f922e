"""A log like a registry's after years: legal by the domain's own rules, the same for every seed.

Ten events a package, half the packages crates and half npm packages, states of 700 bytes on
average. Commands of all packages are mixed evenly over the whole log: the worst order for whoever
keeps things in memory. What one command appended stays together, as in a real log.
"""

import random
from base64 import b64encode
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import msgspec

from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.cargo.dependencies import CRATES_IO, CrateDependency
from packledger.domain.cargo.manifest import CrateManifest
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.event import Event, encode
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.events.registry import RegistryConfigured
from packledger.domain.npm import package as npm_package
from packledger.domain.streams import CRATES, PACKAGES, REGISTRY, AnyStream
from packledger.eventstore.log import Log
from packledger.eventstore.mapper import StreamEvent
from packledger.eventstore.sqlite.store import SQLiteStore

EVENTS_EACH = 10
APPEND_EVENTS = 20_000
WORDS = """async fast small parser client server json http cache index tree graph stream buffer
    token crypto hash time date color text image audio network socket queue worker pool macro derive
    error log trace test bench build config path file archive number matrix vector string""".split()  # noqa: SIM905
_HEX = "0123456789abcdef"


class _Package:
    """One stream on its way: what it may still say, and its state so far."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.is_crate = number % 2 == 0
        self.kind: AnyStream = CRATES if self.is_crate else PACKAGES
        self.name = f"{chance.choice(WORDS)}-{chance.choice(WORDS)}-{number}"
        self.stream = self.kind.id(self.name)
        self.owner = f"user{chance.randrange(500)}"
        self.version = 0
        self._state: object = None
        self._chance = chance
        self._versions = 0

    def commands(self) -> Iterator[list[StreamEvent]]:
        """Yield what each command appended, ten events in all."""
        while self.version < EVENTS_EACH:
            events = self._decide()[: EVENTS_EACH - self.version]
            self._state = self.kind.fold(self._state, events)
            first = self.version + 1
            self.version += len(events)
            yield [StreamEvent(self.stream, at, event) for at, event in enumerate(events, first)]

    def _decide(self) -> list[Event]:
        actor = Actor(self._time(), self.owner, "4f1c2d3e4b5a", _digits(16, self._chance), False)
        state = self._state
        old = f"1.{self._chance.randrange(self._versions)}.0" if self._versions else ""
        rest = self._chance.random() < 0.1 and bool(old)
        if self.is_crate:
            if rest:
                return crate.decide_yank(state, actor, self.name, old, True) or self._owner(actor)
            published = crate_version(actor, *self._next(), self._chance)
            return crate.decide_publish(state, actor, published)
        if rest:
            messages = {old: "has a bug; use a later version"}
            return npm_package.decide_deprecate(state, actor, self.name, messages)
        version = npm_version(actor, *self._next(), self._chance)
        return npm_package.decide_publish(state, actor, version, ("latest",))

    def _owner(self, actor: Actor) -> list[Event]:
        state, other = self._state, f"user{self._chance.randrange(500, 1000)}"
        return crate.decide_owners(state, actor, self.name, add=(other,))

    def _time(self) -> str:
        self._minute = getattr(self, "_minute", -1) + 1
        return f"2026-03-04T05:{self._minute % 60:02d}:17.123Z"

    def _next(self) -> tuple[str, str]:
        self._versions += 1
        return self.name, f"1.{self._versions - 1}.0"


def crate_version(
    actor: Actor, name: str, version: str, chance: random.Random
) -> CrateVersionPublished:
    """Return the event of a version of 20 KB."""
    return CrateVersionPublished(
        **actor.stamp(),
        name=name,
        version=version,
        cksum=_digits(64, chance),
        size_bytes=20_000,
        manifest=msgspec.Raw(encode(crate_manifest(name, version, chance))),
    )


def npm_version(
    actor: Actor, name: str, version: str, chance: random.Random, size: int = 1
) -> NpmVersionPublished:
    """Return the event of a version of 20 KB with a README; size: of its manifest, in 700 bytes."""
    manifest = npm_manifest(name, version, chance, 4 * size)
    manifest["description"] = " ".join(chance.choices(WORDS, k=8 * size * size))
    return NpmVersionPublished(
        **actor.stamp(),
        name=name,
        version=version,
        tarball=_digits(64, chance),
        size_bytes=20_000,
        shasum=_digits(40, chance),
        integrity="sha512-" + b64encode(chance.randbytes(64)).decode(),
        file_count=12,
        unpacked_bytes=70_000,
        manifest=msgspec.Raw(encode(manifest)),
        maintainers=(actor.by,),
        readme=_digits(64, chance),
        readme_filename="README.md",
    )


def _digits(length: int, chance: random.Random) -> str:
    return "".join(chance.choices(_HEX, k=length))


def crate_manifest(name: str, version: str, chance: random.Random) -> CrateManifest:
    """Return a manifest with a few dependencies, features and all the usual texts."""
    deps = tuple(
        CrateDependency(
            f"{word}-core", "^1.2", ("std",) * (place % 2), False, True, None, "normal", CRATES_IO
        )
        for place, word in enumerate(chance.sample(WORDS, 1 + chance.randrange(2)))
    )
    return CrateManifest(
        name=name,
        version=version,
        deps=deps,
        features={"default": ("std",), "std": ()},
        edition="2021",
        description=" ".join(chance.choices(WORDS, k=8)),
        repository=f"https://git.example.com/{name}",
        license="MIT OR Apache-2.0",
        keywords=tuple(chance.sample(WORDS, 3)),
    )


def npm_manifest(
    name: str, version: str, chance: random.Random, dependencies: int = 4
) -> dict[str, object]:
    """Return a version object; about 700 bytes with four dependencies."""
    return {
        "name": name,
        "version": version,
        "description": " ".join(chance.choices(WORDS, k=8)),
        "keywords": chance.sample(WORDS, 3),
        "license": "MIT",
        "author": {"name": "A. Author"},
        "repository": {"type": "git", "url": f"git+https://git.example.com/{name}.git"},
        "homepage": f"https://git.example.com/{name}#readme",
        "main": "lib/index.js",
        "types": "lib/index.d.ts",
        "engines": {"node": ">=18"},
        "scripts": {"test": "node --test", "build": "tsc -p ."},
        "dependencies": {f"{word}-lib": "^2.3.4" for word in chance.sample(WORDS, dependencies)},
        "devDependencies": {f"{word}-dev": "^1.0.0" for word in chance.sample(WORDS, 3)},
        "_id": f"{name}@{version}",
        "_nodeVersion": "24.1.0",
        "_npmVersion": "11.4.0",
    }


def write_log(path: Path, events: int, seed: int = 1) -> int:
    """Create a log with so many events, and return the mean size of a state in bytes."""
    return append(path, _mixed(events, random.Random(seed))) // events


def append(path: Path, events: Iterator[StreamEvent]) -> int:
    """Append events to a log, without asking it, and return the size of their states in bytes."""
    log = Log(SQLiteStore(path))
    size_bytes = 0
    try:
        while page := [log.mapper.to_stored_event(one) for one in islice(events, APPEND_EVENTS)]:
            size_bytes += sum(len(row.state) for row in page)
            log.recorder.insert_events(page)
    finally:
        log.close()
    return size_bytes


def _mixed(events: int, chance: random.Random) -> Iterator[StreamEvent]:
    configured = RegistryConfigured(
        at="2026-03-04T05:00:00.000Z", public_url="https://registry.example.com"
    )
    yield StreamEvent(REGISTRY.id(), 1, configured)
    packages = [_Package(number, chance) for number in range(-(-events // EVENTS_EACH))]
    turns = [number for number in range(len(packages)) for _ in range(EVENTS_EACH)]
    chance.shuffle(turns)
    running = [package.commands() for package in packages]
    mixed = chain.from_iterable(next(running[turn], []) for turn in turns)
    yield from islice(mixed, events - 1)
