"""A minute in which everything dies but the stores' disks: nothing is lost, repeated, reordered."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from cluster import Cluster
from node import Process
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.npm import NpmVersionPublished
from packledger.eventstore.log import Log, Recorded
from packledger.eventstore.postgres.store import PostgresStore
from packledger.feeds.relay import EXIT_SURPRISED
from process_tree import wait_until
from publications import Publication, check_served, publication
from relayed import assert_exact, committed

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]

LASTS_S = 60.0
WRITERS = 3
PAUSE_S = 0.1
"""Of a writer between two publishes: all of them are read back from both nodes afterwards."""
VERSIONS_EACH = 10
RELAY_KILLS, PROJECTOR_KILLS, BROKER_KILLS, RESTARTS = 6, 9, 2, 1


class Writer(threading.Thread):
    """Publishes through either node, and asks again until it is told yes."""

    def __init__(self, number: int, cluster: Cluster, stopping: threading.Event) -> None:
        super().__init__()
        self.acknowledged: list[Publication] = []
        self.unexpected: list[str] = []
        self._number, self._cluster, self._stopping = number, cluster, stopping
        self._chance = random.Random(number)

    def run(self) -> None:
        count = 0
        while not self._stopping.wait(PAUSE_S):
            kind = ("cargo", "npm")[count // VERSIONS_EACH % 2]
            name = f"chaos-{self._number}-{count // VERSIONS_EACH}"
            one = publication(kind, name, f"1.{count % VERSIONS_EACH}.0")
            self._publish(one)
            count += 1

    def _publish(self, one: Publication) -> None:
        asked_before = False
        while True:
            node = self._chance.choice(self._cluster.nodes)
            try:
                answer = one.put(node.http, self._cluster.tokens["alice"])
            except httpx.TransportError as error:
                self.unexpected.append(f"{one.key}: {error!r}")
                return
            # Its own earlier attempt may have been committed although it was told to try again.
            if answer.status_code in {200, 201} or (asked_before and answer.status_code == 409):
                self.acknowledged.append(one)
                return
            if answer.status_code != 503 or self._stopping.is_set():
                if answer.status_code != 503:
                    self.unexpected.append(f"{one.key}: {answer.status_code} {answer.text}")
                return
            asked_before = True
            time.sleep(PAUSE_S)


class Chaos:
    """What is done to the cluster, and how often it was."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._chance = cluster, random.Random(7)
        self.done: dict[str, int] = dict.fromkeys(("relay", "projector", "broker", "postgres"), 0)

    def relay(self) -> None:
        self._crash(self._cluster.relay)
        self.done["relay"] += 1

    def projector(self) -> None:
        node = self._cluster.nodes[self.done["projector"] % 2]
        if self._chance.random() < 0.5:
            self._crash(node.project)
        else:
            wait_until(lambda: bool(node.project.children()), "it has a projector")
            node.project.crash_child(node.project.children()[0])
        self.done["projector"] += 1

    def broker(self) -> None:
        self._cluster.broker.kill()
        self._cluster.broker.start()
        self.done["broker"] += 1

    def postgres(self) -> None:
        self._cluster.postgres.restart()
        self.done["postgres"] += 1

    def _crash(self, process: Process) -> None:
        wait_until(process.lives, "it was started again")
        process.crash()

    def plan(self) -> list[str]:
        """Return what is done, in an order of its own."""
        plan = ["relay"] * RELAY_KILLS + ["projector"] * PROJECTOR_KILLS
        plan += ["broker"] * BROKER_KILLS + ["postgres"] * RESTARTS
        self._chance.shuffle(plan)
        return plan

    def run(self) -> None:
        """Do all of it, evenly over the time; for the last third, two relays are at work."""
        began_s = time.monotonic()
        plan = self.plan()
        rival = self._cluster.new_relay()
        for number, name in enumerate(plan):
            at_s = began_s + LASTS_S * number / len(plan)
            time.sleep(max(0.0, at_s - time.monotonic()))
            if number == len(plan) * 2 // 3:
                self._cluster.relays.append(rival)
                rival.start()
            getattr(self, name)()
        time.sleep(max(0.0, began_s + LASTS_S - time.monotonic()))
        rival.kill_everything()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(workers=1)
    try:
        yield cluster.start()
    finally:
        cluster.close()


def log_of(cluster: Cluster) -> list[Recorded]:
    with closing(Log(PostgresStore(cluster.env["PACKLEDGER_DATABASE"], 1))) as log:
        return log.read(0, 1_000_000)


def published_in(log: list[Recorded]) -> list[tuple[str, str, str]]:
    kinds = {CrateVersionPublished: "cargo", NpmVersionPublished: "npm"}
    return [
        (kinds[type(one.event)], one.event.name, one.event.version)
        for one in log
        if isinstance(one.event, (CrateVersionPublished, NpmVersionPublished))
    ]


def test_a_minute_of_chaos_loses_repeats_and_reorders_nothing(cluster: Cluster) -> None:
    stopping = threading.Event()
    writers = [Writer(number, cluster, stopping) for number in range(WRITERS)]
    chaos = Chaos(cluster)
    for writer in writers:
        writer.start()
    try:
        chaos.run()
    finally:
        stopping.set()
        for writer in writers:
            writer.join()
    assert chaos.done == {
        "relay": RELAY_KILLS,
        "projector": PROJECTOR_KILLS,
        "broker": BROKER_KILLS,
        "postgres": RESTARTS,
    }
    assert [sentence for writer in writers for sentence in writer.unexpected] == []
    acknowledged = [one for writer in writers for one in writer.acknowledged]
    assert len(acknowledged) > 100

    log = log_of(cluster)
    assert [one.position for one in log] == list(range(1, len(log) + 1))
    in_log = published_in(log)
    assert len(in_log) == len(set(in_log))
    assert {one.key for one in acknowledged} <= set(in_log)

    cluster.wait_for(len(log))
    # The duel's loser may still be on its way out.
    cluster.relay.stop(EXIT_SURPRISED)
    # What was refused at the end, when nobody knew better, may still have been appended since.
    relayed = len(committed(cluster.address))
    assert relayed >= len(log)
    assert_exact(cluster.address, log_of(cluster)[:relayed])
    names: dict[str, list[Publication]] = {}
    for one in acknowledged:
        names.setdefault(one.name, []).append(one)
    for node in cluster.nodes:
        for name, versions in names.items():
            check_served(node.http, name, versions)
    one, other = (node.digests() for node in cluster.nodes)  # require a clean `rebuild --check`
    assert one == other
