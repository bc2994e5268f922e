"""Brokers that die, one of one and one of three, and brokers that want a password."""

import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from event_stores import open_sqlite
from kafka_broker import Brokers
from packledger.domain.errors import Unavailable
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.kafka_feed import KafkaFeed
from packledger.feeds.relay import EXIT_SURPRISED
from packledger.feeds.store_feed import StoreFeed
from process_tree import wait_until
from relay_process import WAITS, RelayProcess
from relayed import arriving, assert_exact, relay_all
from small_logs import ListFeed, grow

pytestmark = [
    pytest.mark.service,
    pytest.mark.usefixtures("collect_sockets"),
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
]


SOON_S = 45.0


class Supervised:
    """A relay that is started again whenever it ends, and a log that grows beside it."""

    def __init__(self, folder: Path, address: KafkaAddress, *fault: object) -> None:
        folder.mkdir(exist_ok=True)
        self.log = open_sqlite(folder)
        self.ends: list[tuple[int, str]] = []
        self._folder, self._address = folder, address
        self._closing = False
        self.relay = self._start(*fault)
        self._threads = [threading.Thread(target=one) for one in (self._relay, self._grow)]
        for one in self._threads:
            one.start()

    def _relay(self) -> None:
        while not self._closing:
            if self.relay.lives():
                time.sleep(0.05)
                continue
            self.ends.append(self.relay.ended())
            self.relay = self._start()
        self.relay.ended(stop=True)

    def _start(self, *fault: object) -> RelayProcess:
        return RelayProcess(self._folder, self._address, *fault, page_events=20)

    def _grow(self) -> None:
        while not self._closing:
            grow(self.log, self.log.last_position() + 1)
            time.sleep(0.01)

    def close(self) -> None:
        self._closing = True
        for one in self._threads:
            one.join()
        self.log.close()


def until_away(feed: KafkaFeed, position: int) -> None:
    deadline_s = time.monotonic() + 30
    with suppress(Unavailable):
        while True:
            feed.read(position, 500)
            assert time.monotonic() < deadline_s


def test_a_broker_that_is_killed_and_started_again_loses_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    with closing(Brokers()) as brokers:
        (broker,) = brokers.start().nodes
        address = brokers.address()
        with closing(KafkaFeed(address)) as feed, closing(Supervised(tmp_path, address)) as running:
            seen = arriving(feed, 0, 50)
            broker.kill()
            until_away(feed, seen[-1].position)
            broker.start()
            seen += arriving(feed, seen[-1].position, running.log.last_position())
        with closing(open_sqlite(tmp_path)) as log:
            relay_all(StoreFeed(log), address)
            whole = log.read(0, 100_000)
        assert seen == whole[: len(seen)]
        assert_exact(address, whole)


def test_the_death_of_the_transactions_coordinator_ends_relays_and_their_successors_recover(
    tmp_path: Path,
) -> None:
    """One relay is between its last confirmation and its commit, one is somewhere."""
    with closing(Brokers(3)) as brokers:
        addresses = [brokers.start().address(), brokers.address()]
        for address in addresses:
            relay_all(ListFeed([]), address)
        victim = brokers.coordinator(f"relay-{addresses[0].topic}")
        while brokers.coordinator(f"relay-{addresses[1].topic}") is not victim:
            addresses[1] = brokers.address()
        folders = [tmp_path / "committing", tmp_path / "anywhere"]
        with (
            closing(Supervised(folders[0], addresses[0], "commit_transaction", WAITS, 3)) as one,
            closing(Supervised(folders[1], addresses[1])) as other,
            closing(KafkaFeed(addresses[0])) as feed,
            closing(KafkaFeed(addresses[1])) as other_feed,
        ):
            arriving(other_feed, 0, 20)
            wait_until(one.relay.waits, "it waits before its commit", SOON_S)
            victim.kill()
            one.relay.go_on()
            wait_until(lambda: bool(one.ends and other.ends), "both have ended", SOON_S)
            begun = other.log.last_position()
            seen = arriving(feed, 0, begun)
            arriving(other_feed, 20, begun)
            assert all(code == EXIT_SURPRISED for code, _ in one.ends + other.ends)
        for folder, address in zip(folders, addresses, strict=True):
            with closing(open_sqlite(folder)) as log:
                relay_all(StoreFeed(log), address)
                assert_exact(address, log.read(0, 100_000))
                assert folder != folders[0] or seen == log.read(0, len(seen))
