"""Each step of a command, the projector and a rebuild raises, before and after it persisted."""

import errno
import hashlib
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError

from one_fault import (
    AFTER,
    BEFORE,
    WHENS,
    Fault,
    break_commit,
    break_fdatasync,
    break_fsync,
    break_rename,
    break_upload_writes,
    disk_full,
)
from packledger.domain.errors import RegistryError, Unavailable, VersionExists
from packledger.domain.events import CrateVersionPublished, NpmVersionPublished
from packledger.eventstore import log as log_module
from packledger.eventstore.blobs import DiskBlobs
from packledger.projections.board import HEARTBEAT_LATE_S, PROJECTIONS, Board
from packledger.projections.generation import Generations
from packledger.projections.projector import RETRY_S
from packledger.projections.rebuild import rebuild
from small_registry import SmallRegistry, new_projection

Publish = Callable[[SmallRegistry], None]
Break = Callable[[Fault, pytest.MonkeyPatch], None]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallRegistry]:
    registry = SmallRegistry(tmp_path / "data")
    registry.registry.board.stop()
    yield registry
    registry.close()


def publish_crate(small: SmallRegistry) -> None:
    small.publish_crate("alice", "a-crate", "1.0.0")


def publish_npm(small: SmallRegistry) -> None:
    small.publish_npm("alice", "a-package", "1.0.0")


def published(small: SmallRegistry) -> list[CrateVersionPublished | NpmVersionPublished]:
    kinds = (CrateVersionPublished, NpmVersionPublished)
    return [one.event for one in small.log.read(0, 10_000) if isinstance(one.event, kinds)]


def check_blobs(small: SmallRegistry, data: Path) -> None:
    """Require that every blob that an event names is there, and that no upload was left."""
    for event in published(small):
        digests = [event.cksum if isinstance(event, CrateVersionPublished) else event.tarball]
        for digest in (*digests, *filter(None, [event.readme])):
            with small.blobs.open(digest) as file:
                assert hashlib.sha256(file.read()).hexdigest() == digest
    assert list((data / "blobs" / "uploads").iterdir()) == []


def check_retry(small: SmallRegistry, data: Path, publish: Publish, stored: bool) -> None:
    """Require that trying again ends right: once in the log, whole, and shown."""
    assert len(published(small)) == stored
    check_blobs(small, data)
    if stored:
        with pytest.raises(VersionExists):
            publish(small)
    else:
        publish(small)
    assert len(published(small)) == 1
    check_blobs(small, data)
    small.catch_up()
    assert small.live_documents() == small.fresh_documents(data / "fresh")


# -- a command -------------------------------------------------------------------------------------

BLOB_STEPS: dict[str, Break] = {
    "write": break_upload_writes,
    "fdatasync": break_fdatasync,
    "rename": break_rename,
    "directory fsync": break_fsync,
}


def io_error() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", BLOB_STEPS)
@pytest.mark.parametrize(
    ("publish", "nth"),
    [(publish_crate, 1), (publish_npm, 1), (publish_npm, 2)],
    ids=["crate", "tarball", "readme"],
)
def test_a_command_whose_blob_fails_is_refused_and_stores_nothing(
    small: SmallRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Publish,
    nth: int,
    step: str,
    when: str,
) -> None:
    fault = Fault(when, io_error(), nth)
    BLOB_STEPS[step](fault, monkeypatch)
    fault.arm()
    with pytest.raises(Unavailable, match="its disk reports an error; nothing was changed"):
        publish(small)
    assert fault.fired
    check_retry(small, tmp_path / "data", publish, stored=False)


PUBLISHES = pytest.mark.parametrize("publish", [publish_crate, publish_npm], ids=["crate", "npm"])


@PUBLISHES
@pytest.mark.parametrize("when", WHENS)
def test_a_command_whose_append_fails_is_refused_and_is_whole_or_absent(
    small: SmallRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Publish,
    when: str,
) -> None:
    fault = Fault(when, OperationalError("disk I/O error"))
    recorder = small.log.recorder
    monkeypatch.setattr(recorder, "insert_events", fault.wrap(recorder.insert_events))
    fault.arm()
    with pytest.raises(Unavailable, match="cannot write its event log now"):
        publish(small)
    assert fault.fired
    check_retry(small, tmp_path / "data", publish, stored=when == AFTER)


@PUBLISHES
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_command_that_cannot_read_its_stream_is_refused_and_stores_nothing(
    small: SmallRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Publish,
    nth: int,
    when: str,
) -> None:
    fault = Fault(when, OperationalError("disk I/O error"), nth)
    recorder = small.log.recorder
    monkeypatch.setattr(recorder, "select_events", fault.wrap(recorder.select_events))
    fault.arm()
    with pytest.raises(Unavailable, match="cannot use its database now"):
        publish(small)
    assert fault.fired
    check_retry(small, tmp_path / "data", publish, stored=False)


@PUBLISHES
def test_a_command_that_loses_a_race_decides_again(
    small: SmallRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish
) -> None:
    fault = Fault(BEFORE, IntegrityError("UNIQUE constraint failed"))
    recorder = small.log.recorder
    monkeypatch.setattr(recorder, "insert_events", fault.wrap(recorder.insert_events))
    fault.arm()
    publish(small)
    assert fault.fired
    check_retry(small, tmp_path / "data", publish, stored=True)


@PUBLISHES
def test_a_command_that_is_told_it_lost_although_it_won_gets_a_conflict(
    small: SmallRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish
) -> None:
    fault = Fault(AFTER, IntegrityError("UNIQUE constraint failed"))
    recorder = small.log.recorder
    monkeypatch.setattr(recorder, "insert_events", fault.wrap(recorder.insert_events))
    fault.arm()
    with pytest.raises(VersionExists):
        publish(small)
    assert fault.fired
    check_retry(small, tmp_path / "data", publish, stored=True)


@PUBLISHES
@pytest.mark.parametrize("when", WHENS)
def test_a_command_whose_snapshot_fails_has_succeeded(
    small: SmallRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Publish,
    when: str,
) -> None:
    monkeypatch.setattr(log_module, "SNAPSHOT_EVERY", 1)
    fault = Fault(when, OperationalError("disk I/O error"))
    assert small.log.snapshots is not None
    recorder = small.log.snapshots.recorder
    monkeypatch.setattr(recorder, "insert_events", fault.wrap(recorder.insert_events))
    fault.arm()
    publish(small)
    assert fault.fired
    kind, name = ("crate", "a_crate") if publish is publish_crate else ("npm", "a-package")
    cached = small.log.load(kind, name)
    small.log._cache.clear()
    assert small.log.load(kind, name) == cached
    assert cached.version > 0
    check_retry(small, tmp_path / "data", publish, stored=True)


@PUBLISHES
@pytest.mark.parametrize("when", WHENS)
def test_a_command_whose_wait_breaks_is_committed(
    small: SmallRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Publish,
    when: str,
) -> None:
    fault = Fault(when, io_error())
    board = small.registry.board
    monkeypatch.setattr(board, "waiting_for", fault.wrap(board.waiting_for))
    fault.arm()
    with pytest.raises(OSError, match="Input/output error"):
        publish(small)
    check_retry(small, tmp_path / "data", publish, stored=True)


@PUBLISHES
def test_a_command_does_not_wait_for_a_projector_that_is_down(
    small: SmallRegistry, tmp_path: Path, publish: Publish
) -> None:
    assert not small.registry.board.projector_lives()
    publish(small)
    check_retry(small, tmp_path / "data", publish, stored=True)


# -- the blob store --------------------------------------------------------------------------------


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", BLOB_STEPS)
def test_a_blob_that_failed_is_never_committed_by_the_same_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    blobs = DiskBlobs(tmp_path)
    blobs.create()
    fault = Fault(when, io_error())
    BLOB_STEPS[step](fault, monkeypatch)
    content = b"all of it"
    writer = blobs.writer()
    fault.arm()

    def write_and_commit() -> None:
        writer.write(content)
        writer.commit()

    with pytest.raises(Unavailable):
        write_and_commit()
    assert fault.fired
    # The kernel reports a lost write once: a second fsync may say yes to bytes that are gone.
    with pytest.raises(Unavailable):
        writer.commit()
    writer.discard()
    assert list((tmp_path / "uploads").iterdir()) == []
    assert blobs.put(content) == hashlib.sha256(content).hexdigest()
    with blobs.open(blobs.put(content)) as file:
        assert file.read() == content


@pytest.mark.parametrize("step", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EMFILE])
def test_a_writer_that_cannot_be_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    blobs = DiskBlobs(tmp_path)
    blobs.create()
    fault = Fault(BEFORE, OSError(step, os.strerror(step)))
    monkeypatch.setattr(Path, "open", fault.wrap(Path.open))
    fault.arm()
    with pytest.raises(Unavailable, match="nothing was changed"):
        blobs.writer()


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = DiskBlobs(tmp_path)
    blobs.create()
    real = Path.open

    class Short(io.FileIO):
        def write(self, content: Any) -> int:
            return super().write(bytes(content)[:7])

    def opened(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        return Short(path, "x+") if mode == "x+b" else real(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", opened)
    content = bytes(range(100))
    with blobs.open(blobs.put(content)) as file:
        assert file.read() == content


# -- the projector ---------------------------------------------------------------------------------


def break_page(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
    patch.setattr(small.feed, "read", fault.wrap(small.feed.read))


def break_each(method: str) -> Callable[[Fault, pytest.MonkeyPatch, SmallRegistry], None]:
    def broken(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
        for one in small.projector.live:
            patch.setattr(one.projection, method, fault.wrap(getattr(one.projection, method)))

    return broken


def break_model_commit(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
    break_commit(fault, patch)
    small.reopen_projector()


def break_board(fault: Fault, patch: pytest.MonkeyPatch, small: SmallRegistry) -> None:
    board = small.registry.board
    patch.setattr(board, "set_position", fault.wrap(board.set_position))


PROJECTOR_STEPS = {
    "read page": break_page,
    "apply": break_each("apply"),
    "flush": break_each("flush"),
    "commit": break_model_commit,
    "tell the board": break_board,
}
DEFECT = "defect"
DISK_FULL = "disk full"


def fill(small: SmallRegistry) -> None:
    for number in range(4):
        small.publish_crate("alice", f"crate-{number % 2}", f"1.{number}.0")
        small.publish_npm("alice", f"package-{number % 2}", f"1.{number}.0")


def step_on(small: SmallRegistry) -> bool:
    """Make steps until there is nothing to do; return whether the projector survived."""
    try:
        for _ in range(100):
            if not small.step():
                return True
    except Exception:
        return False
    raise AssertionError("the projector never comes to rest")


@pytest.mark.parametrize("kind", [DEFECT, DISK_FULL])
@pytest.mark.parametrize("nth", [1, 3, 6])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", PROJECTOR_STEPS)
def test_a_projector_goes_on_exactly_once(
    small: SmallRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
    nth: int,
    kind: str,
) -> None:
    fill(small)
    small.feed.page_events = 3
    fault = Fault(when, disk_full() if kind == DISK_FULL else ValueError("a defect"), nth)
    PROJECTOR_STEPS[step](fault, monkeypatch, small)
    fault.arm()
    survived = step_on(small)
    assert fault.fired
    last = small.log.last_position()
    failed = [one for one in small.projector.live if one.failed]
    if survived:
        # The error is one projection's own: it alone stopped, and says so.
        assert len(failed) == 1
        assert small.registry.board.failed(failed[0].name)
        assert all(one.position == last for one in small.projector.live if not one.failed)
    if survived and kind == DISK_FULL:
        wait = small.projector.live[0]._clock_s() + RETRY_S + 1
        for one in small.projector.live:
            monkeypatch.setattr(one, "_clock_s", lambda: wait)
    else:
        small.reopen_projector()
    small.catch_up()
    assert [one.position for one in small.projector.live] == [last] * len(PROJECTIONS)
    assert not any(small.registry.board.failed(name) for name in PROJECTIONS)
    assert all(small.registry.board.position(name) == last for name in PROJECTIONS)
    assert small.live_documents() == small.fresh_documents(tmp_path / "fresh")


# -- a rebuild -------------------------------------------------------------------------------------


def break_new_projections(method: str) -> Break:
    def broken(fault: Fault, patch: pytest.MonkeyPatch) -> None:
        for name in PROJECTIONS:
            kind = type(new_projection(name))
            patch.setattr(kind, method, fault.wrap(getattr(kind, method)))

    return broken


REBUILD_STEPS: dict[str, Break] = {
    "apply": break_new_projections("apply"),
    "flush": break_new_projections("flush"),
    "commit": break_commit,
    "swap": break_rename,
    "sync": break_fsync,
}


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", REBUILD_STEPS)
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_rebuild_that_fails_leaves_what_is_served(
    small: SmallRegistry, tmp_path: Path, projection: str, step: str, when: str, nth: int
) -> None:
    fill(small)
    small.catch_up()
    before = small.live_documents()
    generations = Generations(small.read_root, projection)
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(when, disk_full(), nth)
        REBUILD_STEPS[step](fault, patch)
        fault.arm()
        try:
            small.rebuild(projection)
        except (sqlite3.OperationalError, RegistryError):
            assert fault.fired
        else:
            assert not fault.fired, "an error was swallowed"
    check_generations(small, generations)
    assert small.live_documents() == before
    small.publish_crate("alice", "after-it", "1.0.0")
    small.publish_npm("alice", "after-it", "1.0.0")
    small.catch_up()
    assert small.rebuild(projection).differences == []
    check_generations(small, generations)
    small.catch_up()
    assert small.live_documents() == small.fresh_documents(tmp_path / "fresh")


@pytest.mark.parametrize("when", WHENS)
def test_an_idle_projector_finds_the_swap_that_a_killed_rebuild_told_nobody(
    small: SmallRegistry, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    fill(small)
    small.catch_up()
    board, name = small.registry.board, PROJECTIONS[0]
    before = board.generation(name)
    fault = Fault(when, io_error())
    with monkeypatch.context() as patch:
        patch.setattr(board, "set_generation", fault.wrap(board.set_generation))
        fault.arm()
        with pytest.raises(OSError, match="Input/output error"):
            small.rebuild(name)
    small.catch_up()
    assert board.generation(name) == before + 1
    assert not board.failed(name)
    assert board.readable(name)


def test_a_heartbeat_from_before_a_reboot_is_no_sign_of_life(tmp_path: Path) -> None:
    now_s = 1_000_000.0
    board = Board(tmp_path / "board", lambda: now_s)
    board.beat()
    assert board.projector_lives()
    now_s = 3.0
    assert not board.projector_lives()
    now_s = 1_000_000.0 + HEARTBEAT_LATE_S
    assert not board.projector_lives()
    board.close()


def check_generations(small: SmallRegistry, generations: Generations) -> None:
    """Require that readers have their file, and that no half-built one is left."""
    live = generations.live()
    projection = generations.model(live).parents[1].name
    read = small.registry.board.generation(projection)
    assert generations.model(live).exists()
    assert generations.model(read).exists(), "what the board names is what readers open"
    folders = {path.name for path in generations.model(live).parents[1].iterdir() if path.is_dir()}
    assert folders <= {f"{number:06d}" for number in (live - 1, live)}


@pytest.mark.parametrize("when", WHENS)
def test_a_rebuild_whose_feed_fails_can_be_repeated(small: SmallRegistry, when: str) -> None:
    fill(small)
    small.catch_up()
    fault = Fault(when, disk_full())
    name = PROJECTIONS[0]
    feed = small.feed
    original = feed.read
    feed.read = fault.wrap(original)  # type: ignore[method-assign]
    fault.arm()
    with pytest.raises(sqlite3.OperationalError):
        rebuild(feed, new_projection(name), small.read_root, small.registry.board)
    feed.read = original  # type: ignore[method-assign]
    outcome = rebuild(feed, new_projection(name), small.read_root, small.registry.board)
    assert outcome.differences == []
    assert outcome.swapped
