"""`packledger verify`: it finds nothing in a sound registry, and names each fault of another."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from packledger.projections.catalogue import on_every_node
from packledger.projections.log_tiles.fold import LOG_TILES
from small_registry import ADMIN, SmallRegistry, memory_folder
from verified_registry import Verified

COMPARED = len(set(on_every_node()) - {LOG_TILES})
"""The tiles are compared with the log itself."""


@pytest.fixture
def verified() -> Iterator[Verified]:
    with memory_folder() as folder:
        yield Verified(folder)


def test_a_sound_registry_has_no_faults(verified: Verified) -> None:
    report = verified.verify()
    assert report.faults == []
    assert report.position > 6
    assert report.blobs == 6, "two crates, two tarballs, two READMEs"
    assert report.orphans == 0
    assert len(report.read_models) == COMPARED


def test_a_restored_registry_that_was_never_served_has_no_faults(
    verified: Verified, capsys: pytest.CaptureFixture[str]
) -> None:
    verified.verify()
    assert capsys.readouterr().err == ""
    shutil.rmtree(verified.data / "read")
    report = verified.verify()
    assert report.faults == []
    assert len(report.read_models) == COMPARED
    assert "no read model was built yet" in capsys.readouterr().err


def test_what_was_built_before_the_first_check_hides_nothing(verified: Verified) -> None:
    shutil.rmtree(verified.data / "read")
    at = positions_of(verified, PUBLISHED)[0]
    verified.change(f"DELETE FROM stored_events WHERE position = {at}")
    assert any(f"position {at}" in what or f"positions {at}" in what for what in verified.whats())


def faults_of(verified: Verified) -> list[str]:
    report = verified.verify()
    assert all("restore the event store" in one.mend for one in report.faults), report.faults
    return [one.what for one in report.faults]


def swap(verified: Verified, this: int, that: int) -> None:
    for before, after in ((this, 10**6), (that, this), (10**6, that)):
        verified.change(f"UPDATE stored_events SET position = {after} WHERE position = {before}")


def positions_of(verified: Verified, tag: str) -> list[int]:
    with closing(sqlite3.connect(verified.data / "events.sqlite")) as db:
        found = "SELECT position FROM stored_events WHERE topic LIKE ? ORDER BY position"
        return [row[0] for row in db.execute(found, (tag,))]


PUBLISHED = "crate.version_published%"


def test_a_byte_that_makes_sense_is_found_by_what_was_logged(verified: Verified) -> None:
    at = positions_of(verified, PUBLISHED)[0]
    verified.change(
        "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), 'about', 'above')"
        f" AS BLOB) WHERE position = {at}"
    )
    whats = faults_of_any(verified)
    assert f"the event at position {at} is not the one that was logged" in whats
    assert any("the read model `pages` differs from a replay" in what for what in whats)


def faults_of_any(verified: Verified) -> list[str]:
    return [one.what for one in verified.verify().faults]


def test_an_event_that_cannot_be_read_is_named(verified: Verified) -> None:
    at = positions_of(verified, PUBLISHED)[0]
    verified.change(f"UPDATE stored_events SET state = x'7b' WHERE position = {at}")
    whats = faults_of_any(verified)
    assert f"the event at position {at} is missing or unreadable" in whats
    assert any(f"has an event at position {at}: Input data was truncated" in one for one in whats)
    assert any("cannot be compared" in one for one in whats)


def test_an_event_of_a_newer_release_is_named(verified: Verified) -> None:
    verified.change("UPDATE stored_events SET topic = 'crate.eaten.v1' WHERE position = 5")
    assert any(
        "position 5: unknown event `crate.eaten.v1`" in one for one in faults_of_any(verified)
    )


def test_a_missing_event_is_named_by_its_place_in_the_log_and_in_its_stream(
    verified: Verified,
) -> None:
    at = positions_of(verified, PUBLISHED)[0]
    verified.change(f"DELETE FROM stored_events WHERE position = {at}")
    whats = faults_of_any(verified)
    assert f"the event store lacks the events at positions {at} to {at}" in whats
    assert any("in disorder" in one for one in whats)


def test_the_last_event_is_missed(verified: Verified) -> None:
    last = positions_of(verified, "%")[-1]
    verified.change(f"DELETE FROM stored_events WHERE position = {last}")
    whats = faults_of_any(verified)
    lost = f"the event store ends at position {last - 1}, every read model is ahead of it"
    assert f"{lost}: it lost events" in whats
    assert any(f"the log's tiles at {last}: events were lost" in one for one in whats)
    assert all("restore the event store" in one.mend for one in verified.verify().faults)


def test_swapped_events_of_one_stream_are_in_disorder(verified: Verified) -> None:
    swap(verified, *positions_of(verified, PUBLISHED)[:2])
    whats = faults_of_any(verified)
    assert sum("is not the one that was logged" in one for one in whats) == 2
    assert sum("in disorder" in one for one in whats) == 1


def test_swapped_contents_are_in_the_wrong_stream(verified: Verified) -> None:
    crate, package = positions_of(verified, "crate.%")[0], positions_of(verified, "npm.%")[0]
    for this, that in ((crate, 10**6), (package, crate), (10**6, package)):
        if this == crate:
            verified.change(
                "INSERT INTO stored_events SELECT 1000000, 'x', 1, topic, state"
                f" FROM stored_events WHERE position = {crate}"
            )
        else:
            verified.change(
                "UPDATE stored_events SET (topic, state) = (SELECT topic, state FROM stored_events"
                f" AS other WHERE other.position = {this}) WHERE position = {that}"
            )
    verified.change("DELETE FROM stored_events WHERE position = 1000000")
    whats = faults_of_any(verified)
    for at in (crate, package):
        assert any(f"position {at} in another stream" in one for one in whats), whats


def test_a_file_that_is_no_database_is_one_fault(verified: Verified) -> None:
    path = verified.data / "events.sqlite"
    path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])
    assert {
        "the registry's event store is damaged: file is not a database" in what
        for what in faults_of(verified)
    } == {True}


@pytest.mark.parametrize("page", [2, 3, -2])
def test_a_page_of_rubbish_is_found(verified: Verified, page: int) -> None:
    path = verified.data / "events.sqlite"
    content = bytearray(path.read_bytes())
    start = page * 4096 % len(content)
    content[start : start + 4096] = b"\x0d\xff" * 2048
    path.write_bytes(content)
    assert any("store" in one and "damaged" in one for one in faults_of_any(verified))


def test_what_lies_before_is_believed_and_that_is_said(verified: Verified) -> None:
    at = positions_of(verified, "%")[2]
    verified.change(f"UPDATE stored_events SET topic = 'crate.eaten.v1' WHERE position = {at}")
    assert verified.whats()
    report = verified.verify(since=at)
    assert report.read_models == []
    assert report.orphans is None
    # The log's own check begins with the tile that the position is in.
    whats = {one.what for one in report.faults}
    assert f"the event at position {at} is missing or unreadable" in whats
    assert all("read model" not in one for one in whats)


def test_another_key_and_a_lost_key_are_told(verified: Verified) -> None:
    key = verified.data / "log.key"
    key.unlink()
    assert verified.whats() == [], "another node signs"
    key.write_text("rubbish")
    assert any("is damaged" in one for one in verified.whats())


def test_times_of_tiles_are_compared(verified: Verified) -> None:
    """Views of the past begin to read where these say."""
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()
        for number in range(90):
            small.publish_crate(ADMIN, "many", f"1.{number}.0")
            small.publish_npm(ADMIN, "many", f"1.{number}.0")
        small.catch_up()
        model = small.live_model("log-tiles")
    assert verified.whats() == []
    with closing(sqlite3.connect(model)) as db, db:
        db.execute("UPDATE times SET latest = '2031-01-01T00:00:00.000Z'")
    assert wrong_times(verified) == "packledger rebuild log-tiles"
    with closing(sqlite3.connect(model)) as db, db:
        db.execute("UPDATE times SET earliest = '1970-01-01T00:00:00.000Z'")
    assert wrong_times(verified) == "packledger rebuild log-tiles"


def wrong_times(verified: Verified) -> str:
    (fault,) = verified.verify().faults
    assert fault.what == "the tiles' times of tile 0 are wrong"
    return fault.mend


def test_orphans_are_only_counted(verified: Verified) -> None:
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()
        small.blobs.put(b"of an upload that was refused")
    report = verified.verify()
    assert (report.faults, report.orphans) == ([], 1)
