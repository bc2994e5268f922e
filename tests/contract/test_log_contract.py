"""What every event store must do; one more store is one more parameter."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

import event_stores
from event_stores import AT, STORES, add_owner, add_owners, execute_sql, new_place, open_store
from packledger.audit.checks.store import Checked, verify_store
from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.errors import NotOwner, TooLarge, Unavailable
from packledger.domain.events.cargo import CrateOwnerAdded, CrateOwnerRemoved, CrateRegistered
from packledger.domain.events.event import Event
from packledger.domain.streams import CRATES
from packledger.eventstore import log as log_module
from packledger.eventstore import snapshots
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Log
from packledger.eventstore.mapper import UnknownEvent
from packledger.eventstore.snapshots import remove_snapshots, stored_snapshots

OpenLog = Callable[[], Log]


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_place(str(request.param), request) as place:
        yield place


@pytest.fixture
def open_log(place: str) -> Iterator[OpenLog]:
    """Open the same log again and again, as so many processes would."""
    opened: list[Log] = []

    def open_one() -> Log:
        opened.append(event_stores.open_log(place))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


def registered(name: str) -> Event:
    return CrateRegistered(at=AT, by="alice", name=name, owner="alice")


def owner(name: str, account: str) -> Event:
    return CrateOwnerAdded(at=AT, by="alice", name=name, owner=account)


def register(log: Log, name: str) -> None:
    log.execute(CRATES, name, lambda state, version: [registered(name)])


def test_what_was_appended_is_loaded_and_read(open_log: OpenLog) -> None:
    log = open_log()
    recorded = log.execute(
        CRATES, "demo", lambda state, version: [registered("demo"), owner("demo", "bob")]
    )
    assert [(one.position, one.version) for one in recorded] == [(1, 1), (2, 2)]
    for same in (log, open_log()):
        loaded = same.load(CRATES, "demo")
        assert (loaded.version, list(loaded.state.owners)) == (2, ["alice", "bob"])
        assert same.read(0, 10) == recorded
        assert same.stream(CRATES, "demo") == [registered("demo"), owner("demo", "bob")]
        assert same.last_position() == 2


def test_a_stream_that_is_not_there_is_version_0_without_a_state(open_log: OpenLog) -> None:
    log = open_log()
    assert (log.load(CRATES, "demo").version, log.load(CRATES, "demo").state) == (0, None)
    assert log.stream(CRATES, "demo") == []
    assert log.last_position() == 0
    assert log.read(0, 10) == []
    register(open_log(), "demo")
    assert log.load(CRATES, "demo").version == 1, "what was missing is not remembered as missing"


def test_deciding_nothing_appends_nothing(open_log: OpenLog) -> None:
    log = open_log()
    assert log.execute(CRATES, "demo", lambda state, version: []) == []
    assert log.last_position() == 0


def test_a_refusal_appends_nothing(open_log: OpenLog) -> None:
    log = open_log()
    register(log, "demo")
    stranger = Actor(AT, "eve")
    with pytest.raises(NotOwner):
        log.execute(
            CRATES,
            "demo",
            lambda state, version: crate.decide_owners(state, stranger, "demo", add=["eve"]),
        )
    assert log.last_position() == 1


def test_pages_are_in_order_and_bounded(open_log: OpenLog) -> None:
    log = open_log()
    for number in range(7):
        register(log, f"crate-{number}")
    assert [one.position for one in log.read(0, 100)] == [1, 2, 3, 4, 5, 6, 7]
    assert [one.position for one in log.read(2, 3)] == [3, 4, 5]
    assert [one.position for one in log.read(2, 100, until=4)] == [3, 4]
    assert log.read(7, 100) == []
    assert log.read(700, 100) == []


def test_a_stream_is_read_as_it_was_at_any_position(open_log: OpenLog) -> None:
    log = open_log()
    for name in ("demo", "other"):
        register(log, name)
        grow(log, name, 2)
    grow(log, "demo", 2)
    everything = log.read(0, 100)
    for until in [*range(len(everything) + 1), None]:
        for name in ("demo", "other", "gone"):
            wanted = [
                one
                for one in everything
                if one.stream == CRATES.id(name).hex and (until is None or one.position <= until)
            ]
            assert log.read_stream(CRATES, name, until) == wanted
            assert log.read_stream(CRATES, name, until, newest=2) == wanted[-2:]
            assert log.read_stream(CRATES, name, until, newest=0) == []


def test_who_loses_a_race_decides_again_on_what_the_winner_left(open_log: OpenLog) -> None:
    mine, theirs = open_log(), open_log()
    register(mine, "demo")
    seen = []

    def decide(state: Any, version: int) -> list[Event]:
        seen.append((version, list(state.owners)))
        if len(seen) == 1:
            add_owner(theirs, "demo", "bob")
        return [owner("demo", "carol")]

    recorded = mine.execute(CRATES, "demo", decide)
    assert seen == [(1, ["alice"]), (2, ["alice", "bob"])]
    assert [(one.position, one.version) for one in recorded] == [(3, 3)]
    for log in (mine, theirs, open_log()):
        assert list(log.load(CRATES, "demo").state.owners) == ["alice", "bob", "carol"]
    assert [one.position for one in mine.read(0, 10)] == [1, 2, 3], "a lost race leaves no gap"


def test_who_always_loses_is_told_to_try_again(open_log: OpenLog, place: str) -> None:
    now_s = 0.0

    def wait(seconds: float) -> None:
        nonlocal now_s
        now_s += 1.0

    theirs = open_log()
    register(theirs, "demo")
    with closing(Log(open_store(place), clock_s=lambda: now_s, sleep=wait)) as mine:

        def decide(state: Any, version: int) -> list[Event]:
            add_owner(theirs, "demo", f"rival-{version}")
            return [owner("demo", "carol")]

        with pytest.raises(Unavailable, match="`demo`"):
            mine.execute(CRATES, "demo", decide)
    state = open_log().load(CRATES, "demo").state
    assert "carol" not in state.owners
    assert len(state.owners) > 3, "it tried more than once"


def test_a_loaded_state_never_changes(open_log: OpenLog) -> None:
    log = open_log()
    register(log, "demo")
    before = log.load(CRATES, "demo")
    add_owner(log, "demo", "bob")
    add_owner(open_log(), "demo", "carol")
    log.load(CRATES, "demo")
    assert list(before.state.owners) == ["alice"]


def test_an_event_over_the_limit_is_refused_and_the_stream_goes_on(open_log: OpenLog) -> None:
    log = open_log()
    register(log, "demo")
    with pytest.raises(TooLarge, match="`demo`"):
        log.execute(
            CRATES,
            "demo",
            lambda state, version: [owner("demo", "bob"), owner("demo", "x" * 600_000)],
        )
    assert log.last_position() == 1
    assert list(log.load(CRATES, "demo").state.owners) == ["alice"]
    add_owner(log, "demo", "bob")
    assert open_log().load(CRATES, "demo").version == 2


def grow(log: Log, name: str, events: int) -> None:
    """Let a stream have so many events, its owner coming and going."""
    register(log, name)
    for number in range(1, events):
        kind = CrateOwnerAdded if number % 2 else CrateOwnerRemoved
        event = kind(at=AT, name=name, owner="bob")
        log.execute(CRATES, name, lambda state, version, event=event: [event])


@pytest.mark.parametrize("events", [99, 100, 101, 205])
def test_snapshots_do_not_change_what_is_loaded(open_log: OpenLog, events: int) -> None:
    grow(open_log(), "demo", events)
    loaded = open_log().load(CRATES, "demo")
    assert loaded.version == events
    assert list(loaded.state.owners) == (["alice"] if events % 2 else ["alice", "bob"])
    assert len(open_log().stream(CRATES, "demo")) == events


def test_a_snapshot_keeps_the_order_of_things(open_log: OpenLog) -> None:
    log = open_log()
    register(log, "demo")
    people = [f"owner-{number * 37 % 101}" for number in range(101)]
    for person in people:
        add_owner(log, "demo", person)
    assert list(open_log().load(CRATES, "demo").state.owners) == ["alice", *people]


def test_a_snapshot_spares_reading_the_events_before_it(open_log: OpenLog, place: str) -> None:
    grow(open_log(), "demo", 110)
    damage = "UPDATE stored_events SET state = ? WHERE originator_version <= 100 RETURNING position"
    assert len(execute_sql(place, damage, b"0")) == 100
    assert open_log().load(CRATES, "demo").version == 110


def test_a_snapshot_of_another_key_is_neither_read_nor_taken(open_log: OpenLog, place: str) -> None:
    grow(open_log(), "demo", 110)
    damage = "UPDATE stored_events SET state = ? WHERE originator_version <= 100 RETURNING position"
    execute_sql(place, damage, b"0")
    for key in (b"", b"x" * 32):
        with closing(Log(open_store(place), snapshot_key=key)) as log, pytest.raises(DamagedLog):
            log.load(CRATES, "demo")
    with closing(Log(open_store(place))) as log:
        grow(log, "other", 110)
        streams = {stream for stream, *_ in stored_snapshots(log)}
    assert streams == {CRATES.id("demo").hex}


def test_all_snapshots_are_listed_in_order_and_removed(
    open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "PAGE", 2)
    log = open_log()
    assert list(stored_snapshots(log)) == []
    for name in ("demo", "other"):
        grow(log, name, 205)
    found = [(stream, version) for stream, version, _, _ in stored_snapshots(log)]
    streams = sorted(CRATES.id(name).hex for name in ("demo", "other"))
    assert found == [(stream, version) for stream in streams for version in (100, 200)]
    assert remove_snapshots(log) == 4
    assert list(stored_snapshots(open_log())) == []
    assert open_log().load(CRATES, "demo").version == 205


def test_a_snapshot_of_another_schema_is_ignored(open_log: OpenLog, place: str) -> None:
    grow(open_log(), "demo", 120)
    change = "UPDATE stored_snapshots SET topic = 'crate.snapshot.v999', state = ? RETURNING topic"
    assert len(execute_sql(place, change, b"0")) > 0
    loaded = open_log().load(CRATES, "demo")
    assert (loaded.version, list(loaded.state.owners)) == (120, ["alice", "bob"])


def test_a_snapshot_that_cannot_be_written_does_not_fail_the_command(
    open_log: OpenLog, place: str
) -> None:
    log = open_log()
    grow(log, "demo", 99)
    execute_sql(place, "DROP TABLE stored_snapshots")
    add_owner(log, "demo", "carol")
    assert log.load(CRATES, "demo").version == 100


def test_an_event_of_a_newer_release_is_refused_loudly(open_log: OpenLog, place: str) -> None:
    register(open_log(), "demo")
    execute_sql(place, "UPDATE stored_events SET topic = 'crate.renamed.v7'")
    log = open_log()
    with pytest.raises(UnknownEvent, match=r"`crate\.renamed\.v7`"):
        log.read(0, 10)
    with pytest.raises(UnknownEvent):
        log.load(CRATES, "demo")


def test_a_full_cache_forgets_the_oldest_and_stays_right(
    open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "CACHED_STREAMS", 3)
    log = open_log()
    for number in range(8):
        register(log, f"crate-{number}")
    for number in range(8):
        add_owner(open_log() if number % 2 else log, f"crate-{number}", "bob")
        assert list(log.load(CRATES, f"crate-{number}").state.owners) == ["alice", "bob"]


def test_threads_of_one_process_lose_nothing(open_log: OpenLog) -> None:
    log = open_log()
    register(log, "demo")
    barrier = threading.Barrier(4)

    def add(thread: int) -> None:
        barrier.wait()
        for number in range(10):
            add_owner(log, "demo", f"{thread}-{number}")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_all_are_there(open_log(), 4, 10)
    assert log.load(CRATES, "demo") == open_log().load(CRATES, "demo")


def check_all_are_there(log: Log, writers: int, each: int) -> None:
    wanted = {f"{writer}-{number}" for writer in range(writers) for number in range(each)}
    assert set(log.load(CRATES, "demo").state.owners) == {"alice", *wanted}
    events = log.read(0, 10_000)
    assert [one.position for one in events] == list(range(1, writers * each + 2))
    assert [one.version for one in events] == list(range(1, writers * each + 2))


def test_writers_in_several_processes_lose_nothing_and_leave_no_gap(
    open_log: OpenLog, place: str
) -> None:
    log = open_log()
    register(log, "demo")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=add_owners, args=(place, writer, 15)) for writer in range(3)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        # Somebody who follows must never be shown a later position before an earlier one.
        page = log.read(seen, 100)
        assert [one.position for one in page] == list(range(seen + 1, seen + 1 + len(page)))
        seen += len(page)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    check_all_are_there(log, 3, 15)


def test_events_keep_their_bytes(open_log: OpenLog, place: str) -> None:
    log = open_log()
    register(log, "demo")
    log.execute(CRATES, "demo", lambda state, version: [owner("demo", "bob")])
    rows = execute_sql(place, "SELECT position, topic, state FROM stored_events ORDER BY position")
    assert rows[1][:2] == (2, "crate.owner_added.v1")
    assert rows[1][2] == (
        b'{"type":"crate.owner_added.v1","name":"demo","owner":"bob",'
        b'"at":"2026-11-21T10:00:00.000Z","by":"alice","token":"","request":""}'
    )


def test_every_place_is_listed_by_stream_and_version(open_log: OpenLog) -> None:
    log = open_log()
    for name in ("demo", "other", "third"):
        grow(log, name, 40)
    listed = list(log.places())
    stored = [(one.stream, one.version, one.position) for one in log.read(0, 1_000)]
    assert listed == sorted(stored)
    assert len(listed) == 120
    assert log.damage() == ""
    assert list(verify_store(log, 0, Checked(0), log.damage, lambda done, total: None)) == []
    assert list(verify_store(log, 70, Checked(70), log.damage, lambda done, total: None)) == []
    assert [row[0] for row in log.read_rows(10, 5)] == [11, 12, 13, 14, 15]


DAMAGE = {
    "DELETE FROM stored_events WHERE position = 3": "position 3 is missing",
    "UPDATE stored_events SET state = ? WHERE position = 3": "cannot be read",
}


@pytest.mark.parametrize("statement", DAMAGE)
def test_a_damaged_log_is_refused_loudly(open_log: OpenLog, place: str, statement: str) -> None:
    grow(open_log(), "demo", 5)
    execute_sql(place, statement, *[b"{"] * statement.count("?"))
    log = open_log()
    with pytest.raises(DamagedLog, match=DAMAGE[statement]):
        log.read(0, 10)
    with pytest.raises(DamagedLog):
        log.read_stream(CRATES, "demo")
    with pytest.raises(DamagedLog):
        log.load(CRATES, "demo")
    with pytest.raises(DamagedLog):
        add_owner(log, "demo", "carol")
    assert [one.position for one in log.read(0, 2)] == [1, 2]
    assert log.last_position() == 5


def test_swapped_events_of_a_stream_are_refused(open_log: OpenLog, place: str) -> None:
    grow(open_log(), "demo", 5)
    for before, after in ((3, 99), (4, 3), (99, 4)):
        execute_sql(place, f"UPDATE stored_events SET position = {after} WHERE position = {before}")
    with pytest.raises(DamagedLog, match="in another's place"):
        open_log().read_stream(CRATES, "demo")


def test_a_snapshot_that_cannot_be_read_is_left_alone(open_log: OpenLog, place: str) -> None:
    grow(open_log(), "demo", 120)
    assert (
        len(execute_sql(place, "UPDATE stored_snapshots SET state = ? RETURNING topic", b"{")) > 0
    )
    assert open_log().load(CRATES, "demo").version == 120
