"""Publishing real crates and npm packages, by two clients at once.

What the machine takes to write as much durably is measured in the same run, before and after.
"""

from functools import partial
from pathlib import Path
from statistics import median

from clients import Put, put_crate, put_npm, run_clients
from figures import Figure, percentile
from references import durable_writes_ms
from registry_server import Server
from upstream import Package, crates, packages

from uploads import crate_upload, npm_document

CLIENTS = 2
WARM_UP = 20
GOALS = {"cargo": (5.0, 15.0, 300.0, 5.0), "npm": (5.0, 15.0, None, 5.0)}
"""p50 and p99 in milliseconds, publishes a second, and milliseconds of processor time for each."""


def measure(folder: Path, scale: int = 1) -> list[Figure]:
    """Return the figures of both ecosystems. scale: only every so many packages."""
    return [
        *_measure(folder, "cargo", crates()[::scale]),
        *_measure(folder, "npm", packages()[::scale]),
    ]


def _put(ecosystem: str, package: Package) -> Put:
    if ecosystem == "cargo":
        return put_crate(crate_upload(package.name, package.version, package.packed))
    manifest = {**package.manifest, "_id": f"{package.name}@{package.version}"}
    return put_npm(package.name, npm_document(manifest, package.packed))


def _measure(folder: Path, ecosystem: str, published: list[Package]) -> list[Figure]:
    sizes = [len(one.packed) for one in published]
    alone_ms = durable_writes_ms(folder, sizes)
    server = Server(folder / f"real-{ecosystem}")
    try:
        _publish(server, ecosystem, published[:WARM_UP])
        timed = published[WARM_UP:]
        before_s = server.cpu_s_by_process()
        took_s, client_ms = _publish(server, ecosystem, timed)
        after_s = server.cpu_s_by_process()
    finally:
        server.stop()
    alone_ms += durable_writes_ms(folder, sizes)
    cpu_ms = {
        name: (after_s[name] - before_s.get(name, 0.0)) * 1000 / len(timed) for name in after_s
    }
    by_process = ", ".join(f"{name} {spent:.2f}" for name, spent in cpu_ms.items() if spent > 0.005)
    what = f"real {ecosystem} publish, 2 clients"
    seen = f"{len(timed)} of {sum(sizes) // len(sizes) / 1000:.0f} KB"
    alone = f"one blob and one append alone: {median(alone_ms):.2f} ms"
    worst = f"the same alone: {percentile(alone_ms, 99):.2f} ms"
    p50_ms, p99_ms, per_s, cpu = GOALS[ecosystem]
    return [
        Figure(f"{what}: p50", "ms", median(client_ms), p50_ms, f"{seen}; {alone}"),
        Figure(f"{what}: p99", "ms", percentile(client_ms, 99), p99_ms, worst),
        Figure(f"{what}: rate", "/s", len(timed) / took_s, per_s, at_least=True),
        Figure(f"{what}: CPU", "ms", sum(cpu_ms.values()), cpu, by_process),
    ]


def _publish(server: Server, ecosystem: str, published: list[Package]) -> tuple[float, list[float]]:
    shares = [
        partial(map, partial(_put, ecosystem), published[number::CLIENTS])
        for number in range(CLIENTS)
    ]
    return run_clients(server.port, server.token, shares)
