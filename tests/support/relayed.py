"""A log whose events reach a Kafka feed through a relay: in a thread, or step by step."""

import threading
from collections.abc import Iterator
from contextlib import closing
from weakref import WeakKeyDictionary

from kafka_broker import shared_brokers
from packledger.eventstore.log import Log, Recorded
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.kafka_feed import KafkaFeed
from packledger.feeds.relay import Relay
from packledger.feeds.store_feed import StoreFeed

RELAYS_WITHIN_S = 30.0


def relay_all(log: Log, address: KafkaAddress) -> int:
    """Let a relay live for as long as there is something to do; return the position it reached."""
    with closing(StoreFeed(log)) as feed, closing(Relay(feed, address)) as relay:
        while relay.step():
            pass
        return relay.position


def read_all(address: KafkaAddress) -> list[Recorded]:
    """Return what a new node reads from the topic."""
    with closing(KafkaFeed(address)) as feed:
        return list(pages_of(feed))


def pages_of(feed: KafkaFeed, after: int = 0, limit: int = 500) -> Iterator[Recorded]:
    while page := feed.read(after, limit):
        yield from page
        after = page[-1].position


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
