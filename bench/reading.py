"""Reading: processor time of a request, memory at rest, and how soon a publish is visible."""

import random
import time
from pathlib import Path
from statistics import median

from figures import Figure, percentile
from server import Server
from wire import Wire

from packledger.cli import wiring
from packledger.cli.settings import load
from packledger.domain import npm_package
from uploads import crate_body, npm_body

CONNECTIONS = 16
ROUNDS = 400
EVENTS = 200
NAME = "visible"


def measure(folder: Path) -> list[Figure]:
    """Return the figures; they have no limit yet."""
    server = Server(folder / "reading")
    try:
        time.sleep(2)
        memory = Figure("idle memory of all processes (PSS)", "MB", server.pss_mb())
        chance, wire = random.Random(1), Wire(server.port, server.token)
        wire.ask("PUT", "/cargo/api/v1/crates/new", crate_body(NAME, "1.0.0", chance))
        wire.ask("PUT", f"/npm/{NAME}", npm_body(NAME, "1.0.0", chance), expected=201)
        index, packument = f"/cargo/index/vi/si/{NAME}", f"/npm/{NAME}"
        return [
            memory,
            _until_visible(server),
            _requests(server, "index hit", index),
            _requests(server, "index 304", index, conditional=True),
            _requests(server, "packument hit, abbreviated", packument),
        ]
    finally:
        server.stop()


def _until_visible(server: Server) -> Figure:
    """Append small events from here and wait until every projection has passed them."""
    registry = wiring.open_registry(load(None, {}, {"data": str(server.data)}), create=False)
    durations = []
    for number in range(EVENTS):
        actor = registry.actor("bench")
        starred = number % 2 == 0
        recorded = registry.log.execute(
            "npm",
            NAME,
            lambda state, _: npm_package.decide_star(state, actor, NAME, starred),  # noqa: B023
        )
        began_s = time.perf_counter()
        while registry.board.waiting_for(recorded[-1].position):
            time.sleep(0.0001)
        durations.append((time.perf_counter() - began_s) * 1000)
    wiring.close_registry(registry)
    seen = f"p99 {percentile(durations, 99):.2f} ms"
    return Figure("event appended to visible: p50", "ms", median(durations), None, seen)


def _requests(server: Server, what: str, path: str, conditional: bool = False) -> Figure:
    wires = [Wire(server.port) for _ in range(CONNECTIONS)]
    accept = {"accept": "application/vnd.npm.install-v1+json"} if "/npm/" in path else {}
    request, expected = wires[0].head("GET", path, **accept), 200
    if conditional:
        head, _ = wires[0].send(request)
        etag = head.decode().partition("W/")[2].partition("\r\n")[0]
        request, expected = wires[0].head("GET", path, if_none_match=f"W/{etag}", **accept), 304
    _ask(wires, request, expected, 20)
    cpu_s, began_s = server.cpu_s(), time.perf_counter()
    _ask(wires, request, expected, ROUNDS)
    took_s, cpu_s = time.perf_counter() - began_s, server.cpu_s() - cpu_s
    count = CONNECTIONS * ROUNDS
    seen = f"{CONNECTIONS} connections, {count / took_s:,.0f} requests/s"
    return Figure(f"{what}: CPU of the server", "µs", cpu_s * 1e6 / count, None, seen)


def _ask(wires: list[Wire], request: bytes, expected: int, rounds: int) -> None:
    for _ in range(rounds):
        for wire in wires:
            wire.post(request)
        for wire in wires:
            wire.answer(expected)
