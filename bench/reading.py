"""How soon what was appended is visible to who reads."""

import random
import time
from pathlib import Path
from statistics import median

from figures import Figure, percentile
from registry_server import Server
from wire import Wire

from packledger.domain.npm import package as npm_package
from packledger.domain.streams import PACKAGES
from packledger.server import wiring
from packledger.server.settings.settings import load
from uploads import npm_body

EVENTS = 200
NAME = "visible"


def measure(folder: Path) -> list[Figure]:
    """Return the figure; it has no limit yet."""
    server = Server(folder / "reading")
    try:
        body = npm_body(NAME, "1.0.0", random.Random(1))
        Wire(server.port, server.token).ask("PUT", f"/npm/{NAME}", body, expected=201)
        return [_until_visible(server)]
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
            PACKAGES,
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
