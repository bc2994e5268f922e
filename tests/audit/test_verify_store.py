"""The event store's own check: an index that does not hold the events is one fault.

SQLite finds these damages, too, but it looks every event up; `verify` compares two sums instead.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import packledger.audit.checks.store
import packledger.eventstore.log
from event_stores import AT, add_owner, execute_sql, open_sqlite
from packledger.audit.checks.faults import Fault
from packledger.audit.checks.store import Checked, Places, verify_store
from packledger.domain.events.cargo import CrateRegistered
from packledger.domain.streams import CRATES
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Log
from small_registry import ADMIN, SmallRegistry, memory_folder
from verified_registry import Verified

CRATE = "(SELECT originator_id FROM stored_events WHERE topic LIKE 'crate.%')"
"""A stream of three events that are not needed to open the registry."""
FIRST = "(SELECT min(originator_id) FROM stored_events)"
CREDENTIALS = "sqlite_autoindex_credentials_1"
NOT_ITS = "the event store is damaged: its index of streams does not hold its events"
DISORDERED = "the registry's event store is damaged: its index of streams is out of order"
COUNTED = "the event store is damaged: its index of streams has {} entries for 10 events"


@pytest.fixture
def verified() -> Iterator[Verified]:
    with memory_folder() as folder:
        yield Verified(folder)


@pytest.fixture
def small(verified: Verified) -> Iterator[SmallRegistry]:
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()
        yield small


def sqlite_finds(verified: Verified) -> str:
    try:
        return str(verified.rows("PRAGMA integrity_check(1)")[0][0])
    except sqlite3.DatabaseError as error:
        return str(error)


def faults_of(log: Log, since: int = 0, checked: int = 0) -> list[Fault]:
    return list(verify_store(log, since, Checked(checked), log.damage, lambda done, total: None))


DAMAGES = {
    "removed": (f"DELETE FROM entries WHERE stream = {CRATE} AND version = 2", COUNTED.format(9)),
    "doubled": (f"INSERT INTO entries VALUES ({CRATE}, 2, 5)", COUNTED.format(11)),
    "of no event": ("INSERT INTO entries VALUES ('', 0, 0)", COUNTED.format(11)),
    "another version": (
        f"UPDATE entries SET version = 9 WHERE stream = {CRATE} AND version = 3",
        NOT_ITS,
    ),
    "another position": (
        f"UPDATE entries SET position = 5 WHERE stream = {CRATE} AND version = 2",
        NOT_ITS,
    ),
    "no position": (
        f"UPDATE entries SET position = 99 WHERE stream = {CRATE} AND version = 3",
        NOT_ITS,
    ),
    "another stream": (
        f"UPDATE entries SET stream = '{'f' * 32}' WHERE stream = {CRATE} AND version = 3",
        NOT_ITS,
    ),
    "two swapped": (
        f"UPDATE entries SET position = 12 - position WHERE stream = {CRATE} AND version > 1",
        NOT_ITS,
    ),
    "two swapped, both streams in order": (
        "UPDATE entries SET position = 15 - position WHERE position IN (7, 8)",
        NOT_ITS,
    ),
    "no text": (
        f"UPDATE entries SET stream = CAST(stream AS BLOB) WHERE stream = {CRATE} AND version = 3",
        DISORDERED,
    ),
    "no number": (
        f"UPDATE entries SET version = 'x' WHERE stream = {CRATE} AND version = 3",
        DISORDERED,
    ),
}


@pytest.mark.parametrize("together", [1, 5_000])
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_of_the_index_that_is_wrong_is_one_fault(
    verified: Verified, monkeypatch: pytest.MonkeyPatch, damage: str, together: int
) -> None:
    monkeypatch.setattr(packledger.eventstore.log, "PLACES", together)
    statement, what = DAMAGES[damage]
    verified.change_index(statement)
    assert sqlite_finds(verified) != "ok"
    (fault,) = verified.verify().faults
    assert fault.what.startswith(what)
    assert "restore the event store" in fault.mend


@pytest.fixture(scope="module")
def original() -> Iterator[Verified]:
    with memory_folder() as folder:
        yield Verified(folder / "original")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_flipped_byte_of_the_index_is_named_if_sqlite_would_find_it(
    original: Verified, data: st.DataObject
) -> None:
    page = bytearray(original.page_of())
    at = data.draw(st.sampled_from([at for at, byte in enumerate(page) if byte]), label="at")
    page[at] ^= data.draw(st.integers(1, 255), label="mask")
    with memory_folder() as folder:
        copied = original.copied_to(folder / "copy")
        copied.write_page(page)
        assert bool(copied.verify().faults) == (sqlite_finds(copied) != "ok")


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_other_places_of_the_same_parts_have_another_sum(
    versions: list[int], positions: list[int]
) -> None:
    def places(order: Iterable[int], versions: Iterable[int], positions: Iterable[int]) -> Places:
        found = list(zip("abcdefgh", versions, positions, strict=True))
        kept = Places()
        kept.add([found[at] for at in order])
        return kept

    same = places(range(8), range(8), range(8))
    assert places(positions, range(8), range(8)) == same, "in whatever order"
    moved = versions != list(range(8)) or positions != list(range(8))
    assert (places(range(8), versions, positions) != same) == moved


def misplace(verified: Verified, stream: str, version: int, position: int) -> None:
    """Put an entry where it would be if streams were in falling order."""
    entry = f"INSERT INTO entries VALUES ({stream}, {version}, {position})"
    verified.change_index(entry, columns="stream DESC, version, position")


def test_an_index_that_leads_back_is_one_fault_and_not_followed(verified: Verified) -> None:
    verified.change_index(f"DELETE FROM entries WHERE stream = {FIRST} AND version = 1")
    misplace(verified, FIRST, 1, 5)  # behind all others
    assert sqlite_finds(verified) != "ok"
    (fault,) = verified.verify().faults
    assert fault.what.startswith(DISORDERED)
    with (
        closing(open_sqlite(verified.data)) as log,
        pytest.raises(DamagedLog, match="its index of streams is out of order"),
    ):
        list(log.places())


def test_the_same_entry_twice_is_one_fault(verified: Verified) -> None:
    misplace(verified, CRATE, 1, 3)
    assert verified.whats() == [COUNTED.format(11)]


def test_a_sound_store_has_no_faults_from_any_position(small: SmallRegistry) -> None:
    for since in range(11):
        for checked in {0, since // 2, since}:  # it may begin before, at the tile's first event
            assert faults_of(small.log, since, checked) == []


def test_what_the_index_says_of_events_before_is_believed(verified: Verified) -> None:
    statement, what = DAMAGES["another version"]  # of the event at 8
    verified.change_index(statement)
    assert [verified.whats(since) for since in (7, 8, 10)] == [[what], [], []]


@pytest.mark.parametrize("since", [0, 7])
def test_events_that_are_appended_meanwhile_are_no_fault(small: SmallRegistry, since: int) -> None:
    versions = iter(range(100))

    def append(*_: int) -> str:
        for name in ("demo", "another"):
            small.publish_crate(ADMIN, name, f"3.{next(versions)}.0")
        return small.log.damage()

    assert list(verify_store(small.log, since, Checked(since), append, append)) == []
    assert next(versions) >= 4, "before it read the events, and then before it read the index"


IN_EVENTS = [
    "UPDATE stored_events SET state = x'7b' WHERE position = 4",
    "UPDATE stored_events SET topic = 'crate.eaten.v1' WHERE position = 4",
    "DELETE FROM stored_events WHERE position = 4",
    "DELETE FROM stored_events WHERE position = 10",
    "UPDATE stored_events SET originator_version = 9 WHERE position = 4",
]


@pytest.mark.parametrize("statement", IN_EVENTS)
def test_what_is_wrong_with_events_is_not_said_of_the_index(
    verified: Verified, statement: str
) -> None:
    verified.change(statement)
    assert sqlite_finds(verified) == "ok"
    whats = verified.whats()
    assert whats
    assert not any("index of streams" in what for what in whats), whats


def test_a_lost_event_that_the_index_still_holds_is_named(verified: Verified) -> None:
    (entry,) = verified.rows(
        "SELECT originator_id, originator_version FROM stored_events WHERE position = 4"
    )
    verified.change("DELETE FROM stored_events WHERE position = 4")
    verified.change_index(f"INSERT INTO entries VALUES ('{entry[0]}', {entry[1]}, 4)")
    whats = verified.whats()
    assert "the event store is damaged: its index of streams has 10 entries for 9 events" in whats
    assert "the event store lacks the events at positions 4 to 4" in whats
    assert NOT_ITS not in whats, "it is known why"


def test_events_that_lead_back_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packledger.audit.checks.store, "PAGE_EVENTS", 1)
    with closing(open_sqlite(tmp_path)) as log:
        log.execute(
            CRATES,
            "demo",
            lambda state, version: [CrateRegistered(at=AT, name="demo", owner="alice")],
        )
        for number in range(9):
            add_owner(log, "demo", f"owner-{number}")
        assert faults_of(log) == []
    store = tmp_path / "events.sqlite"
    root = "SELECT rootpage FROM sqlite_master WHERE name = 'stored_events'"
    ((page,),) = execute_sql(str(store), root)
    content = bytearray(store.read_bytes())
    at = (int(str(page)) - 1) * 4096 + 8 + 2 * 4  # where the fifth event is, and then the sixth
    content[at : at + 4] = content[at + 2 : at + 4] + content[at : at + 2]
    store.write_bytes(content)
    with closing(open_sqlite(tmp_path)) as log:
        assert "out of order" in log.damage()
        with pytest.raises(DamagedLog, match="its events are out of order"):
            faults_of(log)


def test_a_damaged_index_of_another_table_is_one_fault(verified: Verified) -> None:
    verified.change("INSERT INTO credentials VALUES ('alice', 'a hash', '')")
    verified.change_index("DELETE FROM entries", CREDENTIALS, "account, number")
    assert verified.whats() == [
        f"the event store is damaged: row 1 missing from index {CREDENTIALS}"
    ]


def test_read_models_are_compared_even_if_the_check_of_the_store_cannot_be_made(
    verified: Verified,
) -> None:
    verified.change("INSERT INTO credentials VALUES ('alice', 'a hash', '')")
    page = bytearray(verified.page_of(CREDENTIALS))
    entry = int.from_bytes(page[8:10])
    page[entry + 1] = 0x7F  # behind the entry's length, that of its header: it has no end
    verified.write_page(page, CREDENTIALS)
    with (
        closing(open_sqlite(verified.data)) as log,
        pytest.raises(DamagedLog, match="disk image is malformed"),
    ):
        log.damage()
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()
        model = small.live_model("pages")
    with closing(sqlite3.connect(model)) as db, db:
        assert db.execute("UPDATE versions SET size_bytes = size_bytes + 1").rowcount > 0
    pages, store = sorted(verified.whats())
    assert store.startswith("the registry's event store is damaged: database disk image is malf")
    assert pages.startswith("the read model `pages` differs from a replay")
