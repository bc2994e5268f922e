"""The feed of a cluster's nodes: the log as the relay published it in Kafka.

The position that is committed with a read model's rows is all that is kept; the offset is found
from it. Every record says which one it follows, so nothing is skipped or repeated, whatever
happened to the topic.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kafka.errors import KafkaError

from packledger.domain.errors import Unavailable
from packledger.feeds.feed import BrokenFeed, Recorded
from packledger.feeds.kafka_address import KafkaAddress, explained
from packledger.feeds.kafka_reader import KafkaReader
from packledger.feeds.kafka_record import NO_LINK, from_record, next_link, place_of

SCAN_OFFSETS = 2_000
"""So near to a position, reading on is faster than another look in the middle (a fetch each)."""
_AHEAD = 500
RETRY_S = 0.2
"""With a look for the brokers that is not answered, less than a projector may be silent."""

log = logging.getLogger("packledger.feed")


class KafkaFeed:
    """Reads the topic from any position, and notices when it is another one or lacks events."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._open: KafkaReader | None = None
        self._at: int | None = None
        """The position that `_ready`, and then the reader, go on from; None: to be found."""
        self._ready: list[Any] = []
        self._seen, self._link = 0, NO_LINK
        """The last event that was given, and its link: what comes next continues both."""
        self._due = False
        """Whether `wait` has said that there is something to read."""
        self._away = False

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return at most `limit` events that follow position `after`, in order.

        Raises:
            Unavailable: the brokers do not answer, or there is no topic.
            BrokenFeed: the topic lacks what follows, or holds another log.
            UnknownEvent: a newer release wrote one of them.
        """
        with self._reader() as reader:
            try:
                page = self._page(reader, after, limit)
            except BrokenFeed:
                # Offsets mean nothing in a topic that was created anew: look for our place again.
                self._at = None
                page = self._page(reader, after, limit)
        self._due = False
        return page

    def wait(self, timeout_s: float) -> bool:
        """Block until somebody commits to the topic, at most `timeout_s`; return whether so.

        Also true when only `read` can tell: the brokers were away, or the topic is another one.
        """
        if self._due:
            time.sleep(min(timeout_s, RETRY_S))
            return True
        if self._at is not None and not self._ready:
            with suppress(Unavailable), self._reader() as reader:
                self._ready = reader.poll(int(timeout_s * 1000), _AHEAD)
        self._due = bool(self._ready) or self._at is None
        return self._due

    def last_position(self) -> int:
        """Return the position of the newest event in the topic.

        Raises:
            Unavailable: the brokers do not answer, or there is no topic.
        """
        with self._reader() as reader:
            self._lose_place()
            newest = reader.last()
        return 0 if newest is None else place_of(newest)[0]

    def close(self) -> None:
        """Close the connections."""
        self._lose_place()
        if self._open is not None:
            with suppress(KafkaError):  # of brokers that are away
                self._open.close()
            self._open = None

    def _lose_place(self) -> None:
        self._at, self._ready = None, []

    @contextmanager
    def _reader(self) -> Iterator[KafkaReader]:
        """Give the reader, opened if need be; say once that the brokers are away or back."""
        try:
            if self._open is None:
                self._open = KafkaReader(self._address)
            yield self._open
        except (KafkaError, OSError) as error:  # also an offset that the topic has no more
            self.close()
            self._due = True
            sentence = f"cannot read {self._address} now: {explained(error)}"
            if not self._away:
                log.error("%s; trying again", sentence)
            self._away = True
            raise Unavailable(sentence) from error
        except BaseException:
            self._lose_place()  # what was taken from the reader is with nobody
            raise
        if self._away:
            log.info("reading %s again", self._address)
        self._away = False

    def _page(self, reader: KafkaReader, after: int, limit: int) -> list[Recorded]:
        if after != self._at:
            self._find(reader, after)
        link = NO_LINK if after == 0 else self._link if after == self._seen else None
        page: list[Recorded] = []
        while len(page) < limit and (records := self._next(reader, limit - len(page))):
            for record in records:
                position, prev, its_link = place_of(record)
                known = position != self._seen or its_link == self._link
                if position > after:
                    self._check_continues(after, position, prev)
                    page.append(from_record(record))
                    known &= link is None or its_link == next_link(link, page[-1])
                    after = position
                self._check_known(known, position)
                if position == after:
                    link = its_link
        self._at = after
        if page and link:
            self._seen, self._link = after, link
        return page

    def _check_continues(self, after: int, position: int, prev: int) -> None:
        if prev != after:
            raise BrokenFeed(
                f"{self._address} lacks events: {position} comes after {after}; delete the topic, "
                "the relay publishes the log again"
            )

    def _check_known(self, known: bool, position: int) -> None:
        if not known:
            raise BrokenFeed(
                f"{self._address} holds another log now: its event {position} does not continue "
                "what was read before. Name the right topic with `kafka_topic`, or rebuild the "
                "read models"
            )

    def _next(self, reader: KafkaReader, limit: int) -> list[Any]:
        if self._ready:
            records, self._ready = self._ready[:limit], self._ready[limit:]
            return records
        return reader.more(limit)

    def _find(self, reader: KafkaReader, after: int) -> None:
        """Let the reader go on a little before the event that follows position `after`."""
        self._ready = []
        low, high = reader.begin(), reader.end()
        end = high
        while after and high - low > SCAN_OFFSETS:
            middle = (low + high) // 2
            reader.seek(middle)
            records = reader.next_before(end, 1)
            if records and place_of(records[0])[0] <= after:
                low = records[0].offset
            else:
                high = middle
        reader.seek(low)
