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

from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from packledger.domain.errors import Unavailable
from packledger.feeds.feed import BrokenFeed, Recorded
from packledger.feeds.kafka_address import KafkaAddress, explained
from packledger.feeds.kafka_reader import KafkaReader
from packledger.feeds.kafka_record import from_record, place_of

SCAN_OFFSETS = 2_000
"""So near to a position, reading on is faster than another look in the middle (a fetch each)."""
_AHEAD = 500

log = logging.getLogger("packledger.feed")


class KafkaFeed:
    """Reads the topic from any position, and notices when it is another one or lacks events."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._open: KafkaReader | None = None
        self._topic_id: Any = None
        self._at: int | None = None
        """The position that `_ready`, and then the reader, go on from; None: to be found."""
        self._ready: list[Any] = []
        self._seen: Recorded | None = None
        """The last event given: a topic created anew holds it too, if it holds our log."""
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
            except (BrokenFeed, LogTruncationError, OffsetOutOfRangeError):
                # Offsets mean nothing in a topic that was created anew: look for our place again.
                self._at = None
                page = self._page(reader, after, limit)
        if page:
            self._seen = page[-1]
        return page

    def wait(self, timeout_s: float) -> bool:
        """Block until somebody commits to the topic, at most `timeout_s`; return whether so.

        Also true when only `read` can tell: the brokers were away, or the topic is another one.
        """
        if self._away:
            time.sleep(timeout_s)
        elif self._at is not None and not self._ready:
            try:
                with self._reader() as reader:
                    self._ready = self._ahead(reader, timeout_s)
            except Unavailable:
                return True
        return bool(self._ready) or self._at is None

    def _ahead(self, reader: KafkaReader, timeout_s: float) -> list[Any]:
        try:
            return reader.poll(int(timeout_s * 1000), _AHEAD)
        except (LogTruncationError, OffsetOutOfRangeError):
            self._at = None
            return []

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
        except (KafkaError, OSError) as error:
            self.close()
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
        if self._topic_changed(reader) or after != self._at:
            self._find(reader, after)
        page: list[Recorded] = []
        while len(page) < limit and (records := self._next(reader, limit - len(page))):
            for record in records:
                position, prev = place_of(record)
                if position <= after:
                    self._check_seen(record, position)
                elif prev == after:
                    page.append(from_record(record))
                    after = position
                else:
                    raise BrokenFeed(
                        f"{self._address} lacks events: {position} comes after {after}; delete the "
                        "topic, the relay publishes the log again"
                    )
        self._at = after
        return page

    def _next(self, reader: KafkaReader, limit: int) -> list[Any]:
        if self._ready:
            records, self._ready = self._ready[:limit], self._ready[limit:]
            return records
        return reader.more(limit)

    def _topic_changed(self, reader: KafkaReader) -> bool:
        before, self._topic_id = self._topic_id, reader.topic_id()
        return before is not None and before != self._topic_id

    def _check_seen(self, record: Any, position: int) -> None:
        """Refuse a topic that holds something else in the place of what we have read."""
        if self._seen and position == self._seen.position and from_record(record) != self._seen:
            raise BrokenFeed(
                f"{self._address} holds another log now: its event {position} is not the one read "
                "before. Name the right topic with `kafka_topic`, or rebuild the read models"
            )

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
