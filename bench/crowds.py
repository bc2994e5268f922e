"""Many at once: readers of a large packument, and large uploads, which must not take the memory."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from content import LARGE, LARGE_VERSIONS, write_content
from figures import Figure
from registry_server import Server
from wire import Wire

from uploads import npm_body

READERS = 20
ROUNDS = 3
UPLOADS = 4
UPLOAD_BYTES = 50_000_000
SAMPLE_S = 0.05
SETTLED_S = 5


def measure(folder: Path) -> list[Figure]:
    """Return the figures."""
    data = folder / "crowds" / "data"
    data.mkdir(parents=True)
    write_content(data / "events.sqlite")
    server = Server(folder / "crowds")
    try:
        time.sleep(2)
        idle = Figure("idle memory of all processes (PSS)", "MB", server.pss_mb(), 180)
        return [idle, *_uploads(server), *_readers(server)]
    finally:
        server.stop()


def _readers(server: Server) -> list[Figure]:
    """Read a packument of 3,000 versions, first right after a publish, then again."""
    writer, wires = Wire(server.port, server.token), [Wire(server.port) for _ in range(READERS)]
    cold, warm, size_bytes = [], [], 0
    for number in range(ROUNDS):
        body = npm_body(LARGE, f"2.{number}.0", random.Random(number))
        writer.ask("PUT", f"/npm/{LARGE}", body, expected=201)
        cold.append(_slowest_s(wires))
        warm.append(_slowest_s(wires))
    plain = writer.head("GET", f"/npm/{LARGE}").replace(b"accept-encoding: gzip\r\n", b"")
    size_bytes = len(writer.send(plain)[1])
    what = f"{READERS} parallel GETs of {size_bytes / 1e6:.1f} MB, {LARGE_VERSIONS:,} versions"
    seen = f"the slowest of {READERS}, the best of {ROUNDS} rounds"
    return [
        Figure(f"{what}: after a publish", "s", min(cold), 0.3, seen),
        Figure(f"{what}: again", "s", min(warm), 0.3, seen),
    ]


def _slowest_s(wires: list[Wire]) -> float:
    request = wires[0].head("GET", f"/npm/{LARGE}")
    with ThreadPoolExecutor(len(wires)) as threads:
        began_s = time.perf_counter()
        answers = [threads.submit(wire.send, request) for wire in wires]
        for answer in answers:
            answer.result()
        return time.perf_counter() - began_s


def _uploads(server: Server) -> list[Figure]:
    """Publish 50 MB four times at once, and look at the memory meanwhile and afterwards."""
    bodies = [
        npm_body(f"bench-upload-{number}", "1.0.0", random.Random(number), UPLOAD_BYTES)
        for number in range(UPLOADS)
    ]
    before_mb, peak_mb, over = server.pss_mb(), 0.0, threading.Event()
    with ThreadPoolExecutor(UPLOADS) as threads:
        uploads = [
            threads.submit(_upload, server, f"bench-upload-{number}", body)
            for number, body in enumerate(bodies)
        ]
        while not all(one.done() for one in uploads):
            peak_mb = max(peak_mb, server.pss_mb())
            over.wait(SAMPLE_S)
        took_s = max(one.result() for one in uploads)
    over.wait(SETTLED_S)
    what = f"{UPLOADS} npm publishes of {UPLOAD_BYTES // 1_000_000} MB at once"
    after = f"{SETTLED_S} s later"
    return [
        Figure(f"{what}: memory above idle", "MB", peak_mb - before_mb, 400, f"{took_s:.1f} s"),
        Figure(f"{what}: {after}", "MB", server.pss_mb() - before_mb, 40),
    ]


def _upload(server: Server, name: str, body: bytes) -> float:
    began_s = time.perf_counter()
    Wire(server.port, server.token).ask("PUT", f"/npm/{name}", body, expected=201)
    return time.perf_counter() - began_s
