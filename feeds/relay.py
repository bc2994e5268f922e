"""The relay: copies the log into the topic, each event once and in order.

The position is the topic's own last record, read after `init_transactions` has fenced every other
relay; so a relay keeps nothing, and whatever surprises it, it ends and another one begins anew.
See docs/adr/0018-one-partition-transactions-no-consumer-group.md.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from packledger.domain.errors import Conflict
from packledger.feeds.feed import Feed, Recorded
from packledger.feeds.kafka_address import KafkaAddress, explained
from packledger.feeds.kafka_reader import KafkaReader
from packledger.feeds.kafka_record import NO_LINK, from_record, next_link, place_of, to_record
from packledger.feeds.kafka_topic import prepare_topic

PAGE_EVENTS = 500
PAGE_BYTES = 8 * 1024 * 1024
_CHUNK_EVENTS = 50
"""So that a page of the largest events, 512 KiB each, takes 33 MB and not 256."""
DELIVERY_S = 10.0
STUCK_S = 15.0
FENCED_WAIT_S = 5.0
"""Two relays fence each other in turn; each would begin anew as soon as it is fenced."""
WAIT_S = 0.5
EXIT_SURPRISED = os.EX_TEMPFAIL

log = logging.getLogger("packledger.relay")


class Surprise(Exception):
    """Something that a relay cannot explain; the next one reads anew what became of it."""


class Relay:
    """One life of a relay: from fencing the others to the first surprise.

    feed: the event store's. Every method may raise anything; after that, only `close` is allowed.
    """

    def __init__(self, feed: Feed, address: KafkaAddress) -> None:
        self._feed, self._topic = feed, address.topic
        self._offset, self._link = -1, NO_LINK
        prepare_topic(address)
        self._producer = KafkaProducer(
            **address.options(),
            transactional_id=f"relay-{address.topic}",
            transaction_timeout_ms=int(DELIVERY_S * 1000),
            delivery_timeout_ms=int(DELIVERY_S * 1000),
            max_block_ms=int(DELIVERY_S * 1000),
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            # After a commit the coordinator still writes marks, and the next transaction is told
            # to come again: 100 ms would be the default.
            retry_backoff_ms=5,
            linger_ms=5,
            batch_size=64 * 1024,
            metrics_enabled=False,
        )
        try:
            self._producer.init_transactions()
            self.position = self._relayed(address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the producer; what it did not commit is never seen."""
        with suppress(KafkaError):  # that something was not sent
            self._producer.close(timeout=1)

    def _relayed(self, address: KafkaAddress) -> int:
        """Return the position that the topic has reached, and check that it holds our log.

        Raises:
            Conflict: the topic lacks events, or holds those of another log.
        """
        reader = KafkaReader(address)
        try:
            first, last = reader.first(), reader.last()
        finally:
            reader.close()
        if last is None:
            return 0
        begin, (end, _, link) = place_of(first)[0], place_of(last)
        again = "delete the topic, the relay publishes the log again"
        if begin != 1:
            raise Conflict(
                f"{address} begins with event {begin}, those before it are lost; {again}"
            )
        ours = self._feed.read(end - 1, 1)
        if ours != [from_record(last)]:
            raise Conflict(
                f"{address} holds the log of another registry, or of this one before it was "
                f"restored from a backup: its event {end} is not ours. Name another topic with "
                f"`kafka_topic`, or {again}"
            )
        self._offset, self._link = last.offset, link
        return end

    def step(self) -> bool:
        """Relay one page in one transaction; return whether there was one."""
        page = self._page()
        if not page:
            self._check_length()
            return False
        self._producer.begin_transaction()
        deadline_s = time.monotonic() + DELIVERY_S
        links = list(self._links(page))
        futures = self._send(page, links)
        self._producer.flush(timeout=DELIVERY_S)
        # Every one, and before the commit: that returns normally although all of them failed.
        offsets = [one.get(max(0.01, deadline_s - time.monotonic())).offset for one in futures]
        if offsets[0] <= self._offset:
            raise Surprise(f"topic `{self._topic}` was created anew or truncated")
        self._producer.commit_transaction()
        self.position, self._offset, self._link = page[-1].position, offsets[-1], links[-1]
        return True

    def _check_length(self) -> None:
        length = self._feed.last_position()
        if length < self.position:
            raise Surprise(
                f"the log ends at {length}, but {self.position} is published: it is another one"
            )

    def _send(self, page: Sequence[Recorded], links: Sequence[bytes]) -> list[Any]:
        return [
            self._producer.send(
                self._topic, partition=0, **to_record(recorded, recorded.position - 1, link)
            )
            for recorded, link in zip(page, links, strict=True)
        ]

    def _links(self, page: Sequence[Recorded]) -> Iterator[bytes]:
        link = self._link
        for recorded in page:
            link = next_link(link, recorded)
            yield link

    def _page(self) -> list[Recorded]:
        page: list[Recorded] = []
        size_bytes, after = 0, self.position
        while len(page) < PAGE_EVENTS and size_bytes < PAGE_BYTES:
            chunk = self._feed.read(after, min(_CHUNK_EVENTS, PAGE_EVENTS - len(page)))
            if not chunk:
                break
            page += chunk
            after = page[-1].position
            size_bytes += sum(len(one.state) for one in chunk)
        positions = [one.position for one in page]
        if positions != list(range(self.position + 1, after + 1)):
            raise Surprise(f"the log skips a position between {self.position} and {after}")
        return page


class Watchdog:
    """Ends the process when nothing has moved for too long: a commit has no time-out of its own."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self.beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """Say that something moved."""
        self._beat_s = time.monotonic()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self) -> None:
        while time.monotonic() - self._beat_s < STUCK_S:
            if self._stopped.wait(0.5):
                return
        log.error("the relay hangs in the Kafka client and ends; start it again")
        os._exit(EXIT_SURPRISED)


def run_relay(feed: Feed, address: KafkaAddress, stopping: Callable[[], bool]) -> int:
    """Relay until `stopping` says so or something surprises; return the process's exit code.

    0: stopped. `EXIT_SURPRISED`: to be started again, nothing is lost or repeated.

    Raises:
        Conflict: somebody has to see to the topic; the sentence says how.
    """
    watchdog = Watchdog()
    relay = None
    try:
        relay = Relay(feed, address)
        log.info("the relay is at work", extra={"position": relay.position})
        while not stopping():
            watchdog.beat()
            if not relay.step():
                feed.wait(WAIT_S)
    except Conflict:
        raise
    except (ProducerFencedError, InvalidProducerEpochError):
        log.error("another relay is at work on the same topic; run only one. This one ends")
        watchdog.stop()
        _wait(FENCED_WAIT_S, stopping)
        return EXIT_SURPRISED
    except Exception as error:
        log.error("the relay ends, to begin anew: %s", explained(error))
        return EXIT_SURPRISED
    finally:
        if relay is not None:
            relay.close()
        watchdog.stop()
    return os.EX_OK


def _wait(seconds: float, stopping: Callable[[], bool]) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and not stopping():
        time.sleep(0.05)
