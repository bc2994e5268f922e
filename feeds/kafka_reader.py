"""What is committed in the topic, by offset. No consumer group: nothing is kept in Kafka."""

import time
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaTimeoutError

from packledger.feeds.kafka_address import KafkaAddress

FETCH_WAIT_MS = 100
"""How long the broker holds a fetch that finds nothing: a seek has to wait for it to return."""
ANSWER_MS = 1_000
"""More than that without an answer and the brokers are taken to be away."""
POLL_MS = 20


class KafkaReader:
    """Reads committed records of the one partition. Belongs to one thread.

    Every method raises `KafkaError` when the brokers do not answer or refuse.
    """

    def __init__(self, address: KafkaAddress) -> None:
        self._partition = address.partition
        self._consumer = KafkaConsumer(
            **address.options(),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            # Anything else would skip or repeat events silently, after a retention or a new topic.
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            metrics_enabled=False,
        )
        self._consumer.assign([self._partition])
        self._end = 0

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close(timeout_ms=ANSWER_MS)

    def begin(self) -> int:
        """Return the offset of the oldest record there may be."""
        offsets = self._consumer.beginning_offsets([self._partition], timeout_ms=ANSWER_MS)
        return int(offsets[self._partition])

    def end(self) -> int:
        """Return the offset before which everything is decided: committed or aborted."""
        offsets = self._consumer.end_offsets([self._partition], timeout_ms=ANSWER_MS)
        return int(offsets[self._partition])

    def offset(self) -> int:
        """Return the offset of what `poll` reads next; not before the first `seek`."""
        return int(self._consumer.position(self._partition, timeout_ms=ANSWER_MS))

    def seek(self, offset: int) -> None:
        """Let `poll` go on at an offset."""
        self._end = 0
        self._consumer.seek(self._partition, offset)

    def poll(self, timeout_ms: int, limit: int) -> list[Any]:
        """Return at most `limit` records as soon as there are some, none after `timeout_ms`."""
        found = self._consumer.poll(timeout_ms, max_records=limit)
        records: list[Any] = found.get(self._partition, [])
        return records

    def more(self, limit: int) -> list[Any]:
        """Return at most `limit` records from here on, none if there is nothing more now."""
        while True:
            newest = self.offset() >= self._end
            if newest:
                self._end = self.end()
            records = self.next_before(self._end, limit)
            # Before the end that was known there may be a mark only, and events behind it by now.
            if records or newest:
                return records

    def next_before(self, end: int, limit: int) -> list[Any]:
        """Return at most `limit` records from here on; none if there are none before offset `end`.

        Offsets have gaps: each transaction leaves a mark, and what was aborted is skipped.
        """
        deadline_s = time.monotonic() + ANSWER_MS / 1000
        timeout_ms = 0
        while (at := self.offset()) < end:
            if records := self.poll(timeout_ms, limit):
                return records
            if self.offset() > at:
                deadline_s = time.monotonic() + ANSWER_MS / 1000
            elif time.monotonic() > deadline_s:
                raise KafkaTimeoutError(f"no record at offset {at} of {end}")
            timeout_ms = POLL_MS
        return []

    def first(self) -> Any:
        """Return the oldest committed record, None if there is none."""
        self.seek(self.begin())
        return next(iter(self.next_before(self.end(), 1)), None)

    def last(self) -> Any:
        """Return the newest committed record, None if there is none."""
        begin, end = self.begin(), self.end()
        high, window = end, 64
        while high > begin:
            low = max(begin, high - window)
            self.seek(low)
            newest = None
            while records := self.next_before(end, 500):
                newest = records[-1]
            if newest is not None:
                return newest
            high, window = low, window * 4
        return None
