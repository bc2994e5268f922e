"""What every feed must do; one more feed is one more parameter."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_stores import add_owner, new_place, open_log
from packledger.domain.streams import CRATES
from packledger.eventstore.log import Log
from packledger.feeds.feed import Feed
from packledger.feeds.store_feed import StoreFeed
from relayed import RelayedFeed
from small_logs import grow

WAKES_WITHIN_S = 5.0
"""Many times what a wake-up takes (5 ms), since the machine may be busy; far below `LONG_S`."""
LONG_S = 20.0
FEEDS: dict[str, tuple[str, Callable[[Log], Feed]]] = {
    "store in SQLite": ("sqlite", StoreFeed),
    "store in PostgreSQL": ("postgres", StoreFeed),
    "kafka": ("sqlite", RelayedFeed),
}
KINDS = [
    "store in SQLite",
    pytest.param("store in PostgreSQL", marks=pytest.mark.service),
    pytest.param("kafka", marks=pytest.mark.service),
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    with new_place(FEEDS[kind][0], request) as place:
        yield place


@pytest.fixture
def log(place: str) -> Iterator[Log]:
    log = open_log(place)
    yield log
    log.close()


@pytest.fixture
def feed(kind: str, log: Log) -> Iterator[Feed]:
    feed = FEEDS[kind][1](log)
    yield feed
    feed.close()


def test_an_empty_log_gives_nothing(feed: Feed) -> None:
    assert feed.read(0, 10) == []
    assert feed.last_position() == 0


def test_every_event_comes_in_order_without_a_gap(feed: Feed, log: Log) -> None:
    grow(log, 12)
    page = feed.read(0, 100)
    assert [one.position for one in page] == list(range(1, 13))
    assert [one.event for one in page] == log.stream(CRATES, "demo")
    assert [one.version for one in page] == list(range(1, 13))
    assert feed.last_position() == 12


def test_it_resumes_from_any_checkpoint_in_pages_of_any_length(log: Log, feed: Feed) -> None:
    grow(log, 20)
    whole = feed.read(0, 100)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 25), st.integers(1, 25))
    def check(after: int, limit: int) -> None:
        assert feed.read(after, limit) == whole[after : after + limit]

    check()


def test_a_new_feed_continues_where_another_one_stopped(log: Log, feed: Feed) -> None:
    grow(log, 4)
    seen = feed.read(0, 3)
    feed.close()
    grow(log, 6)
    another = type(feed)(log)  # type: ignore[call-arg]
    assert [one.position for one in another.read(seen[-1].position, 100)] == [4, 5, 6]
    another.close()


def drain(feed: Feed, position: int) -> int:
    """Read to the end and use up what `wait` may still have to say of it."""
    while page := feed.read(position, 100):
        position = page[-1].position
    while feed.wait(0.0):
        assert feed.read(position, 100) == []
    return position


def test_waiting_ends_without_news_after_its_timeout(log: Log, feed: Feed) -> None:
    grow(log, 3)
    drain(feed, 0)
    begun_s = time.monotonic()
    assert feed.wait(0.05) is False
    assert 0.04 < time.monotonic() - begun_s < WAKES_WITHIN_S


def test_an_event_of_another_process_wakes_who_waits(log: Log, feed: Feed, place: str) -> None:
    grow(log, 3)
    position = drain(feed, 0)
    appended_s: list[float] = []

    def append() -> None:
        other = open_log(place)
        time.sleep(0.05)  # so that it happens while the feed waits
        add_owner(other, "demo", "late")
        appended_s.append(time.monotonic())
        other.close()

    thread = threading.Thread(target=append)
    thread.start()
    while not feed.read(position, 10):
        assert feed.wait(LONG_S) is True
    woken_s = time.monotonic()
    thread.join()
    assert woken_s - appended_s[0] < WAKES_WITHIN_S
    assert [one.position for one in feed.read(position, 10)] == [4]


def test_an_event_between_the_last_look_and_the_wait_is_not_slept_over(
    log: Log, feed: Feed
) -> None:
    grow(log, 3)
    position = drain(feed, 0)
    assert feed.read(position, 10) == []
    grow(log, 4)
    begun_s = time.monotonic()
    assert feed.wait(LONG_S) is True
    assert time.monotonic() - begun_s < WAKES_WITHIN_S


def test_who_follows_while_others_write_misses_nothing(log: Log, feed: Feed, place: str) -> None:
    wanted = 120

    def write() -> None:
        other = open_log(place)
        grow(other, wanted)
        other.close()

    thread = threading.Thread(target=write)
    thread.start()
    seen: list[int] = []
    deadline_s = time.monotonic() + LONG_S
    while len(seen) < wanted and time.monotonic() < deadline_s:
        page = feed.read(len(seen), 7)
        seen += [one.position for one in page]
        if not page:
            feed.wait(0.5)
    thread.join()
    assert seen == list(range(1, wanted + 1))
