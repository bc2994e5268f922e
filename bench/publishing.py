"""Publishing: by two clients at once, and to a package that has a thousand versions."""

import random
from functools import partial
from pathlib import Path
from statistics import median

from clients import Put, put_crate, put_npm, run_clients
from figures import Figure, percentile
from references import durable_writes_ms
from registry_server import Server
from wire import Wire

from uploads import crate_body, npm_body

CLIENTS = 2
VERSIONS_EACH = 5
MANY_VERSIONS = 1_000
COMPARED = 100


def _crate(name: str, version: str, chance: random.Random) -> Put:
    return put_crate(crate_body(name, version, chance))


def _npm(name: str, version: str, chance: random.Random) -> Put:
    return put_npm(name, npm_body(name, version, chance))


PUT = {"cargo": _crate, "npm": _npm}


def measure(folder: Path, publishes: int) -> list[Figure]:
    """Return the figures of both ecosystems. publishes: by each client."""
    figures = []
    for ecosystem in PUT:
        server = Server(folder / f"publish-{ecosystem}")
        try:
            figures += _by_two_clients(server, ecosystem, publishes, folder)
            figures.append(_at_many_versions(server, ecosystem))
        finally:
            server.stop()
    return figures


def _by_two_clients(server: Server, ecosystem: str, publishes: int, folder: Path) -> list[Figure]:
    _run(server, ecosystem, 50, "warm")
    warm = len(list(server.answered()))
    before_ms = median(durable_writes_ms(folder))
    cpu_s = server.cpu_s()
    took_s, client_ms = _run(server, ecosystem, publishes, "timed")
    cpu_ms = (server.cpu_s() - cpu_s) * 1000 / (CLIENTS * publishes)
    served_ms = [one.duration_ms for one in list(server.answered())[warm:]]
    assert len(served_ms) == CLIENTS * publishes, len(served_ms)
    unit_ms = (before_ms + median(durable_writes_ms(folder))) / 2
    beside = (
        f"{median(served_ms) / unit_ms:.1f} times one blob and one append alone ({unit_ms:.2f} ms);"
        f" at the client {median(client_ms):.2f} ms; CPU of all processes {cpu_ms:.2f} ms"
    )
    per_s = CLIENTS * publishes / took_s
    what = f"{ecosystem} publish, 20 KB, 2 clients"
    return [
        Figure(f"{what}: p50", "ms", median(served_ms), 6.0, beside),
        Figure(f"{what}: p99", "ms", percentile(served_ms, 99), 20.0),
        Figure(f"{what}: rate", "/s", per_s, 250, at_least=True),
    ]


def _work(ecosystem: str, run: str, publishes: int) -> list[Put]:
    """Return the publishes of one client: new packages and new versions."""
    chance = random.Random(run)
    work = []
    for number in range(publishes):
        name = f"bench-{run}-{number // VERSIONS_EACH}"
        work.append(PUT[ecosystem](name, f"1.{number % VERSIONS_EACH}.0", chance))
    return work


def _run(server: Server, ecosystem: str, publishes: int, run: str) -> tuple[float, list[float]]:
    works = [partial(_work, ecosystem, f"{run}{number}", publishes) for number in range(CLIENTS)]
    return run_clients(server.port, server.token, works)


def _at_many_versions(server: Server, ecosystem: str) -> Figure:
    """Compare first versions with versions around the thousandth, taken in turns."""
    chance = random.Random(ecosystem)
    wire = Wire(server.port, server.token)
    name = "bench-many"

    def publish(name: str, version: str) -> None:
        put = PUT[ecosystem](name, version, chance)
        wire.ask("PUT", put.path, put.body, put.expected)

    for number in range(MANY_VERSIONS - COMPARED // 2):
        publish(name, f"1.{number}.0")
    before = len(list(server.answered()))
    for number in range(COMPARED):
        publish(f"bench-fresh-{number}", "1.0.0")
        publish(name, f"2.{number}.0")
    served_ms = [one.duration_ms for one in list(server.answered())[before:]]
    first, later = median(served_ms[::2]), median(served_ms[1::2])
    seen = f"{later:.2f} ms at version {MANY_VERSIONS}, {first:.2f} ms at version 1"
    return Figure(
        f"{ecosystem} publish at version 1,000 / version 1: p50", "times", later / first, 1.5, seen
    )
