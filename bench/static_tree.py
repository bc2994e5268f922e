"""nginx on the static tree: processor time of an index hit beside nginx on plain files.

    python bench/static_tree.py

Both serve the same files, one with the shipped configuration and one with the least that serves
them: `root`, `gzip_static` and a type. They are asked by turns in short rounds, so that whatever
else the machine does meets both. A second plain server shows how far equal ones are apart. Exits 1
when the limit is missed.
"""

import random
import sys
import tempfile
from pathlib import Path

from figures import Figure, table
from wire import Wire

import processes
from packledger.domain.ecosystems import CARGO
from packledger.projections.documents import render
from packledger.projections.static_tree.files import StaticFiles, paths_of

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from nginx_server import NginxServer

CRATES = 2_000
CONNECTIONS = 16
ROUNDS = 40
REQUESTS = 400
"""Of each connection in a round, which takes nginx about 0.1 s."""
SHIPPED, PLAIN, AGAIN = "shipped", "plain", "plain again"
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
    """Return the figure."""
    tree = folder / "tree"
    names = _write(tree)
    servers = {name: NginxServer("127.0.0.1:9", tree) for name in (SHIPPED, PLAIN, AGAIN)}
    for name in (PLAIN, AGAIN):
        configured = _PLAIN.format(port=servers[name].port, tree=tree)
        (servers[name].folder / "conf.d" / "packledger.conf").write_text(configured)
    try:
        for server in servers.values():
            server.start()
        return [_compare(servers, names)]
    finally:
        for server in servers.values():
            server.stop()


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


def _compare(servers: dict[str, NginxServer], paths: list[str]) -> Figure:
    pids = {name: processes.below(server.pid) for name, server in servers.items()}
    before_s: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        if number == 1:  # the first warms up
            before_s = {name: processes.cpu_s(pids[name]) for name in servers}
        for at in range(len(servers)):
            _ask(servers[list(servers)[(number + at) % len(servers)]], paths, number)
    requests = ROUNDS * CONNECTIONS * REQUESTS
    cost_us = {
        name: 1e6 * (processes.cpu_s(pids[name]) - before_s[name]) / requests for name in servers
    }
    beside = ", ".join(f"{name} {cost:.2f} µs" for name, cost in cost_us.items())
    ratio = cost_us[SHIPPED] / ((cost_us[PLAIN] + cost_us[AGAIN]) / 2)
    return Figure("index hit by nginx: CPU beside plain files", "times", ratio, LIMIT, beside)


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
