"""Past views: what an index file of a crate with many versions costs, folded from its events."""

import random
import time
from pathlib import Path

from content import OWNER
from figures import Figure
from generated_log import append, crate_version
from registry_server import Server
from wire import Wire

from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.streams import CRATES
from packledger.eventstore.mapper import StreamEvent

NAME = "benchpast"
VERSIONS = 500
REPEATS = 20


def measure(folder: Path) -> list[Figure]:
    """Return the figures; the best of some repeats, as others use the machine too."""
    data = folder / "past" / "data"
    data.mkdir(parents=True)
    _write(data / "events.sqlite")
    server = Server(folder / "past", workers=1)
    try:
        wire = Wire(server.port)
        past = f"/as-of/{VERSIONS + 1}/cargo/index/be/nc/{NAME}"
        size_kb = len(wire.ask("GET", past)) / 1e3
        took_ms = []
        cpu_s = server.cpu_s()
        for _ in range(REPEATS):
            began_s = time.perf_counter()
            wire.ask("GET", past)
            took_ms.append((time.perf_counter() - began_s) * 1e3)
        cpu_ms = (server.cpu_s() - cpu_s) / REPEATS * 1e3
    finally:
        server.stop()
    what = f"as-of index file of a crate with {VERSIONS} versions"
    beside = f"the best of {REPEATS}; {cpu_ms:.1f} ms of CPU, {size_kb:.0f} KB compressed"
    return [Figure(what, "ms", min(took_ms), 10, beside)]


def _write(path: Path) -> None:
    """Append the crate to a new log."""
    chance, actor = random.Random(1), Actor("2026-03-04T05:06:07.890Z", OWNER)
    state, stored = None, []
    for number in range(VERSIONS):
        version = crate_version(actor, NAME, f"1.{number}.0", chance)
        events = crate.decide_publish(state, actor, version)
        state = CRATES.fold(state, events)
        for event in events:
            stored.append(StreamEvent(CRATES.id(NAME), len(stored) + 1, event))
    append(path, iter(stored))
