"""Publishing with the transparency log, and without: two servers, taken in turns."""

import random
import time
from pathlib import Path
from statistics import median

from clients import put_crate
from figures import Figure
from publishing import VERSIONS_EACH
from registry_server import Server
from wire import Wire

from uploads import crate_body

WARM = 50
WITHOUT = Path(__file__).parent / "without_tiles"


def measure(folder: Path, publishes: int) -> list[Figure]:
    """Return the figure. publishes: to each server, by one client."""
    servers: list[Server] = []
    try:
        servers.append(Server(folder / "with-tiles"))
        servers.append(Server(folder / "without-tiles", environment={"PYTHONPATH": str(WITHOUT)}))
        took_ms = _in_turns([Wire(server.port, server.token) for server in servers], publishes)
    finally:
        for server in servers:
            server.stop()
    ours, theirs = map(median, took_ms)
    seen = f"{ours:.2f} and {theirs:.2f} ms at the client"
    return [Figure("cargo publish with / without tiles: p50", "times", ours / theirs, 1.2, seen)]


def _in_turns(wires: list[Wire], publishes: int) -> list[list[float]]:
    """Return the milliseconds of each publish, for each server."""
    chance = random.Random(1)
    took_ms: list[list[float]] = [[] for _ in wires]
    for number in range(WARM + publishes):
        name, version = f"bench-{number // VERSIONS_EACH}", f"1.{number % VERSIONS_EACH}.0"
        put = put_crate(crate_body(name, version, chance))
        for wire, took in zip(wires, took_ms, strict=True):
            began_s = time.perf_counter()
            wire.ask("PUT", put.path, put.body, put.expected)
            took.append((time.perf_counter() - began_s) * 1e3)
    return [took[WARM:] for took in took_ms]
