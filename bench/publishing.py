"""Publishing: by two clients at once, and to a package that has a thousand versions."""

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from figures import Figure, percentile
from references import durable_write_ms
from server import Server
from wire import Wire

from uploads import crate_body, npm_body

CLIENTS = 2
VERSIONS_EACH = 5
MANY_VERSIONS = 1_000
COMPARED = 100

Publish = Callable[[Wire, str, str, bytes], None]


def put_crate(wire: Wire, name: str, version: str, body: bytes) -> None:
    """Publish a crate as cargo does."""
    wire.ask("PUT", "/cargo/api/v1/crates/new", body, expected=200)


def put_npm(wire: Wire, name: str, version: str, body: bytes) -> None:
    """Publish a package as npm does."""
    wire.ask("PUT", f"/npm/{name}", body, expected=201)


ECOSYSTEMS = {"cargo": (crate_body, put_crate), "npm": (npm_body, put_npm)}


def measure(folder: Path, publishes: int) -> list[Figure]:
    """Return the figures of both ecosystems. publishes: by each client."""
    figures = []
    for ecosystem in ECOSYSTEMS:
        server = Server(folder / f"publish-{ecosystem}")
        try:
            figures += _by_two_clients(server, ecosystem, publishes, folder)
            figures.append(_at_many_versions(server, ecosystem))
        finally:
            server.stop()
    return figures


def _by_two_clients(server: Server, ecosystem: str, publishes: int, folder: Path) -> list[Figure]:
    _run_clients(server, ecosystem, 50, "warm")
    warm = len(list(server.answered()))
    before_ms = durable_write_ms(folder)
    cpu_s = server.cpu_s()
    took_s, client_ms = _run_clients(server, ecosystem, publishes, "timed")
    cpu_ms = (server.cpu_s() - cpu_s) * 1000 / (CLIENTS * publishes)
    served_ms = [one.duration_ms for one in list(server.answered())[warm:]]
    assert len(served_ms) == CLIENTS * publishes, len(served_ms)
    unit_ms = (before_ms + durable_write_ms(folder)) / 2
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


def _run_clients(
    server: Server, ecosystem: str, publishes: int, run: str
) -> tuple[float, list[float]]:
    """Return how long all clients took, in seconds, and each request's milliseconds."""
    context = multiprocessing.get_context("fork")
    start = context.Event()
    pipes, processes = [], []
    for number in range(CLIENTS):
        ours, theirs = context.Pipe()
        arguments = (server.port, server.token, ecosystem, f"{run}{number}", publishes, theirs)
        processes.append(context.Process(target=_client, args=(start, *arguments), daemon=True))
        processes[-1].start()
        pipes.append(ours)
    for pipe in pipes:
        assert pipe.recv() == "ready"
    began_s = time.perf_counter()
    start.set()
    durations = [one for pipe in pipes for one in pipe.recv()]
    took_s = time.perf_counter() - began_s
    for process in processes:
        process.join()
    return took_s, durations


def _client(  # noqa: PLR0913, PLR0917 - the arguments of a process
    start: object, port: int, token: str, ecosystem: str, run: str, publishes: int, pipe: Connection
) -> None:
    """Publish new packages and new versions; everything is made before the clock starts."""
    body_of, put = ECOSYSTEMS[ecosystem]
    chance = random.Random(run)
    work = []
    for number in range(publishes):
        name = f"bench-{run}-{number // VERSIONS_EACH}"
        version = f"1.{number % VERSIONS_EACH}.0"
        work.append((name, version, body_of(name, version, chance)))
    wire = Wire(port, token)
    pipe.send("ready")
    start.wait()  # type: ignore[attr-defined]
    durations = []
    for name, version, body in work:
        began_s = time.perf_counter()
        put(wire, name, version, body)
        durations.append((time.perf_counter() - began_s) * 1000)
    pipe.send(durations)
    os._exit(0)


def _at_many_versions(server: Server, ecosystem: str) -> Figure:
    """Compare first versions with versions around the thousandth, taken in turns."""
    body_of, put = ECOSYSTEMS[ecosystem]
    chance = random.Random(ecosystem)
    wire = Wire(server.port, server.token)
    name = "bench-many"
    for number in range(MANY_VERSIONS - COMPARED // 2):
        put(wire, name, f"1.{number}.0", body_of(name, f"1.{number}.0", chance))
    before = len(list(server.answered()))
    for number in range(COMPARED):
        fresh = f"bench-fresh-{number}"
        put(wire, fresh, "1.0.0", body_of(fresh, "1.0.0", chance))
        version = f"2.{number}.0"
        put(wire, name, version, body_of(name, version, chance))
    served_ms = [one.duration_ms for one in list(server.answered())[before:]]
    first, later = median(served_ms[::2]), median(served_ms[1::2])
    seen = f"{later:.2f} ms at version {MANY_VERSIONS}, {first:.2f} ms at version 1"
    return Figure(
        f"{ecosystem} publish at version 1,000 / version 1: p50", "times", later / first, 1.5, seen
    )
