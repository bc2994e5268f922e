"""The relay on a real broker: whatever happens to it, the topic is the log."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from event_stores import AT, open_sqlite, recorded
from histories import histories
from kafka_broker import shared_brokers
from one_fault import WHENS, Fault
from packledger.domain.errors import Conflict
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.eventstore.log import STATE_LIMIT_BYTES
from packledger.feeds import relay as relay_module
from packledger.feeds.feed import Recorded
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.kafka_feed import KafkaFeed
from packledger.feeds.kafka_reader import KafkaReader
from packledger.feeds.relay import EXIT_SURPRISED, PAGE_BYTES, Relay, Surprise, run_relay
from packledger.feeds.store_feed import StoreFeed
from relay_process import HANGS, RelayProcess
from relayed import arriving, assert_exact, relay_all
from small_logs import ListFeed, grow, owners_come
from topics import RIGHT, abandon, create_topic, delete_records, delete_topic

pytestmark = pytest.mark.service

ACTIONS = st.lists(st.one_of(st.integers(1, 12), st.sampled_from(["step", "killed"])), max_size=8)


@settings(max_examples=8, deadline=None)
@given(log=histories(), actions=ACTIONS)
def test_whatever_is_appended_and_however_relays_end_the_topic_is_the_log(
    log: list[Recorded], actions: list[Any]
) -> None:
    address = shared_brokers().address()
    feed = ListFeed(log, 0)
    relay = Relay(feed, address)
    for action in actions:
        if isinstance(action, int):
            feed.length = min(len(log), feed.length + action)
        elif action == "step":
            relay.step()
        else:
            abandon(relay, log[: feed.length], 3)
            relay = Relay(feed, address)
    relay.close()
    relay_all(ListFeed(log), address)
    assert_exact(address, log)


STEPS: dict[str, tuple[Any, str, int]] = {
    "create the topic": (KafkaAdminClient, "create_topics", 1),
    "fence the others": (KafkaProducer, "init_transactions", 1),
    "read the tail": (KafkaReader, "last", 1),
    "read the log": (ListFeed, "read", 3),
    "begin": (KafkaProducer, "begin_transaction", 2),
    "send": (KafkaProducer, "send", 6),
    "flush": (KafkaProducer, "flush", 2),
    "confirm": (FutureRecordMetadata, "get", 6),
    "commit": (KafkaProducer, "commit_transaction", 2),
}
"""What a relay does, in this order, and at which call it fails: in pages of 4, on the second."""


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", STEPS)
def test_a_relay_whose_step_fails_is_followed_by_one_that_goes_on_exactly(
    address: KafkaAddress, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    monkeypatch.setattr(relay_module, "PAGE_EVENTS", 4)
    log = owners_come(20)
    if step != "create the topic":
        relay_all(ListFeed(log, 6), address)
    kind, method, nth = STEPS[step]
    fault = Fault(when, KafkaTimeoutError("the test says so"), nth)
    monkeypatch.setattr(kind, method, fault.wrap(getattr(kind, method)))
    fault.arm()
    with pytest.raises(KafkaTimeoutError):
        relay_all(ListFeed(log, 16), address)
    assert fault.fired
    assert relay_all(ListFeed(log), address) == 20
    assert_exact(address, log)


KILLS = {"init_transactions": 1, "send": 6, "get": 6, "commit_transaction": 2}


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("method", KILLS)
def test_a_relay_that_is_killed_is_followed_by_one_that_goes_on_exactly(
    tmp_path: Path, address: KafkaAddress, method: str, when: str
) -> None:
    with closing(open_sqlite(tmp_path)) as log:
        grow(log, 12)
        killed = RelayProcess(tmp_path, address, method, when, KILLS[method], page_events=4)
        assert killed.ended()[0] == -signal.SIGKILL
        grow(log, 20)
        with closing(StoreFeed(log)) as feed:
            relay_all(feed, address)
        assert_exact(address, log.read(0, 100))


def test_two_relays_fence_each_other_and_the_topic_stays_the_log(
    tmp_path: Path, address: KafkaAddress
) -> None:
    """Each that is fenced ends, and is started again as a supervisor would."""

    def start() -> RelayProcess:
        return RelayProcess(tmp_path, address, page_events=10, fenced_wait_s=0)

    with closing(open_sqlite(tmp_path)) as log:
        grow(log, 1)
        relays, fenced = [start(), start()], 0
        deadline_s = time.monotonic() + 60
        while fenced < 3:
            grow(log, log.last_position() + 1)
            for number, one in enumerate(relays):
                if not one.lives():
                    code, printed = one.ended()
                    assert code == EXIT_SURPRISED, printed
                    fenced += "another relay" in printed
                    relays[number] = start()
            assert time.monotonic() < deadline_s
        for one in relays:
            one.ended(stop=True)
        with closing(StoreFeed(log)) as feed:
            relay_all(feed, address)
        assert_exact(address, log.read(0, 100_000))


def test_a_fenced_relay_writes_nothing_more_and_says_that_there_is_another(
    address: KafkaAddress, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "FENCED_WAIT_S", 0.0)
    log = owners_come(20)
    feed = ListFeed(log, 5)
    looks = iter(range(100))

    def stopping() -> bool:
        if next(looks) == 2:
            feed.length = 10
            relay_all(feed, address)
            feed.length = 20
        return False

    assert run_relay(feed, address, stopping) == EXIT_SURPRISED
    assert "another relay is at work" in caplog.text
    assert_exact(address, log[:10])


def test_nothing_is_relayed_by_another_once_the_tail_has_been_read(
    address: KafkaAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = owners_come(20)
    real = KafkaReader.last
    older = Relay(ListFeed(log, 5), address)

    def last(reader: KafkaReader) -> Any:
        found = real(reader)
        with pytest.raises(KafkaError):
            older.step()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(KafkaReader, "last", last)
        relay_all(ListFeed(log), address)
    older.close()
    assert_exact(address, log)


def test_a_relay_that_is_told_to_stop_ends_well(address: KafkaAddress) -> None:
    log = owners_come(9)
    feed = ListFeed(log)
    looks = iter([False, False, True])
    assert run_relay(feed, address, lambda: next(looks)) == os.EX_OK
    with closing(KafkaFeed(address)) as arrival:
        assert arriving(arrival, 0, 9) == log
    assert_exact(address, log)


def test_a_relay_that_hangs_in_the_client_is_ended_by_its_watchdog(
    tmp_path: Path, address: KafkaAddress
) -> None:
    with closing(open_sqlite(tmp_path)) as log:
        grow(log, 5)
        hanging = RelayProcess(tmp_path, address, "commit_transaction", HANGS, 1, stuck_s=2)
        code, printed = hanging.ended()
        assert "hangs in the Kafka client" in printed
        assert code == EXIT_SURPRISED
        with closing(StoreFeed(log)) as feed:
            assert relay_all(feed, address) == 5
        assert_exact(address, log.read(0, 10))


def test_the_largest_events_are_relayed_in_pages_of_bounded_size(address: KafkaAddress) -> None:
    manifest = msgspec.Raw(b'"%s"' % (b"x" * (STATE_LIMIT_BYTES - 300)))
    log = [
        recorded(
            position,
            position,
            CrateVersionPublished(
                at=AT, by="alice", name="demo", version=f"{position}.0.0", cksum="0" * 64,
                size_bytes=1, manifest=manifest,
            ),
        )
        for position in range(1, 61)
    ]  # fmt: skip
    assert len(log[-1].state) > STATE_LIMIT_BYTES - 100
    with closing(Relay(ListFeed(log), address)) as relay:
        assert relay.step()
        assert PAGE_BYTES < relay.position * STATE_LIMIT_BYTES < 4 * PAGE_BYTES
    relay_all(ListFeed(log), address)
    assert_exact(address, log)


# -- refusals --------------------------------------------------------------------------------------


def test_the_topic_is_created_with_one_partition_and_kept_for_ever(address: KafkaAddress) -> None:
    relay_all(ListFeed([]), address)
    with shared_brokers().admin() as admin:
        (topic,) = admin.describe_topics([address.topic])
        assert len(topic["partitions"]) == 1
        resource = ConfigResource(ConfigResourceType.TOPIC, address.topic)
        found = admin.describe_configs([resource], config_filter="all")["topic"][address.topic]
    values = {name: one["value"] for name, one in found.items()}
    assert values["retention.ms"] == values["retention.bytes"] == "-1"
    assert values["cleanup.policy"] == "delete"
    assert values["min.insync.replicas"] == "1"
    assert values["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize(
    ("partitions", "wrong", "said"),
    [
        (2, {}, "has 2 partitions"),
        (1, {"retention.ms": "604800000"}, "`retention.ms=604800000`"),
        (1, {"retention.bytes": "1073741824"}, "`retention.bytes=1073741824`"),
        (1, {"cleanup.policy": "compact"}, "`cleanup.policy=compact`"),
        (1, {"max.message.bytes": "524288"}, "`max.message.bytes=524288`"),
    ],
)
def test_a_topic_that_would_lose_events_is_refused(
    address: KafkaAddress, partitions: int, wrong: dict[str, str], said: str
) -> None:
    create_topic(address, partitions, RIGHT | wrong)
    with pytest.raises(Conflict) as refused:
        relay_all(ListFeed(owners_come(3)), address)
    assert said in refused.value.sentence
    assert f"`{address.topic}`" in refused.value.sentence


def test_a_topic_that_was_created_rightly_by_hand_is_taken(address: KafkaAddress) -> None:
    create_topic(address, 1, RIGHT)
    log = owners_come(3)
    relay_all(ListFeed(log), address)
    assert_exact(address, log)


@pytest.mark.parametrize("log", [owners_come(9, "other"), owners_come(4), []])
def test_a_topic_that_is_not_a_beginning_of_our_log_is_refused(
    address: KafkaAddress, log: list[Recorded]
) -> None:
    relay_all(ListFeed(owners_come(5)), address)
    with pytest.raises(Conflict, match="its event 5 is not ours"):
        relay_all(ListFeed(log), address)
    assert_exact(address, owners_come(5))


def test_a_topic_whose_beginning_was_deleted_is_refused(address: KafkaAddress) -> None:
    log = owners_come(9)
    relay_all(ListFeed(log, 5), address)
    delete_records(address, 3)
    with pytest.raises(Conflict, match="begins with event 4, those before it are lost"):
        relay_all(ListFeed(log), address)


def test_a_topic_that_was_emptied_is_filled_again(address: KafkaAddress) -> None:
    log = owners_come(9)
    relay_all(ListFeed(log, 5), address)
    delete_records(address, -1)
    relay_all(ListFeed(log), address)
    assert_exact(address, log)


def test_a_relay_notices_that_its_topic_was_created_anew(address: KafkaAddress) -> None:
    log = owners_come(9)
    feed = ListFeed(log, 5)
    with closing(Relay(feed, address)) as relay:
        relay.step()
        delete_topic(address)
        create_topic(address, 1, RIGHT)
        feed.length = 7
        with pytest.raises((Surprise, KafkaError)):
            relay.step()
    relay_all(ListFeed(log), address)
    assert_exact(address, log)


def test_a_log_that_skips_a_position_is_not_relayed(address: KafkaAddress) -> None:
    log = owners_come(9)
    with (
        closing(Relay(ListFeed(log[:4] + log[5:]), address)) as relay,
        pytest.raises(Surprise, match="skips a position"),
    ):
        relay.step()
    assert_exact(address, [])
