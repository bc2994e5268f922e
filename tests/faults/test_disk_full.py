"""A full or read-only disk: publishing is refused with a sentence, nothing is lost, it recovers."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from process_tree import ProcessTree, wait_until
from publications import (
    SAID_YES,
    Publication,
    cargo_publication,
    check_served,
    index_path,
    npm_publication,
    publication,
    sentence_of,
    versions_shown,
)
from running_registry import PACKLEDGER
from small_disk import SmallDisk

StartTree = Callable[..., ProcessTree]
MakeDisk = Callable[[Path, int], SmallDisk]

ECOSYSTEMS = ("cargo", "npm")


@pytest.fixture
def make_disk(start_tree: StartTree) -> Iterator[MakeDisk]:
    """Mount small disks; they are unmounted after the registries on them were stopped."""
    disks: list[SmallDisk] = []

    def make(folder: Path, size_mib: int) -> SmallDisk:
        disks.append(SmallDisk(folder, size_mib))
        return disks[-1]

    yield make
    for disk in reversed(disks):
        disk.close()


@pytest.fixture
def stop_first(make_disk: MakeDisk, start_tree: StartTree) -> Iterator[list[ProcessTree]]:
    """Registries to stop before their disks are unmounted."""
    trees: list[ProcessTree] = []
    yield trees
    for tree in trees:
        tree.stop()


def publish(http: httpx.Client, tree: ProcessTree, one: Publication) -> httpx.Response:
    return one.put(http, tree.tokens["alice"])


def publish_some(http: httpx.Client, tree: ProcessTree) -> list[Publication]:
    some = [publication(kind, f"early-{kind}", "1.0.0", b"first") for kind in ECOSYSTEMS]
    for one in some:
        assert publish(http, tree, one).status_code in SAID_YES
    return some


def check_refused(http: httpx.Client, tree: ProcessTree, one: Publication, why: str) -> None:
    answer = publish(http, tree, one)
    assert answer.status_code == 503, f"{one.key}: {answer.status_code} {answer.text}"
    sentence = sentence_of(one.ecosystem, answer)
    assert why in sentence, sentence
    assert "try again later" in sentence
    assert "retry-after" in answer.headers
    assert one.version not in versions_shown(http, one.ecosystem, one.name)


def check_recovered(
    http: httpx.Client, tree: ProcessTree, early: list[Publication], later: list[Publication]
) -> None:
    """Require that refused versions can be published now, and that nothing earlier was lost."""
    for one in later:
        answer = publish(http, tree, one)
        assert answer.status_code in SAID_YES, f"{one.key}: {answer.status_code} {answer.text}"
    for one in (*early, *later):
        check_served(http, one.name, [one])
    tree.wait_healthy()
    assert list((tree.data / "blobs" / "uploads").iterdir()) == []
    tree.cli("rebuild", "--check")


def refused(size_bytes: int) -> list[Publication]:
    return [publication(kind, f"refused-{kind}", "1.0.0", bytes(size_bytes)) for kind in ECOSYSTEMS]


def test_a_full_disk_refuses_publishes_and_loses_nothing(
    start_tree: StartTree, make_disk: MakeDisk, stop_first: list[ProcessTree], tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "registry" / "data", 64)
    tree = start_tree(tmp_path / "registry")
    stop_first.append(tree)
    with httpx.Client(base_url=tree.direct, timeout=30) as http:
        early = publish_some(http, tree)
        disk.fill()
        # Small ones stay in memory on their way in; a large npm body is spooled to the disk.
        later = [*refused(1_000), npm_publication("refused-large", "1.0.0", _noise(3_000_000))]
        for one in later:
            check_refused(http, tree, one, "its disk is full")
        for one in early:
            check_served(http, one.name, [one])
        disk.free()
        check_recovered(http, tree, early, later)


def _noise(size_bytes: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(size_bytes).randbytes(size_bytes)


def test_serve_on_a_full_disk_serves_what_there_is_or_says_why_not(
    start_tree: StartTree, make_disk: MakeDisk, stop_first: list[ProcessTree], tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "registry" / "data", 64)
    tree = start_tree(tmp_path / "registry")
    stop_first.append(tree)
    with httpx.Client(base_url=tree.direct, timeout=30) as http:
        early = publish_some(http, tree)
        tree.stop()
        disk.fill()
        began = tree.log.stat().st_size
        tree.launch()
        # What SQLite gives back at its first look decides which of the two happens.
        wait_until(lambda: tree.has_ended() or tree.answers(), "it answers or has ended")
        if tree.has_ended():
            said = tree.log.read_text()[began:]
            assert "the registry cannot" in said
            assert "full" in said
            assert "Traceback" not in said
            disk.free()
            tree.start()
        else:
            for path in (index_path("early-cargo"), "/npm/early-npm"):
                answer = http.get(path)
                assert answer.status_code in {200, 503}, answer.text
                ecosystem = path.split("/")[1]
                assert answer.status_code == 200 or sentence_of(ecosystem, answer)
            disk.free()
        tree.wait_healthy()
        check_recovered(http, tree, early, refused(1_000))


def test_an_event_store_that_cannot_grow_refuses_and_stores_no_event(
    start_tree: StartTree, make_disk: MakeDisk, stop_first: list[ProcessTree], tmp_path: Path
) -> None:
    data = tmp_path / "registry" / "data"
    disk = make_disk(data, 32)
    make_disk(data / "blobs", 32)
    make_disk(data / "read", 64)
    tree = start_tree(tmp_path / "registry")
    stop_first.append(tree)
    with httpx.Client(base_url=tree.direct, timeout=30) as http:
        early = publish_some(http, tree)
        disk.fill()
        accepted, later = _publish_until_refused(http, tree)
        before = _history(tree)
        for one in later:
            check_refused(http, tree, one, "cannot write its event log")
        assert _history(tree) == before
        for one in (*early, *accepted):
            check_served(http, one.name, [one])
        disk.free()
        check_recovered(http, tree, [*early, *accepted], later)


def _publish_until_refused(
    http: httpx.Client, tree: ProcessTree
) -> tuple[list[Publication], list[Publication]]:
    """Use up what the log's file has reserved; return what was accepted and one refused of each."""
    accepted: list[Publication] = []
    for number in range(2_000):
        pair = [publication(kind, f"fill-{kind}-{number}", "1.0.0") for kind in ECOSYSTEMS]
        answers = [publish(http, tree, one) for one in pair]
        statuses = {answer.status_code for answer in answers}
        accepted += [
            one for one, said in zip(pair, answers, strict=True) if said.status_code in SAID_YES
        ]
        if statuses == {503}:
            return accepted, pair
        assert statuses <= SAID_YES | {503}, [answer.text for answer in answers]
    raise AssertionError("the event store never got full")


def _history(tree: ProcessTree) -> str:
    return tree.cli("history", "--json")


def test_read_models_that_cannot_grow_catch_up_by_themselves_when_there_is_space(
    start_tree: StartTree, make_disk: MakeDisk, stop_first: list[ProcessTree], tmp_path: Path
) -> None:
    data = tmp_path / "registry" / "data"
    disk = make_disk(data / "read", 32)
    tree = start_tree(tmp_path / "registry")
    stop_first.append(tree)
    with httpx.Client(base_url=tree.direct, timeout=30) as http:
        early = publish_some(http, tree)
        disk.fill()
        committed = _publish_until_unseen(http, tree)
        # The log has them, so the answer was yes; the documents lack them, so health says no.
        wait_until(lambda: http.get("/health").status_code == 503, "/health is 503")
        for one in early:
            check_served(http, one.name, [one])
        disk.free()
        tree.wait_healthy()
        for one in committed:
            check_served(http, one.name, [one])
        check_recovered(http, tree, early, refused(1_000))


def _publish_until_unseen(http: httpx.Client, tree: ProcessTree) -> list[Publication]:
    """Publish until an acknowledged version of each ecosystem is not shown."""
    committed: list[Publication] = []
    unseen: set[str] = set()
    for number in range(2_000):
        for kind in ECOSYSTEMS:
            one = publication(kind, f"unseen-{kind}-{number}", "1.0.0")
            answer = publish(http, tree, one)
            assert answer.status_code in SAID_YES, answer.text
            committed.append(one)
            if one.version not in versions_shown(http, kind, one.name):
                unseen.add(kind)
        if unseen == set(ECOSYSTEMS):
            return committed
    raise AssertionError("the read models never got full")


def test_read_only_blobs_refuse_publishes_and_go_on_serving(
    start_tree: StartTree, make_disk: MakeDisk, stop_first: list[ProcessTree], tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "registry" / "data" / "blobs", 32)
    tree = start_tree(tmp_path / "registry")
    stop_first.append(tree)
    with httpx.Client(base_url=tree.direct, timeout=30) as http:
        early = publish_some(http, tree)
        disk.make_read_only()
        later = [*refused(1_000), npm_publication("refused-large", "1.0.0", _noise(3_000_000))]
        for one in later:
            check_refused(http, tree, one, "its disk is read-only")
        for one in early:
            check_served(http, one.name, [one])
        disk.make_writable()
        check_recovered(http, tree, early, later)


def test_serve_on_a_read_only_directory_is_refused_with_a_sentence(
    start_tree: StartTree, make_disk: MakeDisk, stop_first: list[ProcessTree], tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "registry" / "data", 64)
    tree = start_tree(tmp_path / "registry")
    stop_first.append(tree)
    with httpx.Client(base_url=tree.direct, timeout=30) as http:
        early = publish_some(http, tree)
    tree.stop()
    disk.make_read_only()
    commands = (["serve", "--listen", f"http://127.0.0.1:{tree.port}"], ["user", "list"])
    for command in commands:
        said = serve_once(tree, *command)
        assert said.returncode == 1, said
        assert "read-only" in said.stderr, said.stderr
        assert "Traceback" not in said.stderr
    disk.make_writable()
    tree.start()
    with httpx.Client(base_url=tree.direct, timeout=30) as http:
        check_recovered(http, tree, early, [cargo_publication("after-it", "1.0.0")])


def test_a_board_that_finds_no_space_is_an_error_and_not_the_end_of_the_process(
    make_disk: MakeDisk, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "disk", 1)
    disk.fill()
    code = (
        "import pathlib, sys; from packledger.projections.board import Board;"
        "board = Board(pathlib.Path(sys.argv[1])); board.beat()"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(disk.folder / "board")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert said.returncode == 1, f"ended by signal {-said.returncode}"
    assert "No space left on device" in said.stderr


def serve_once(tree: ProcessTree, *command: str) -> subprocess.CompletedProcess[str]:
    command = command or ("serve", "--listen", f"http://127.0.0.1:{tree.port}")
    return subprocess.run(
        [PACKLEDGER, *command, "--data", str(tree.data)],
        env=tree.env,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
