"""What the tests of a cluster share."""

import gc
from collections.abc import Iterator

import pytest

from kafka_broker import Brokers, shared_brokers
from packledger.feeds.kafka_address import KafkaAddress


@pytest.fixture
def kafka() -> Brokers:
    """The broker that this test process's tests share, each with a topic of its own."""
    return shared_brokers()


@pytest.fixture
def address(kafka: Brokers) -> KafkaAddress:
    """A topic that nobody else uses; the relay creates it."""
    return kafka.address()


@pytest.fixture
def collect_sockets() -> Iterator[None]:
    """For tests that allow it: kafka-python leaves the sockets of failed connections to `gc`."""
    yield
    gc.collect()
