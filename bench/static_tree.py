"""nginx on the static tree: processor time of an index hit beside nginx on plain files.

    python bench/static_tree.py

Both serve the same files, one with the shipped configuration and one with the least that serves
them: `root`, `gzip_static` and a type. They are asked by turns in short rounds, so that whatever
else the machine does meets both. Exits 1 when the limit is missed.
"""

import random
import sys
import tempfile
from pathlib import Path

from figures import Figure, table
from wire import Wire

import processes
from packledger.projections.documents import render
from packledger.projections.static_files import CARGO, StaticFiles, paths_of

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from nginx_server import NginxServer

CRATES = 2_000
CONNECTIONS = 16
PAIRS = 40
REQUESTS = 400
"""Of each connection in a round: 6,400 are 80 ms of nginx, and the clock's tick is 10 ms."""
LIMIT = 1.05
_PLAIN = """
server {{
    listen 127.0.0.1:{port};
    root {tree};
    default_type text/plain;
    gzip_static on;
}}
"""


def measure(folder: Path) -> list[Figure]:
    """Return the figure, and what both cost."""
    tree = folder / "tree"
    names = _write(tree)
    shipped, plain = NginxServer("127.0.0.1:9", tree), NginxServer("127.0.0.1:9", tree)
    configured = _PLAIN.format(port=plain.port, tree=tree)
    (plain.folder / "conf.d" / "packledger.conf").write_text(configured)
    try:
        for server in (shipped, plain):
            server.start()
        return _compare(shipped, plain, names)
    finally:
        shipped.stop()
        plain.stop()


def _write(tree: Path) -> list[str]:
    """Write index files of 0.3 to 8 KB, as a registry has them, and return their paths."""
    files, chance = StaticFiles(tree), random.Random(1)
    paths = []
    for number in range(CRATES):
        (path,) = paths_of(CARGO, f"crate{number:04}")
        line = b'{"name":"crate","vers":"1.0.%d","cksum":"%s"}\n'
        versions = range(chance.randint(1, 25))
        body = b"".join(line % (one, chance.randbytes(120).hex().encode()) for one in versions)
        files.place(files.write(path, render(body), 1_800_000_000 + 2 * number))
        paths.append(path)
    return paths


def _compare(shipped: NginxServer, plain: NginxServer, paths: list[str]) -> list[Figure]:
    pids = {server: processes.below(server.pid) for server in (shipped, plain)}
    spent_s: dict[NginxServer, list[float]] = {shipped: [], plain: []}
    for number in range(PAIRS + 1):
        order = (shipped, plain) if number % 2 else (plain, shipped)
        for server in order:
            before_s = processes.cpu_s(pids[server])
            _ask(server, paths, number)
            spent_s[server].append(processes.cpu_s(pids[server]) - before_s)
    requests = CONNECTIONS * REQUESTS
    ours_us, theirs_us = (
        1e6 * sum(spent_s[server][1:]) / (PAIRS * requests) for server in (shipped, plain)
    )
    ratio = ours_us / theirs_us
    beside = f"{ours_us:.2f} µs, plain files {theirs_us:.2f} µs, {PAIRS} rounds of each by turns"
    return [Figure("index hit by nginx: CPU of plain files", "times", ratio, LIMIT, beside)]


def _ask(server: NginxServer, paths: list[str], seed: int) -> None:
    chance = random.Random(seed)
    # Anew for each round: nginx closes a connection after 1,000 requests.
    wires = [Wire(server.port) for _ in range(CONNECTIONS)]
    for _ in range(REQUESTS):
        for wire in wires:
            wire.post(wire.head("GET", f"/{chance.choice(paths)}"))
        for wire in wires:
            wire.answer(200)
    for wire in wires:
        wire.close()


def main() -> int:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory(prefix="packledger-bench-") as folder:
        figures = measure(Path(folder))
    print(table(figures))
    return 0 if all(one.holds for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
