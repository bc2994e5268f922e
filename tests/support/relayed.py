"""A log whose events reach a Kafka feed through a relay: in a thread, or step by step."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import zip_longest
from weakref import WeakKeyDictionary

from kafka_broker import shared_brokers
from packledger.domain.errors import Unavailable
from packledger.eventstore.log import Log, Recorded
from packledger.feeds.feed import Feed
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.kafka_feed import KafkaFeed
from packledger.feeds.kafka_reader import KafkaReader
from packledger.feeds.kafka_record import place_of
from packledger.feeds.relay import Relay
from packledger.feeds.store_feed import StoreFeed

RELAYS_WITHIN_S = 30.0


def relay_all(feed: Feed, address: KafkaAddress) -> int:
    """Let a relay live for as long as there is something to do; return the position it reached."""
    with closing(Relay(feed, address)) as relay:
        while relay.step():
            pass
        with closing(KafkaReader(address)) as reader:
            wait_until_visible(relay, reader)
        return relay.position


def wait_until_visible(relay: Relay, reader: KafkaReader) -> None:
    """A commit returns when it is decided; readers see it when its mark is written, soon after."""
    deadline_s = time.monotonic() + RELAYS_WITHIN_S
    while reader.end() <= relay._offset:
        assert time.monotonic() < deadline_s


def read_all(address: KafkaAddress) -> list[Recorded]:
    """Return what a new node reads from the topic."""
    with closing(KafkaFeed(address)) as feed:
        return list(follow(feed))


def follow(feed: Feed, after: int = 0, limit: int = 500) -> Iterator[Recorded]:
    """Yield what there is now."""
    while page := feed.read(after, limit):
        yield from page
        after = page[-1].position


def arriving(feed: Feed, after: int, until: int) -> list[Recorded]:
    """Follow a feed up to a position as a projector does, whatever is away meanwhile."""
    seen: list[Recorded] = []
    deadline_s = time.monotonic() + RELAYS_WITHIN_S
    while not seen or seen[-1].position < until:
        assert time.monotonic() < deadline_s, f"{len(seen)} events after {after}, not up to {until}"
        with suppress(Unavailable):
            seen += follow(feed, seen[-1].position if seen else after)
        feed.wait(0.1)
    return seen


def committed(address: KafkaAddress) -> list[tuple[int, int]]:
    """Return `id` and `prev` of every record that is committed in the topic, nothing skipped."""
    with closing(KafkaReader(address)) as reader:
        reader.seek(reader.begin())
        places: list[tuple[int, int]] = []
        while records := reader.more(1_000):
            places += (place_of(record)[:2] for record in records)
        return places


def assert_exact(address: KafkaAddress, log: Sequence[Recorded]) -> None:
    """Require that the topic holds the log: each event once, in order, and nothing else."""
    found, expected = committed(address), [(one.position, one.position - 1) for one in log]
    strange = [pair for pair in zip_longest(found, expected) if pair[0] != pair[1]]
    assert not strange, f"{len(found)} of {len(expected)}, differing from {strange[:5]} on"
    assert read_all(address) == list(log)


class RelayThread:
    """A relay at work until it is closed."""

    def __init__(self, log: Log, address: KafkaAddress) -> None:
        self._log, self._address = log, address
        self._moved = threading.Condition()
        self._position = 0
        self._error: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with (
                closing(StoreFeed(self._log)) as feed,
                closing(Relay(feed, self._address)) as relay,
            ):
                while not self._closing:
                    self._say(relay.position)
                    if not relay.step():
                        feed.wait(0.05)
        except BaseException as error:
            self._error = error
            self._say(0)

    def _say(self, position: int) -> None:
        with self._moved:
            self._position = position
            self._moved.notify_all()

    def wait_for(self, position: int) -> None:
        """Return when everything up to a position is committed in the topic."""
        with self._moved:
            there = self._moved.wait_for(
                lambda: self._error or self._position >= position, RELAYS_WITHIN_S
            )
        if self._error:
            raise self._error
        assert there, f"the relay is at {self._position}, not at {position}"

    def close(self) -> None:
        self._closing = True
        self._thread.join()


_ADDRESSES: WeakKeyDictionary[Log, KafkaAddress] = WeakKeyDictionary()


class RelayedFeed(KafkaFeed):
    """A Kafka feed that is as far as its log whenever it is read, as the store's feed is."""

    def __init__(self, log: Log) -> None:
        self._log = log
        address = _ADDRESSES.setdefault(log, shared_brokers().address())
        self._relay = RelayThread(log, address)
        self._relay.wait_for(0)
        super().__init__(address)

    def read(self, after: int, limit: int) -> list[Recorded]:
        self._relay.wait_for(self._log.last_position())
        return super().read(after, limit)

    def close(self) -> None:
        self._relay.close()
        super().close()
