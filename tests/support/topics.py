"""What may happen to a topic, done by the shared broker's administrator or by a dying relay."""

import time
from collections.abc import Sequence

from kafka_broker import shared_brokers
from packledger.feeds.feed import Recorded
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.relay import Relay

RIGHT = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}


def create_topic(address: KafkaAddress, partitions: int, configs: dict[str, str]) -> None:
    wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
    with shared_brokers().admin() as admin:
        admin.create_topics({address.topic: wanted}, wait_for_metadata=True)


def delete_topic(address: KafkaAddress) -> None:
    """Delete a topic, and return when its name is free again."""
    deadline_s = time.monotonic() + 30
    with shared_brokers().admin() as admin:
        admin.delete_topics([address.topic])
        while address.topic in admin.list_topics():
            assert time.monotonic() < deadline_s


def delete_records(address: KafkaAddress, before_offset: int) -> None:
    """Delete what is before an offset; -1: everything."""
    with shared_brokers().admin() as admin:
        admin.delete_records({address.partition: before_offset})


def abandon(relay: Relay, log: Sequence[Recorded], events: int) -> None:
    """Leave a transaction open, as a relay does that is killed before it commits."""
    if page := log[relay.position : relay.position + events]:
        relay._producer.begin_transaction()
        for future in relay._send(page, list(relay._links(page))):
            future.get(10)
    relay._producer.close(timeout=0)
