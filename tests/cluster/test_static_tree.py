"""The static tree holds what the app would serve, or nothing, whatever happens in between."""

import errno
import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories import EVERYTHING, histories, written
from packledger.domain.errors import Unavailable
from packledger.feeds.feed import Recorded
from packledger.projections.board import BUILDING, FAILED, RUNNING, Board
from packledger.projections.catalogue import on_every_node
from packledger.projections.documents import Document
from packledger.projections.packuments.fold import Packuments
from packledger.projections.read_model import ReadModel
from packledger.projections.static_tree import writer as static_writer
from packledger.projections.static_tree.files import FormFile, StaticFiles, paths_of
from packledger.projections.static_tree.fold import STATIC_TREE, StaticTree
from packledger.projections.static_tree.writer import StaticWriter
from small_registry import memory_folder
from static_node import StaticNode, documents_at

Log = list[Recorded]


@pytest.fixture
def node() -> Iterator[StaticNode]:
    with memory_folder() as folder, closing(StaticNode(folder, EVERYTHING)) as node:
        node.catch_up()
        yield node


class Ages:
    """What every (path, time, size) ever stood for: nginx's ETags."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, int], bytes] = {}

    def note(self, node: StaticNode) -> None:
        for path, (body, mtime_s) in node.served().items():
            if not path.endswith(".gz"):
                # A package's forms are one URL, told apart by the request's headers.
                url = path.removesuffix(".full.json").removesuffix(".abbreviated.json")
                assert self._seen.setdefault((url, mtime_s, len(body)), body) == body, path


def assert_nothing_is_stale(node: StaticNode, folder: Path, cache: dict[int, Any]) -> None:
    """Every file is what the log up to the committed position says; it may be missing."""
    position = node.position()
    if position not in cache:
        cache[position] = documents_at(node.log[:position], folder)
    expected = cache[position]
    assert {p: b for p, b in node.plain().items() if expected.get(p) != b} == {}


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(0, 2**32))
def test_the_tree_is_what_the_app_serves_after_any_history(log: Log, seed: int) -> None:
    rng = random.Random(seed)
    with memory_folder() as folder, closing(StaticNode(folder, log, rng.randint(1, 9))) as node:
        ages, cache = Ages(), {}
        for length in sorted(rng.sample(range(len(log) + 1), min(len(log), 4))):
            node.feed.length = length
            for _ in range(rng.randint(0, 4)):
                node.step()
                if rng.random() < 0.5:
                    node.writer.write()
                ages.note(node)
                assert_nothing_is_stale(node, folder / "documents", cache)
            match rng.choice(["on", "restart", "rebuild", "rebuild packuments", "catch up"]):
                case "restart":
                    node.restart()
                case "rebuild":
                    node.rebuild(StaticTree())
                case "rebuild packuments":
                    node.rebuild(Packuments())
                case "catch up":
                    node.catch_up()
            ages.note(node)
            assert_nothing_is_stale(node, folder / "documents", cache)
        node.feed.length = len(log)
        node.catch_up()
        ages.note(node)
        assert node.plain() == documents_at(log, folder / "documents")
        assert node.wrong() == []


@settings(max_examples=30, deadline=None)
@given(histories(20), st.integers(1, 9), st.integers(1, 9))
def test_two_nodes_give_a_file_the_same_etag_however_they_read(
    log: Log, some: int, other: int
) -> None:
    served = []
    for page_events in (some, other):
        with (
            memory_folder() as folder,
            closing(StaticNode(folder, log, page_events)) as node,
        ):
            node.catch_up()
            served.append(node.served())
    assert served[0] == served[1]


def test_changes_of_one_second_and_one_size_get_other_times() -> None:
    versions = [("npm", "demo", f"{number}.0.0", "next") for number in range(1, 4)]
    tags = [("tag", "demo", f"{1 + number % 3}.0.0", "latest") for number in range(12)]
    log = [_at(one, "2026-11-21T10:00:00.000Z") for one in written([*versions, *tags])]
    with memory_folder() as folder, closing(StaticNode(folder, log)) as node:
        sizes, times = set(), []
        for length in range(5, len(log) + 1):
            node.feed.length = length
            node.catch_up()
            served = node.served()
            # One URL, two forms: their times differ, too.
            for form in ("full", "abbreviated"):
                body, mtime_s = served[f"npm/demo.{form}.json"]
                sizes.add(len(body))
                times.append(mtime_s)
        assert len(sizes) < len(times) // 2, "no two states have one size: this tests nothing"
        assert len(set(times)) == len(times)


def _at(one: Recorded, at: str) -> Recorded:
    return msgspec.structs.replace(one, event=msgspec.structs.replace(one.event, at=at))


# -- killed at any moment --------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Killer:
    """Ends the process before or after the nth thing that it does to the disk."""

    def __init__(self, patch: pytest.MonkeyPatch, nth: int, after: bool) -> None:
        self.left, self._after = nth, after
        for owner, name in (
            (os, "unlink"),
            (os, "utime"),
            (Path, "rename"),
            (Path, "unlink"),
            (Path, "write_bytes"),
            (Path, "write_text"),
            (StaticTree, "apply"),
            (ReadModel, "apply"),
            (StaticWriter, "_place"),
        ):
            patch.setattr(owner, name, self._wrap(getattr(owner, name)))

    def _wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def killing(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self._after:
                raise Killed
            mine = self.left == 0
            result = real(*arguments, **named)
            if mine:
                raise Killed
            return result

        return killing


STORY = written(
    [
        ("configure", "http://a", "", ""),
        ("crate", "demo", "1.0.0", "alice"),
        ("npm", "@acme/tool", "1.0.0", "latest"),
        ("yank", "demo", "1.0.0", True),
        ("tag", "@acme/tool", "1.0.0", "next"),
        ("configure", "http://b", "", ""),
        ("unpublish all", "@acme/tool", "", ""),
    ]
)


def live_through(node: StaticNode) -> None:
    """The log arrives event by event, the tree is written now and then; there are two rebuilds."""
    for length in range(1, len(node.log) + 1):
        node.feed.length = length
        while node.step():
            pass
        if length % 2:
            node.writer.write()
        if length == 7:
            node.rebuild(StaticTree())
    node.catch_up()
    node.rebuild(Packuments())
    node.catch_up()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_it_goes_on_without_a_stale_file(after: bool) -> None:
    cache: dict[int, Any] = {}
    for nth in itertools.count(1):
        with memory_folder() as folder, closing(StaticNode(folder, STORY)) as node:
            with pytest.MonkeyPatch.context() as patch:
                killer = Killer(patch, nth, after)
                node.feed.length = 0
                with suppress(Killed):
                    live_through(node)
            assert_nothing_is_stale(node, folder / "documents", cache)
            if killer.left > 0:
                assert nth > 60, "so few steps that the killer cannot have seen them"
                return
            node.restart()
            assert_nothing_is_stale(node, folder / "documents", cache)
            node.feed.length = len(STORY)
            node.catch_up()
            assert node.plain() == documents_at(STORY, folder / "documents")
            assert node.wrong() == []


# -- rebuilds, and trees of somebody else ----------------------------------------------------------


def test_a_rebuild_writes_the_same_files_with_the_same_times(node: StaticNode) -> None:
    before = node.served()
    outcome = node.rebuild(StaticTree())
    assert (outcome.swapped, outcome.differences) == (True, [])
    node.catch_up()
    assert node.served() == before


def test_a_rebuild_does_not_tell_of_events_whose_files_are_still_there() -> None:
    with memory_folder() as folder, closing(StaticNode(folder, EVERYTHING)) as node:
        node.feed.length = len(EVERYTHING) - 1
        node.catch_up()
        node.feed.length += 1
        node.rebuild(StaticTree())
        assert node.board.position(STATIC_TREE) == len(EVERYTHING) - 1
        assert_nothing_is_stale(node, folder / "documents", {})
        node.catch_up()
        assert node.plain() == documents_at(EVERYTHING, folder / "documents")


def test_a_rebuild_of_a_source_has_everything_made_from_it_written_anew(node: StaticNode) -> None:
    (node.tree / "npm" / "demo.full.json").write_bytes(b"damaged")
    node.rebuild(Packuments())
    node.writer.adopt()
    assert not (node.tree / "npm").exists(), "nginx must ask the app until it is written anew"
    assert (node.tree / "cargo").exists(), "nothing of the index came from there"
    node.catch_up()
    assert node.wrong() == []


def test_another_renderer_gives_the_same_state_another_time(
    node: StaticNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: mtime_s for path, (_, mtime_s) in node.served().items()}
    monkeypatch.setattr(Packuments, "renderer", Packuments.renderer + 1)
    node.rebuild(Packuments())
    node.catch_up()
    for path, (_, mtime_s) in node.served().items():
        assert (mtime_s > before[path]) == path.startswith("npm/"), path


def test_another_boot_has_everything_written_anew(
    node: StaticNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = node.served()
    os.truncate(node.tree / "npm" / "demo.full.json", 0)
    monkeypatch.setattr(static_writer, "_boot", lambda: "another")
    node.restart()
    assert node.served() == {}
    node.catch_up()
    assert node.served() == before


def test_files_of_another_registry_are_never_served(node: StaticNode) -> None:
    with memory_folder() as folder:
        shutil.copytree(node.tree, folder / "tree", symlinks=True)
        with closing(StaticNode(folder, STORY)) as other:
            assert other.served() == {}
            other.catch_up()
            assert other.plain() == documents_at(STORY, folder / "documents")


def test_a_check_names_every_file_that_is_wrong(node: StaticNode) -> None:
    (node.tree / "npm" / "demo.full.json").write_bytes(b"damaged")
    os.utime(node.tree / "npm" / "demo.abbreviated.json", (0, 0))
    (node.tree / "npm" / "@acme" / "tool.full.json.gz").unlink()
    (node.tree / "npm" / "@acme" / "tool.abbreviated.json.gz").write_bytes(b"no gzip")
    (node.tree / "npm" / "gone.full.json").write_bytes(b"{}")
    assert sorted(node.wrong()) == [
        "npm/@acme/tool.abbreviated.json.gz",
        "npm/@acme/tool.full.json.gz",
        "npm/demo.abbreviated.json",
        "npm/demo.full.json",
        "npm/gone.full.json",
    ]
    assert node.rebuild(StaticTree(), check=True).differences == []


# -- what it waits for, and what it does not -------------------------------------------------------


def test_a_document_that_changes_while_it_is_written_is_left_to_the_app() -> None:
    log = written([("crate", "demo", "1.0.0", "alice"), ("yank", "demo", "1.0.0", True)])
    (path,) = paths_of("cargo", "demo")
    with memory_folder() as folder, closing(StaticNode(folder, log)) as node:
        node.feed.length = len(log) - 1
        node.catch_up()
        node.rebuild(StaticTree())
        write = node.files.write

        def slow(path: str, document: Document, mtime_s: int) -> FormFile:
            node.feed.length = len(log)
            while node.step():
                pass
            return write(path, document, mtime_s)

        node.files.write = slow  # type: ignore[method-assign]
        assert node.writer.write() == 0
        assert path not in node.served()
        node.catch_up()
        assert node.plain() == documents_at(log, folder / "documents")


def test_a_readme_that_is_not_to_be_had_holds_up_no_other_document(node: StaticNode) -> None:
    crates = {path: body for path, body in node.plain().items() if path.startswith("cargo/")}
    assert crates
    node.rebuild(StaticTree())
    npm = node.writer.sources["npm"]

    def away(db: sqlite3.Connection, name: str) -> bytes | None:
        raise Unavailable("the blob store is away")

    broken = msgspec.structs.replace(npm, assemble=(away, *npm.assemble[1:]))
    node.writer.sources = {**node.writer.sources, "npm": broken}
    with pytest.raises(Unavailable):
        node.writer.write()
    assert node.plain() == crates
    node.writer.sources = {**node.writer.sources, "npm": npm}
    node.catch_up()
    assert node.wrong() == []


def test_while_the_projection_has_failed_the_app_is_asked_for_everything(node: StaticNode) -> None:
    before = node.served()
    node.board.set_state(STATIC_TREE, FAILED)
    node.writer.write()
    assert node.served() == {}
    node.board.set_state(STATIC_TREE, RUNNING)
    node.writer.write()
    assert node.served() == before


def test_a_tree_that_was_emptied_by_hand_is_written_again(node: StaticNode) -> None:
    whole = node.served()
    assert whole
    shutil.rmtree(node.tree)
    node.writer.write()
    assert node.served() == whole
    assert node.wrong() == []


def test_what_is_set_aside_is_served_no_more_although_its_folder_was_removed(
    node: StaticNode,
) -> None:
    shutil.rmtree(node.tree / "old")
    node.files.set_aside("npm")
    assert not any(path.startswith("npm/") for path in node.served())


def test_what_a_full_disk_cuts_short_is_removed(
    node: StaticNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.rebuild(StaticTree())
    real = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.parent.name == "new":
            real(path, content[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            node.writer.write()
    assert list((node.tree / "new").iterdir()) == []
    node.catch_up()
    assert node.wrong() == []


def test_a_tree_that_cannot_be_created_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="`static_tree` cannot be created"):
        StaticFiles(tmp_path / "file" / "tree")


def test_a_node_without_a_tree_waits_for_none(tmp_path: Path) -> None:
    with closing(Board(tmp_path / "board")) as board:
        for name in on_every_node():
            board.set_position(name, 7)
        assert board.waiting_for(7) == []
        board.set_state(STATIC_TREE, BUILDING)
        assert board.waiting_for(7) == [STATIC_TREE]
