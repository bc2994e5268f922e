"""The Kafka feed on a real broker: it gives the log or says why not, whatever the topic becomes."""

import functools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError

from kafka_broker import shared_brokers
from one_fault import WHENS, Fault, break_commit
from packledger.domain.errors import Unavailable
from packledger.eventstore.mapper import UnknownEvent
from packledger.feeds import kafka_feed
from packledger.feeds.feed import BrokenFeed, Recorded
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.kafka_feed import KafkaFeed
from packledger.feeds.kafka_record import NO_LINK, next_link, to_record
from packledger.feeds.relay import Relay
from packledger.feeds.store_feed import StoreFeed
from packledger.projections import projector as projector_module
from packledger.projections.board import HEARTBEAT_LATE_S, Board
from packledger.projections.catalogue import on_every_node, row_of
from packledger.projections.generation import Generations
from packledger.projections.projector import Projector
from packledger.projections.rebuild import rebuild
from packledger.projections.sparse_index.fold import SparseIndex
from relayed import arriving, committed, relay_all
from small_logs import ListFeed, owners_come
from small_registry import SmallRegistry, documents_in, memory_folder
from topics import abandon, delete_records, delete_topic

pytestmark = pytest.mark.service

SOON_S = 30.0


@pytest.fixture
def feed(address: KafkaAddress) -> Iterator[KafkaFeed]:
    with closing(KafkaFeed(address)) as feed:
        yield feed


# -- any place -------------------------------------------------------------------------------------


def test_it_finds_any_place_among_single_events_pages_and_what_was_aborted(
    address: KafkaAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = owners_come(120)
    source = ListFeed(log, 0)
    relay = Relay(source, address)
    for length in (1, 2, 3, 40, 41, 42, 43, 44, 90, 91, 92, 120):
        if length in {40, 92}:
            abandon(relay, log, 30)
            relay = Relay(source, address)
        source.length = length
        relay.step()
    relay.close()
    monkeypatch.setattr(kafka_feed, "SCAN_OFFSETS", 3)
    with closing(KafkaFeed(address)) as feed:

        @settings(max_examples=30, deadline=None)
        @given(st.integers(0, 125), st.integers(1, 130))
        def check(after: int, limit: int) -> None:
            assert feed.read(after, limit) == log[after : after + limit]

        check()
        assert feed.last_position() == 120
        assert feed.read(118, 10) == log[118:]


def test_an_open_transaction_is_neither_read_nor_waited_for(
    address: KafkaAddress, feed: KafkaFeed
) -> None:
    log = owners_come(9)
    relay = Relay(ListFeed(log, 5), address)
    relay.step()
    abandon(relay, log, 3)
    assert arriving(feed, 0, 5) == log[:5]
    begun_s = time.monotonic()
    assert feed.read(0, 100) == log[:5]
    assert feed.read(5, 100) == []
    assert feed.last_position() == 5
    assert time.monotonic() - begun_s < SOON_S / 3
    relay_all(ListFeed(log), address)
    assert feed.read(5, 100) == log[5:]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_mark_at_the_end_of_what_was_known_does_not_end_the_reading(
    address: KafkaAddress, feed: KafkaFeed, limit: int
) -> None:
    """A rebuild takes an empty page for the log's end."""
    log = owners_come(9)
    after = 0
    for length in (3, 4, 7, 9):
        relay_all(ListFeed(log, length), address)
        while after < length:
            page = feed.read(after, limit)
            assert page == log[after : min(length, after + limit)]
            after = page[-1].position


def until_away(feed: KafkaFeed) -> None:
    deadline_s = time.monotonic() + SOON_S
    with suppress(Unavailable):
        while feed.read(10, 10) == []:
            feed.wait(0.1)
            assert time.monotonic() < deadline_s


def test_who_was_told_and_does_not_read_waits_nevertheless(
    address: KafkaAddress, feed: KafkaFeed
) -> None:
    """A projector whose projections have all stopped reads nothing, and must not spin."""
    log = owners_come(2)
    relay_all(ListFeed(log, 1), address)
    assert feed.read(0, 10) == log[:1]
    relay_all(ListFeed(log), address)
    assert feed.wait(SOON_S)
    begun_s = time.monotonic()
    assert feed.wait(0.1)
    assert time.monotonic() - begun_s > 0.09
    assert feed.read(1, 10) == log[1:]
    assert not feed.wait(0.0)


# -- another topic, or one that lacks events -------------------------------------------------------


def test_a_topic_that_is_created_anew_is_followed_without_a_repetition_or_a_hole(
    address: KafkaAddress, feed: KafkaFeed
) -> None:
    log = owners_come(30)
    relay_all(ListFeed(log, 10), address)
    assert feed.read(0, 6) == log[:6]
    delete_topic(address)
    until_away(feed)
    relay_all(ListFeed(log, 8), address)
    assert arriving(feed, 6, 8) == log[6:8]
    relay_all(ListFeed(log), address)
    assert arriving(feed, 8, 30) == log[8:]


def test_a_topic_that_was_created_anew_behind_its_back_is_followed_all_the_same(
    address: KafkaAddress, feed: KafkaFeed
) -> None:
    log = owners_come(40)
    for length in range(1, 9):  # a transaction for each: other offsets than in one
        relay_all(ListFeed(log, length), address)
    assert feed.read(0, 8) == log[:8]
    delete_topic(address)
    relay_all(ListFeed(log), address)
    assert arriving(feed, 8, 40) == log[8:]


@pytest.mark.parametrize("lengths", [(9,), (6, 9)], ids=["other offsets", "same offsets"])
@pytest.mark.parametrize("notices", [until_away, lambda feed: feed.wait(0.5)], ids=["away", "idle"])
def test_a_topic_that_holds_another_log_now_is_refused(
    address: KafkaAddress,
    feed: KafkaFeed,
    lengths: tuple[int, ...],
    notices: Callable[[KafkaFeed], object],
) -> None:
    relay_all(ListFeed(owners_come(6)), address)
    assert len(feed.read(0, 100)) == 6
    delete_topic(address)
    notices(feed)
    for length in lengths:
        relay_all(ListFeed(owners_come(length, "other")), address)
    with pytest.raises(BrokenFeed, match=r"holds another log now: its event [67]"):
        arriving(feed, 6, 9)


def test_events_that_were_deleted_are_missed_only_by_who_needs_them(address: KafkaAddress) -> None:
    log = owners_come(9)
    relay_all(ListFeed(log), address)
    with closing(KafkaFeed(address)) as behind, closing(KafkaFeed(address)) as ahead:
        assert behind.read(0, 2) == log[:2]
        assert ahead.read(0, 4) == log[:4]
        delete_records(address, 4)
        assert ahead.read(4, 100) == log[4:]
        with pytest.raises(BrokenFeed, match="lacks events: 5 comes after 3"):
            behind.read(3, 100)
        with pytest.raises(BrokenFeed, match="5 comes after 0"):
            behind.read(0, 100)


def test_a_topic_that_was_emptied_and_filled_again_is_followed(
    address: KafkaAddress, feed: KafkaFeed
) -> None:
    log = owners_come(12)
    relay_all(ListFeed(log, 6), address)
    assert feed.read(0, 4) == log[:4]
    delete_records(address, -1)
    assert feed.read(5, 100) == []
    relay_all(ListFeed(log), address)
    assert feed.read(4, 100) == log[4:]


# -- what no relay wrote ---------------------------------------------------------------------------


def write(address: KafkaAddress, *records: dict[str, Any]) -> None:
    with closing(KafkaProducer(**address.options())) as producer:
        for record in records:
            producer.send(address.topic, partition=0, **record).get(10)


def as_relayed(log: list[Recorded], position: int) -> dict[str, Any]:
    """Return the record that a relay makes of an event."""
    link = functools.reduce(next_link, log[:position], NO_LINK)
    return to_record(log[position - 1], position - 1, link)


def test_a_repeated_event_is_given_once(address: KafkaAddress, feed: KafkaFeed) -> None:
    log = owners_come(8)
    relay_all(ListFeed(log, 5), address)
    write(address, *(as_relayed(log, at + 1) for at in (3, 4, 5, 5, 4, 6)))
    assert feed.read(0, 6) == log[:6]
    assert feed.read(6, 6) == log[6:7]
    assert len(committed(address)) == 11


def test_a_missing_event_stops_it_until_it_is_there(address: KafkaAddress, feed: KafkaFeed) -> None:
    log = owners_come(9)
    relay_all(ListFeed(log, 5), address)
    write(address, as_relayed(log, 7))
    for _ in range(2):
        with pytest.raises(BrokenFeed, match="lacks events: 7 comes after 5"):
            feed.read(0, 100)
    delete_topic(address)
    relay_all(ListFeed(log), address)
    assert arriving(feed, 0, 9) == log


@pytest.mark.parametrize(
    "record",
    [
        {"headers": []},
        {"headers": [("id", b"6"), ("prev", b"5")]},
        {"headers": [("id", b"six"), *(("", b"5"),) * 4]},
        {"key": None},
    ],
)
def test_what_no_relay_wrote_is_refused(
    address: KafkaAddress, feed: KafkaFeed, record: dict[str, Any]
) -> None:
    log = owners_come(6)
    relay_all(ListFeed(log, 5), address)
    write(address, as_relayed(log, 6) | record)
    with pytest.raises(BrokenFeed, match="at offset 6 that no relay wrote"):
        feed.read(0, 100)


def test_an_event_of_a_newer_release_stops_it_there(address: KafkaAddress, feed: KafkaFeed) -> None:
    log = owners_come(6)
    relay_all(ListFeed(log, 5), address)
    newer = as_relayed(log, 6)
    newer["headers"][4] = ("tag", b"crate.painted.v1")
    write(address, newer)
    for _ in range(2):
        with pytest.raises(UnknownEvent, match="painted"):
            feed.read(0, 100)
    assert feed.read(0, 5) == log[:5]


# -- projectors ------------------------------------------------------------------------------------


class Filled:
    """A registry with something in it, relayed."""

    def __init__(self, folder: Path) -> None:
        self.small = SmallRegistry(folder / "data")
        for number in range(4):
            self.small.publish_crate("alice", f"crate-{number % 2}", f"1.{number}.0")
            self.small.publish_npm("alice", f"package-{number % 2}", f"1.{number}.0")
        self.address = shared_brokers().address()
        relay_all(StoreFeed(self.small.log), self.address)
        self.documents = self.small.fresh_documents(folder / "fresh")
        self.last = self.small.log.last_position()


@pytest.fixture(scope="module")
def filled() -> Iterator[Filled]:
    with memory_folder() as folder:
        filled = Filled(folder)
        yield filled
        filled.small.close()


class OneNode:
    """A node's projector."""

    def __init__(self, folder: Path, address: KafkaAddress) -> None:
        self.root, self.address = folder / "read", address
        self.board = Board(folder / "board")
        self.open()

    def open(self) -> None:
        self.feed = KafkaFeed(self.address)
        kinds = [row_of(name).kind() for name in on_every_node()]
        self.projector = Projector(self.feed, kinds, self.root, self.board)

    def shut(self) -> None:
        self.projector.close()
        self.feed.close()

    def catch_up(self) -> None:
        """Step until everything that does not stand still is at the end."""
        deadline_s = time.monotonic() + SOON_S
        while self.projector.step() or self.feed.wait(0.0):
            assert time.monotonic() < deadline_s

    def documents(self) -> dict[str, dict[str, bytes]]:
        models = {name: Generations(self.root, name) for name in on_every_node()}
        return {name: documents_in(one.model(one.live()), name) for name, one in models.items()}


@pytest.fixture
def node(tmp_path: Path, filled: Filled) -> Iterator[OneNode]:
    node = OneNode(tmp_path, filled.address)
    yield node
    node.shut()
    node.board.close()


STEPS: dict[str, tuple[Any, str, int]] = {
    "find the end": (KafkaConsumer, "end_offsets", 1),
    "seek": (KafkaConsumer, "seek", 1),
    "poll": (KafkaConsumer, "poll", 3),
    "decode": (kafka_feed, "from_record", 5),
    "commit": (None, "", 4),
}
AWAY = KafkaTimeoutError("the test says so")
DEFECT = ValueError("the test says so")


@pytest.mark.parametrize("error", [AWAY, DEFECT], ids=["away", "defect"])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", STEPS)
def test_a_projector_whose_step_fails_goes_on_exactly(
    node: OneNode,
    filled: Filled,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
    error: Exception,
) -> None:
    monkeypatch.setattr(projector_module, "PAGE_EVENTS", 3)
    kind, method, nth = STEPS[step]
    fault = Fault(when, error, nth)
    if kind is None:
        break_commit(fault, monkeypatch)
        node.shut()
        node.open()
    else:
        monkeypatch.setattr(kind, method, fault.wrap(getattr(kind, method)))
    fault.arm()
    with suppress(ValueError):
        node.catch_up()
    assert fault.fired
    if error is AWAY and step != "commit":
        assert not any(one.failed for one in node.projector.live)
    else:
        node.shut()
        node.open()
        node.catch_up()
    assert node.documents() == filled.documents


def test_a_node_without_brokers_serves_nothing_and_begins_when_they_are_there(
    tmp_path: Path, filled: Filled, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        # accepts, and answers nothing
        nobody = msgspec.structs.replace(
            filled.address, servers=(f"127.0.0.1:{server.getsockname()[1]}",)
        )
        node = OneNode(tmp_path, nobody)
        for _ in range(2):
            begun_s = time.monotonic()
            assert not node.projector.step()
            assert time.monotonic() - begun_s < HEARTBEAT_LATE_S + 1
            assert not any(node.board.readable(name) for name in on_every_node())
        with pytest.raises(Unavailable, match="cannot read topic"):
            rebuild(node.feed, SparseIndex(), node.root, node.board)
        assert Generations(node.root, "sparse-index").live() == 1
        assert caplog.text.count("cannot read topic") == 1
        node.shut()
    node.address = filled.address
    node.open()
    node.catch_up()
    assert all(node.board.readable(name) for name in on_every_node())
    assert node.documents() == filled.documents
    node.shut()
    node.board.close()


def test_a_node_is_not_rebuilt_from_a_lost_topic_before_that_is_whole_again(
    tmp_path: Path, address: KafkaAddress
) -> None:
    with closing(SmallRegistry(tmp_path / "data")) as small:
        for number in range(3):
            small.publish_crate("alice", "demo", f"1.{number}.0")
        small.catch_up()
        small.settings = msgspec.structs.replace(small.settings, brokers=address)
        log, served = small.log.read(0, 100), small.live_documents()
        relay_all(ListFeed(log, len(log) - 1), address)
        with pytest.raises(Unavailable, match=f"what is served knows {len(log)}"):
            small.rebuild("sparse-index")
        assert small.live_documents() == served
        relay_all(ListFeed(log), address)
        assert small.rebuild("sparse-index").differences == []


def test_a_projector_ends_loudly_at_a_hole_and_what_it_serves_stays(
    tmp_path: Path, address: KafkaAddress
) -> None:
    log = owners_come(9)
    relay_all(ListFeed(log, 5), address)
    write(address, as_relayed(log, 7))
    node = OneNode(tmp_path, address)
    with pytest.raises(BrokenFeed, match="delete the topic"):
        node.projector.run(lambda: False)
    node.open()
    assert {one.position for one in node.projector.live} <= {0, 5}
    node.shut()
    node.board.close()
