"""A cluster on this machine: how soon a publish is seen elsewhere, catching up, appending.

    python bench/distributed.py [visible] [catch-up] [append] [--quick]

PostgreSQL (on a disk, durable), one Kafka broker, an S3 server, a relay and two nodes share the
machine's cores with whoever asks them, so that rates say what one such machine does.
"""

import argparse
import importlib.util
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

# First: what the tests call `processes` and `uploads` is meant here.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import psycopg
from figures import Figure, percentile, table
from generated_log import write_log

import uploads
from cluster import Cluster
from node import Node
from packledger.commands.cargo import crates
from packledger.commands.cargo.upload import CrateUpload
from packledger.domain.accounts.permissions import Identity
from packledger.eventstore.log import Log
from packledger.eventstore.postgres.settings import Postgres
from packledger.eventstore.sqlite.store import SQLiteStore
from packledger.projections.board import Board
from packledger.projections.catalogue import on_every_node
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from postgres_server import PostgresServer

EVENTS = 200_000
PUBLISHES = 300
WRITERS, PUBLISHES_EACH = 4, 500
COPY_EVENTS = 10_000
ROW = "COPY stored_events (position, originator_id, originator_version, topic, state) FROM STDIN"


def _costs() -> Any:
    """Return bench/processes.py, whose name is taken here."""
    spec = importlib.util.spec_from_file_location("costs", Path(__file__).with_name("processes.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


costs = _costs()


@contextmanager
def running(nodes: int) -> Iterator[Cluster]:
    """A cluster that is ready."""
    cluster = Cluster(nodes, workers=1, log_level="error")
    cluster.postgres.close()
    cluster.postgres = PostgresServer(on_disk=True)
    try:
        yield cluster.start()
    finally:
        cluster.close()


def visible(folder: Path, scale: int) -> list[Figure]:
    """Publish through one node, and ask the other one until it has it."""
    count = PUBLISHES // scale
    with running(2) as cluster:
        one, other = (HTTPConnection("127.0.0.1", node.port) for node in cluster.nodes)
        headers = {"authorization": f"Bearer {cluster.tokens['alice']}"}
        all_ms, after_ms = [], []
        for number in range(count + 20):
            name = f"seen{number:05d}"
            path = f"/cargo/index/se/en/{name}"
            assert _status(other, path) == 404
            began_s = time.perf_counter()
            one.request(
                "PUT", "/cargo/api/v1/crates/new", uploads.new_crate(name, "1.0.0"), headers
            )
            answer = one.getresponse()
            answer.read()
            assert answer.status == 200
            answered_s = time.perf_counter()
            while _status(other, path) != 200:
                pass
            seen_s = time.perf_counter()
            all_ms.append((seen_s - began_s) * 1000)
            after_ms.append((seen_s - answered_s) * 1000)
        for connection in (one, other):
            connection.close()
    what = "publish sent → visible on another node"
    beside = f"{median(after_ms[20:]):.1f} ms of it after the answer, p50"
    return [
        Figure(f"{what}: p50", "ms", median(all_ms[20:]), 60, beside),
        Figure(f"{what}: p99", "ms", percentile(all_ms[20:], 99), 250),
    ]


def _status(connection: HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def catch_up(folder: Path, scale: int) -> list[Figure]:
    """Fill the log, have the relay publish it, and start a node that has nothing."""
    events = EVENTS // scale
    with running(0) as cluster:
        cluster.relay.kill_everything()
        fill(cluster.env["PACKLEDGER_DATABASE"], events, folder)
        cluster.relay.start()
        relay_s = _seconds_until(lambda: cluster.topic_reaches(events), 0.5)
        node = cluster.add_node()
        node.project.start()
        took_s = _seconds_until(lambda: _position(node) >= events, 0.02)
        cpu_s = _cpu_s(node.project.pid)
        beside = f"from its start on: {took_s:.1f} s, processor time {cpu_s:.1f} s"
    return [
        Figure("relay: from PostgreSQL to Kafka", "events/s", events / relay_s),
        Figure("a new node catches up", "events/s", events / took_s, 20_000, beside, at_least=True),
    ]


def _seconds_until(true: Callable[[], bool], every_s: float) -> float:
    began_s = time.monotonic()
    while not true():
        time.sleep(every_s)
    return time.monotonic() - began_s


def _position(node: Node) -> int:
    """Return how far a node is that may be read."""
    path = node.data / "run" / "board"
    if not path.exists():
        return 0
    with closing(Board(path)) as board:
        ready = all(map(board.readable, on_every_node()))
        return min(map(board.position, on_every_node())) if ready else 0


def fill(database: str, events: int, folder: Path) -> None:
    """Give an empty database a generated log."""
    path = folder / "generated.sqlite"
    write_log(path, events)
    with (
        closing(Log(SQLiteStore(path))) as log,
        psycopg.connect(database, autocommit=True) as connection,
    ):
        connection.execute("TRUNCATE stored_events, stored_snapshots")
        position = 0
        while page := log.read(position, COPY_EVENTS):
            with connection.cursor().copy(ROW) as copy:
                for one in page:
                    copy.write_row((one.position, one.stream, one.version, one.tag, one.state))
            position = page[-1].position


def append(folder: Path, scale: int) -> list[Figure]:
    """Let four processes run the command that publishes a crate, as web workers do."""
    server = PostgresServer(on_disk=True)
    try:
        server.start()
        database = server.new_store()
        count = PUBLISHES_EACH // scale
        start = multiprocessing.get_context("fork").Barrier(WRITERS + 1)
        pipes = [multiprocessing.Pipe() for _ in range(WRITERS)]
        writers = [
            multiprocessing.get_context("fork").Process(
                target=_write, args=(start, pipe, folder / f"writer-{number}", database, count)
            )
            for number, (_, pipe) in enumerate(pipes)
        ]
        for writer in writers:
            writer.start()
        start.wait()
        server_s = _cpu_s(server.pid)
        began_s = time.monotonic()
        spent = [pipe.recv() for pipe, _ in pipes]
        took_s = time.monotonic() - began_s
        for writer in writers:
            writer.join()
        time.sleep(0.5)  # a session ends a moment after its client has left
        server_s = _cpu_s(server.pid) - server_s
    finally:
        server.close()
    publishes = WRITERS * count
    writer_ms = sum(cpu_s for cpu_s, _ in spent) / publishes * 1000
    server_ms = server_s / publishes * 1000
    locked_ms = median(one for _, durations in spent for one in durations)
    beside = (
        f"processor time of each: {writer_ms:.2f} ms in its writer, {server_ms:.2f} ms in"
        f" PostgreSQL; the append takes {locked_ms:.2f} ms, p50"
    )
    return [
        Figure(
            f"publishes of {WRITERS} writers on one PostgreSQL",
            "/s",
            publishes / took_s,
            400,
            beside,
            at_least=True,
        )
    ]


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process and of all that it has started, ended or not."""
    ticks = 0
    for one in costs.below(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _write(start: Any, pipe: Any, data: Path, database: str, count: int) -> None:
    settings = Settings(data=str(data), postgres=Postgres(database))
    registry = wiring.open_registry(settings, create=False)
    bodies = [
        (f"append-{data.name}-{number}", uploads.new_crate(f"append-{data.name}-{number}", "1.0.0"))
        for number in range(count)
    ]
    durations: list[float] = []
    real = registry.log.recorder.insert_events

    def timed(*arguments: Any, **named: Any) -> Any:
        began_s = time.perf_counter()
        try:
            return real(*arguments, **named)
        finally:
            durations.append((time.perf_counter() - began_s) * 1000)

    registry.log.recorder.insert_events = timed  # type: ignore[method-assign]
    start.wait()
    before_s = time.process_time()
    for name, body in bodies:
        blob = registry.blobs.writer()
        upload = CrateUpload(blob, registry.limits.crate_bytes)
        upload.feed(body)
        upload.finish()
        crates.publish(registry, registry.caller(Identity("bench")), upload, blob)
        assert name
    pipe.send((time.process_time() - before_s, durations))
    wiring.close_registry(registry)


PARTS: dict[str, Callable[[Path, int], list[Figure]]] = {
    "visible": visible,
    "catch-up": catch_up,
    "append": append,
}


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: a smoke test")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for part in arguments.parts or PARTS:
        print(f"measuring: {part}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="packledger-bench-") as name:
            figures += PARTS[part](Path(name), 10 if arguments.quick else 1)
    print(table(figures))
    print(f"\n{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end")
    return 0 if all(one.holds for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
