"""Reading: processor time of a request, memory at rest, and how soon a publish is visible."""

import random
import time
from pathlib import Path
from statistics import median

from figures import Figure
from server import Server
from wire import Wire

from uploads import crate_body, npm_body

REQUESTS = 3_000
PUBLISHES = 100


def measure(folder: Path) -> list[Figure]:
    """Return the figures; they have no limit yet."""
    server = Server(folder / "reading")
    try:
        time.sleep(2)
        memory = Figure("idle memory of all processes (PSS)", "MB", server.pss_mb())
        visible = _until_visible(server)
        index, packument = "/cargo/index/vi/si/visible-0", "/npm/visible-0"
        return [
            memory,
            visible,
            _requests(server, "index hit", index),
            _requests(server, "index 304", index, conditional=True),
            _requests(server, "packument hit, abbreviated", packument),
        ]
    finally:
        server.stop()


def _until_visible(server: Server) -> Figure:
    """Measure from the answer to a publish until another connection shows it."""
    chance = random.Random(1)
    writer, reader = Wire(server.port, server.token), Wire(server.port)
    durations, publishes = [], []
    for number in range(PUBLISHES):
        name = f"visible-{number}"
        body = crate_body(name, "1.0.0", chance)
        began_s = time.perf_counter()
        writer.ask("PUT", "/cargo/api/v1/crates/new", body)
        answered_s = time.perf_counter()
        reader.ask("GET", f"/cargo/index/vi/si/{name}")
        durations.append((time.perf_counter() - answered_s) * 1000)
        publishes.append((answered_s - began_s) * 1000)
    writer.ask("PUT", "/npm/visible-0", npm_body("visible-0", "1.0.0", chance), expected=201)
    seen = f"the publish before it {median(publishes):.2f} ms; every first read showed it"
    return Figure("publish answered to visible: p50", "ms", median(durations), None, seen)


def _requests(server: Server, what: str, path: str, conditional: bool = False) -> Figure:
    wire = Wire(server.port)
    accept = {"accept": "application/vnd.npm.install-v1+json"} if "/npm/" in path else {}
    head, _ = wire.send(wire.head("GET", path, **accept))
    if conditional:
        etag = head.lower().split(b"etag: ")[1].split(b"\r\n")[0].decode().replace("w/", "W/")
        request, expected = wire.head("GET", path, if_none_match=etag, **accept), 304
    else:
        request, expected = wire.head("GET", path, **accept), 200
    for _ in range(100):
        wire.send(request, expected)
    cpu_s, began_s = server.cpu_s(), time.perf_counter()
    for _ in range(REQUESTS):
        wire.send(request, expected)
    took_s, cpu_s = time.perf_counter() - began_s, server.cpu_s() - cpu_s
    seen = f"one connection, {REQUESTS / took_s:,.0f} requests/s"
    return Figure(f"{what}: CPU of the server", "µs", cpu_s * 1e6 / REQUESTS, None, seen)
