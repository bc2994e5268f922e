"""Tools that we did not write verify the log, and find what our own check finds, too."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from log_checker import check, fsck
from packledger.audit.translog.checkpoint import Checkpoint
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import new_key
from packledger.projections.log_tiles.merkle import HASH_BYTES
from served_log import SERVED, ServedLog
from small_registry import memory_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


def judge(log: ServedLog) -> tuple[bool, str]:
    """What tessera's fsck, the command and the library, says of a log."""
    with log.serving() as url:
        well, said = fsck(url, log.key, log.data)
        again, more = check("check", f"{url}/log/", str(log.key), log.key.name)
    assert well == again, f"{said}\n{more}"
    return well, said


def continues(log: ServedLog, older: str) -> tuple[bool, str]:
    """Whether the served checkpoint continues one that an auditor has kept, by tessera's proofs."""
    saved = log.data / "older"
    saved.write_text(older)
    with log.serving() as url:
        return check("continues", f"{url}/log/", str(log.key), str(saved))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 70_000])
def test_a_log_of_any_size_verifies(folder: Path, size: int) -> None:
    with closing(ServedLog(folder, size)) as log:
        assert log.faults() == []
        well, said = judge(log)
        assert well, said
        assert f"with size {size} " in said
        older = log.row.published
        log.append(3)
        log.sign()
        well, said = continues(log, older)
        assert well, said


SIZE = 600
"""Two full tiles and a partial one."""


@pytest.fixture
def log(folder: Path) -> Iterator[ServedLog]:
    with closing(ServedLog(folder, SIZE)) as log:
        yield log


def flipped(column: str, at: int) -> str:
    byte = f"substr({column}, {at}, 1)"
    other = f"CASE {byte} WHEN x'61' THEN x'62' ELSE x'61' END"
    return f"CAST(substr({column}, 1, {at - 1}) || {other} || substr({column}, {at + 1}) AS BLOB)"


TILES = {
    "a flipped byte in an entry": (
        f"UPDATE bundles SET body = {flipped('body', 1000)} WHERE tile = 1",
        "`/log/tile/entries/001` is damaged",
    ),
    "a flipped byte in the newest entry": (
        f"UPDATE edge SET entry = {flipped('entry', 30)} WHERE level = 0 AND place = 87",
        "`/log/tile/entries/002.p/88` is damaged",
    ),
    "a flipped byte in a hash": (
        f"UPDATE tiles SET body = {flipped('body', 77)} WHERE level = 0 AND tile = 0",
        "`/log/tile/0/000` is damaged",
    ),
    "a flipped byte in a hash above": (
        f"UPDATE edge SET hash = {flipped('hash', 5)} WHERE level = 1 AND place = 0",
        "`/log/tile/1/000.p/2` is damaged",
    ),
    "a missing tile": (
        "DELETE FROM tiles WHERE level = 0 AND tile = 1",
        "`/log/tile/0/001` is missing",
    ),
    "a missing bundle": (
        "DELETE FROM bundles WHERE tile = 0",
        "`/log/tile/entries/000` is missing",
    ),
    "a bundle cut inside an entry": (
        "UPDATE bundles SET body = substr(body, 1, length(body) - 7) WHERE tile = 1",
        "`/log/tile/entries/001` is missing",
    ),
    "a bundle cut behind an entry": (
        "UPDATE bundles SET body = ? WHERE tile = 0",
        "`/log/tile/entries/000` is damaged",
    ),
}


def two_entries(log: ServedLog) -> bytes:
    with log.serving() as url:
        return httpx.get(f"{url}/log/tile/entries/000.p/2").content


@pytest.mark.parametrize("what", TILES)
def test_damaged_tiles_are_found_and_a_rebuild_mends_them(log: ServedLog, what: str) -> None:
    statement, fault = TILES[what]
    log.change_tiles(statement, *([two_entries(log)] if "?" in statement else []))
    assert not judge(log)[0]
    (found,) = log.faults()
    assert fault in found.what
    assert found.mend == "packledger rebuild log-tiles"
    log.rebuild()
    assert log.faults() == []
    assert judge(log)[0]


def swap(log: ServedLog) -> None:
    for before, after in ((300, 10**6), (301, 300), (10**6, 301)):
        log.change_store(f"UPDATE stored_events SET position = {after} WHERE position = {before}")


def lose_the_last(log: ServedLog) -> None:
    log.change_store(f"DELETE FROM stored_events WHERE position = {SIZE}")


def change_one(log: ServedLog) -> None:
    log.change_store(
        "UPDATE stored_events SET state ="
        " CAST(replace(CAST(state AS TEXT), 'demo', 'evil') AS BLOB) WHERE position = 1"
    )


STORE = {
    swap: ["the event at position 300 is not the", "the event at position 301 is not the"],
    lose_the_last: ["the event store ends at position 599, the log's tiles at 600"],
    change_one: ["the event at position 1 is not the one that was logged"],
}
SIGNED = {
    swap: "the first 600 events are not those of the served checkpoint",
    lose_the_last: "the served checkpoint has 600 entries, the event store 599",
    change_one: "the first 600 events are not those of the served checkpoint",
}


@pytest.mark.parametrize("change", STORE, ids=lambda change: change.__name__)
def test_a_changed_store_is_found_before_and_after_the_tiles_are_rebuilt(
    log: ServedLog, change: Callable[[ServedLog], None]
) -> None:
    change(log)
    found = log.faults()
    assert [any(part in one.what for part in STORE[change]) for one in found] == [True] * len(found)
    assert len(found) == len(STORE[change])
    assert all("restore the event store" in one.mend for one in found)
    # What auditors are served is still what was signed. Not any more once it follows the store:
    assert judge(log)[0]
    log.rebuild()
    assert not judge(log)[0]
    whats = {one.what for one in log.faults()}
    assert any(SIGNED[change] in what for what in whats), whats


def test_an_event_that_cannot_be_read_is_named(log: ServedLog) -> None:
    log.change_store("UPDATE stored_events SET state = x'00' WHERE position = 5")
    log.change_store("UPDATE stored_events SET topic = 'crate.eaten.v1' WHERE position = 6")
    log.change_store("DELETE FROM stored_events WHERE position = 7")
    assert [one.what for one in log.faults()] == [
        f"the event at position {at} is missing or unreadable" for at in (5, 6, 7)
    ]


def test_another_origin_is_found(log: ServedLog) -> None:
    other = new_key("other.example.com/log")
    text = log.row.published.partition("\n\n")[0].split("\n")
    text[0] = other.verifier.name
    log.publish(str(other.sign("\n".join(text) + "\n")))
    assert not judge(log)[0]
    (found,) = log.faults()
    assert "the served checkpoint is not valid: the checkpoint is of the log `other" in found.what


def test_a_checkpoint_of_a_stranger_is_found(log: ServedLog) -> None:
    stranger = new_key(log.key.name)
    log.publish(str(stranger.sign(log.row.published.partition("\n\n")[0] + "\n")))
    assert not judge(log)[0]
    (found,) = log.faults()
    assert "is not signed with the key" in found.what


def test_a_rolled_back_checkpoint_is_found(log: ServedLog) -> None:
    older = log.row.published
    log.append(1)
    log.sign()
    newest = log.row.published
    assert continues(log, older)[0]
    log.publish(older)
    # It is a valid state of the log: only who has seen the newer one can tell.
    assert judge(log)[0]
    well, said = continues(log, newest)
    assert not well
    assert "rolled back: it had 601 entries, now 600 are served" in said
    (found,) = log.faults()
    assert f"{SERVED} was rolled back: it has 600 entries" in found.what


def test_another_history_is_found_by_who_remembers_the_first(log: ServedLog) -> None:
    older = log.row.published
    change_one(log)
    log.rebuild()
    log.publish("")
    (log.data / "log.signed").unlink()
    log.sign()
    # Everything is well, but for what the auditor has kept.
    assert log.faults() == []
    assert judge(log)[0]
    assert not continues(log, older)[0]


def test_faults_before_a_position_are_believed(log: ServedLog) -> None:
    log.change_tiles(f"UPDATE bundles SET body = {flipped('body', 1000)} WHERE tile = 0")
    assert len(log.faults(since=256)) == 1
    assert log.faults(since=257) == []
    log.change_tiles(f"UPDATE edge SET entry = {flipped('entry', 30)} WHERE place = 80")
    assert len(log.faults(since=513)) == 1


def test_the_key_and_the_tiles_are_what_http_says_they_are(log: ServedLog) -> None:
    with log.serving() as url, httpx.Client(base_url=f"{url}/log") as http:
        assert http.get("/vkey").text == f"{log.key}\n"
        checkpoint = http.get("/checkpoint")
        assert checkpoint.text == log.row.published
        assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
        assert checkpoint.headers["cache-control"] == "no-cache"
        tile = http.get("/tile/0/001")
        assert len(tile.content) == 256 * HASH_BYTES
        assert tile.headers["content-type"] == "application/octet-stream"
        assert tile.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert http.get("/tile/0/001.p/3").content == tile.content[: 3 * HASH_BYTES]
        bundle = http.get("/tile/entries/002.p/88")
        assert bundle.headers["content-encoding"] == "gzip"
        assert bundle.headers["vary"] == "accept-encoding"
        plain = http.get("/tile/entries/002.p/88", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == bundle.content
        for path in (
            "0/002",
            "0/002.p/89",
            "0/003.p/1",
            "1/000",
            "2/000.p/1",
            "entries/002",
            "entries/2",
            "64/000",
            "00/000",
            "x/000",
            "0/x000/001",
            "entries/000/",
            "-1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/" + "x999/" * 9 + "999",
        ):
            answer = http.get(f"/tile/{path}")
            assert answer.status_code == 404, path
            assert answer.headers["cache-control"] == "no-store"


def test_a_node_that_is_behind_serves_the_checkpoint_that_its_tiles_reach(log: ServedLog) -> None:
    older = log.row.published
    with log.serving() as url, httpx.Client(base_url=f"{url}/log") as http:
        assert http.get("/checkpoint").text == older
        # Another node has signed more events than this one has tiles for.
        key = LogKeys(log.data).all()[0]
        newer = str(key.sign(Checkpoint(log.key.name, SIZE + 5, bytes(32)).text()))
        log.publish(newer)
        deadline_s = time.monotonic() + 10
        while http.get("/vkey").status_code == 200 and time.monotonic() < deadline_s:
            if log.row.published == newer and http.get("/checkpoint").text == older:
                break
        assert http.get("/checkpoint").text == older
    with log.serving() as url:
        answer = httpx.get(f"{url}/log/checkpoint")
        assert answer.status_code == 503
        assert "still catching up" in answer.json()["error"]


def test_a_log_that_was_never_signed_says_so(folder: Path) -> None:
    with closing(ServedLog(folder, 3)) as log:
        log.publish("")
        with log.serving() as url:
            for path in ("log/checkpoint", "log/vkey", "audit/receipt/1"):
                answer = httpx.get(f"{url}/{path}")
                assert answer.status_code == 404
                assert "not signed yet" in answer.json()["error"]
