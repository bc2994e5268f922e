"""A real registry whose event store is damaged says so, everywhere, and adds nothing to it."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from packledger.projections.log_tiles.fold import LOG_TILES
from process_tree import ProcessTree, wait_until
from publications import SAID_YES, Publication, bearer, cargo_publication

DEMO = [cargo_publication("demo", version) for version in ("1.0.0", "1.1.0")]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ProcessTree]:
    """A running registry with two versions of a crate, in a signed log."""
    tree = ProcessTree(tmp_path / "registry")
    try:
        tree.start()
        tree.add_user("alice", "--admin")
        with httpx.Client(base_url=tree.direct) as http:
            for one in DEMO:
                assert one.put(http, tree.tokens["alice"]).status_code in SAID_YES
        last = health(tree)["position"]
        wait_until(lambda: health(tree)["log"]["size"] == last, "everything is signed")
        yield tree
    finally:
        tree.close()


def health(tree: ProcessTree) -> dict[str, object]:
    return httpx.get(f"{tree.direct}/health", timeout=5).json()


def change(tree: ProcessTree, statement: str) -> None:
    with closing(sqlite3.connect(tree.data / "events.sqlite")) as db, db:
        assert db.execute(statement).rowcount > 0


def yank(tree: ProcessTree) -> httpx.Response:
    path = "/cargo/api/v1/crates/demo/1.0.0/yank"
    return httpx.delete(f"{tree.direct}{path}", headers=bearer(tree.tokens["alice"]), timeout=30)


def download(tree: ProcessTree, one: Publication) -> httpx.Response:
    return httpx.get(f"{tree.direct}/cargo/crates/{one.name}/{one.version}/download")


PUBLISHED = "UPDATE stored_events SET {} WHERE topic LIKE 'crate.version_published%'"
UNREADABLE = PUBLISHED.format("state = x'7b'")
NOT_UTF8 = PUBLISHED.format(
    "state = CAST(replace(CAST(state AS TEXT), 'demo', CAST(x'ff' AS TEXT)) AS BLOB)"
)
UNKNOWN = PUBLISHED.format("topic = 'crate.eaten.v1'")


@pytest.mark.parametrize("damage", [UNREADABLE, NOT_UTF8], ids=["cut", "not UTF-8"])
def test_who_meets_the_damage_stops_and_whoever_asks_is_told(
    tree: ProcessTree, damage: str
) -> None:
    tree.stop()
    change(tree, damage)
    tree.start()
    assert health(tree)["store"] == "ok", "nobody has read these events again"
    # A command on that crate reads them, and from then on nothing is appended.
    answer = yank(tree)
    assert answer.status_code == 503
    assert "the registry's event store is damaged: an event" in answer.text
    answer = httpx.put(
        f"{tree.direct}/npm/-/package/x/dist-tags/y", json="1", headers=bearer(tree.tokens["alice"])
    )
    assert answer.status_code in {404, 503}
    assert health(tree)["store"] == "damaged"
    assert not tree.is_healthy()
    # What was built before is what was published.
    assert download(tree, DEMO[0]).content == DEMO[0].packed
    index = httpx.get(f"{tree.direct}/cargo/index/de/mo/demo")
    assert [json.loads(line)["vers"] for line in index.text.splitlines()] == ["1.0.0", "1.1.0"]
    said = tree.cli("verify", fails=True)
    assert "is missing or unreadable" in said
    assert "restore the event store from a backup" in said


def test_a_projector_that_cannot_go_on_stops_loudly(tree: ProcessTree) -> None:
    tree.stop()
    change(tree, UNREADABLE)
    shutil.rmtree(tree.data / "read")
    tree.launch()
    wait_until(
        lambda: "the projector stops: the registry's event store is damaged" in tree.end_of_log(),
        "the projector says why",
    )
    wait_until(tree.answers, "somebody answers")
    assert not tree.is_healthy()
    assert httpx.get(f"{tree.direct}/cargo/index/de/mo/demo").status_code == 503
    assert health(tree)["store"] == "damaged"


def test_an_event_that_is_unknown_is_named_to_whoever_asks(tree: ProcessTree) -> None:
    tree.stop()
    change(tree, UNKNOWN)
    tree.start()
    answer = yank(tree)
    assert answer.status_code == 503
    assert "unknown event `crate.eaten.v1`" in answer.text
    assert download(tree, DEMO[0]).content == DEMO[0].packed
    said = tree.cli("history", fails=True)
    assert "Error: unknown event `crate.eaten.v1`" in said
    assert "Traceback" not in said


def test_a_log_that_lost_signed_events_is_not_served(tree: ProcessTree) -> None:
    tree.stop()
    last = "(SELECT max(position) FROM stored_events)"
    change(tree, f"DELETE FROM stored_events WHERE position = {last}")
    tree.launch()
    wait_until(tree.has_ended, "serve has ended")
    assert "events, but" in tree.end_of_log()
    assert "Restore a newer one" in tree.end_of_log()
    said = tree.cli("verify", fails=True)
    assert "it lost events" in said
    # The operator has no newer one, and says so.
    tree.cli("log", "restart", "--yes")
    tree.start()
    assert tree.is_healthy()


def test_everything_is_mended_while_it_is_served(tree: ProcessTree, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copytree(tree.data / "blobs", tmp_path / "other" / "data" / "blobs")
    with closing(sqlite3.connect(tree.data / "events.sqlite")) as db:
        db.execute("VACUUM INTO ?", (str(tmp_path / "other" / "data" / "events.sqlite"),))
    flipped, gone = (blob_of(tree, one) for one in DEMO)
    flipped.write_bytes(b"\0" + flipped.read_bytes()[1:])
    gone.unlink()
    model = sorted((tree.data / "read" / LOG_TILES).glob("0*/model.sqlite"))[-1]
    with closing(sqlite3.connect(model)) as db, db:
        assert db.execute("UPDATE edge SET entry = x'00' WHERE place = 0").rowcount > 0
    said = json.loads(tree.cli("verify", "--json", fails=True))
    mends = {fault["mend"] for fault in said["faults"]}
    assert mends == {"packledger repair blobs --from DIR|URL", "packledger rebuild log-tiles"}
    other = ProcessTree(tmp_path / "other")
    try:
        other.start()
        refused = tree.cli("repair", "blobs", "--from", other.direct, fails=True)
        assert "the other node answered 401" in refused
        token = tree.tokens["alice"]
        done = tree.cli("repair", "blobs", "--from", other.direct, "--token", token)
        assert "mended 2, not mended 0" in done
        other_token = other.add_user("bob")
        answer = httpx.get(
            f"{other.direct}/audit/blobs/{DEMO[0].sha256}", headers=bearer(other_token)
        )
        assert answer.status_code == 403
        for digest, status in (("0" * 64, 503), ("ABC", 400)):
            path = f"{other.direct}/audit/blobs/{digest}"
            assert httpx.get(path, headers=bearer(token)).status_code == status
    finally:
        other.close()
    tree.cli("rebuild", "log-tiles")
    assert "no faults" in tree.cli("verify")
    for one in DEMO:
        assert download(tree, one).content == one.packed


def blob_of(tree: ProcessTree, one: Publication) -> Path:
    return tree.data / "blobs" / "sha256" / one.sha256[:2] / one.sha256[2:]


def test_the_static_tree_is_verified_and_mended_too(tmp_path: Path) -> None:
    files = tmp_path / "tree"
    tree = ProcessTree(tmp_path / "registry", static_tree=files)
    file = files / "cargo" / "index" / "de" / "mo" / "demo"
    try:
        tree.start()
        tree.add_user("alice")
        with httpx.Client(base_url=tree.direct) as http:
            assert DEMO[0].put(http, tree.tokens["alice"]).status_code in SAID_YES
        wait_until(file.exists, "the file is written")
        whole = file.read_bytes()
        assert "7 read models" not in tree.cli("verify"), "the tiles are the log's"
        assert "6 read models" in tree.cli("verify")
        file.write_bytes(whole.replace(b"1.0.0", b"1.0.1"))
        said = tree.cli("verify", fails=True)
        assert (
            "the read model `static-tree` has 1 wrong files, such as cargo/index/de/mo/demo" in said
        )
        assert "packledger rebuild static-tree" in said
        tree.cli("rebuild", "static-tree")
        assert "no faults" in tree.cli("verify")
        assert file.read_bytes() == whole
    finally:
        tree.close()
