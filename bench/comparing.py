"""Processor time of a read beside nginx's, which serves the same bytes from files.

Both run at once and are asked in turns by wrk, so whoever else uses the machine disturbs both. Both
send their ETags: nginx's own come from a file's time and size, so each is asked with its own.
"""

import gzip
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from content import CRATES, HIT, crate_name, write_content
from figures import Figure
from nginx import Nginx
from registry_server import Server, free_port
from wire import Wire

from uploads import crate_body

CONNECTIONS = 32
ROUNDS = 5
ROUND_S = 1
TARBALL = "bench-tarball"
TARBALL_BYTES = 1_000_000
ABBREVIATED = {"accept": "application/vnd.npm.install-v1+json"}


@dataclass(frozen=True)
class Case:
    """What is asked for, and at most how many times nginx's processor time it may cost."""

    what: str
    limit: float
    paths: list[str]
    headers: dict[str, str]
    expected: int = 200


def cases() -> list[Case]:
    """Return what is compared."""
    index = [f"/cargo/index/be/nc/{crate_name(number)}" for number in range(CRATES)]
    return [
        Case("index hit", 2.0, index, {}),
        Case("index 304", 2.6, index, {}, 304),
        Case("packument hit", 2.0, [f"/npm/{HIT}"], ABBREVIATED),
        Case("1 MB tarball", 2.5, [f"/cargo/crates/{TARBALL}/1.0.0/download"], {}),
    ]


def measure(folder: Path, rounds: int = ROUNDS) -> list[Figure]:
    """Return processor time per request as a multiple of nginx's."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("`wrk` is missing; run `tests/system_tools.sh bench`")
    data = folder / "comparing" / "data"
    data.mkdir(parents=True)
    write_content(data / "events.sqlite")
    ours = Server(folder / "comparing", workers=1)
    try:
        body = crate_body(TARBALL, "1.0.0", random.Random(1), TARBALL_BYTES)
        Wire(ours.port, ours.token).ask("PUT", "/cargo/api/v1/crates/new", body)
        theirs_folder = folder / "nginx"
        sizes = [_copy(ours, one, theirs_folder / "root") for one in cases()]
        theirs = Nginx(theirs_folder, free_port())
        try:
            return [
                _compare(one, size, (ours, theirs), wrk, folder, rounds)
                for one, size in zip(cases(), sizes, strict=True)
            ]
        finally:
            theirs.stop()
    finally:
        ours.stop()


def _copy(server: Server, case: Case, root: Path) -> int:
    """Write what a server answers where nginx serves it; return the mean size of an answer."""
    wire, size_bytes = Wire(server.port), 0
    for path in case.paths:
        head, body = wire.send(wire.head("GET", path, **case.headers))
        size_bytes += len(body)
        file = root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        if b"content-encoding: gzip" in head.lower():
            file.with_name(f"{file.name}.gz").write_bytes(body)
            body = gzip.decompress(body)
        file.write_bytes(body)
    return size_bytes // len(case.paths)


def _compare(
    case: Case, size_bytes: int, both: tuple[Server, Nginx], wrk: str, folder: Path, rounds: int
) -> Figure:
    requests = []
    for one in both:
        requests.append(folder / f"requests-{one.port}")
        requests[-1].write_bytes(_requests(case, one.port))
    spent: list[list[float]] = [[], []]
    for number in range(2 * rounds + 2):
        turn = number % 2
        cpu_us = _round(wrk, both[turn], requests[turn])
        if number >= 2:  # the first of each only warms up
            spent[turn].append(cpu_us)
    ours_us, theirs_us = median(spent[0]), median(spent[1])
    ratio = median(ours / theirs for ours, theirs in zip(*spent, strict=True))
    size = "no body" if case.expected == 304 else f"{size_bytes:,} bytes sent"
    seen = f"{ours_us:.1f} µs, nginx {theirs_us:.1f} µs; {len(case.paths):,} paths, {size}"
    return Figure(f"{case.what}: CPU", "x nginx", ratio, case.limit, seen)


def _requests(case: Case, port: int) -> bytes:
    """Return every request of a case, one after the other."""
    wire, heads = Wire(port), []
    for path in case.paths:
        headers = case.headers
        if case.expected == 304:
            answer, _ = wire.send(wire.head("GET", path, **headers))
            headers = {**headers, "if_none_match": _etag(answer)}
        heads.append(wire.head("GET", path, **headers))
        wire.send(heads[-1], case.expected)
    return b"".join(heads)


def _etag(head: bytes) -> str:
    lines = (line.partition(": ") for line in head.decode().split("\r\n"))
    return next(value for name, _, value in lines if name.lower() == "etag")


def _round(wrk: str, server: Server | Nginx, requests: Path) -> float:
    """Return the server's processor time per request in microseconds."""
    script = str(Path(__file__).with_name("mix.lua"))
    url = f"http://127.0.0.1:{server.port}"
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_S}s", "-s", script, url, str(requests)]
    before_s = server.cpu_s()
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    cpu_s = server.cpu_s() - before_s
    count, _, failed = map(int, finished.stdout.split()[-3:])
    if failed or not count:
        raise RuntimeError(f"{' '.join(command)}:\n{finished.stdout}")
    return cpu_s * 1e6 / count
