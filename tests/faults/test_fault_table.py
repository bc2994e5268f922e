"""Each step of a command and of the blob store raises, before and after it persisted."""

import errno
import hashlib
import io
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError

from one_fault import (
    AFTER,
    BEFORE,
    WHENS,
    Fault,
    break_fdatasync,
    break_fsync,
    break_rename,
    break_upload_writes,
    io_error,
)
from packledger.domain.errors import Unavailable, VersionExists
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.streams import CRATES, PACKAGES, AnyStream
from packledger.eventstore import log as log_module
from packledger.eventstore.blobs.disk import DiskBlobs
from small_registry import SmallRegistry

Publish = Callable[[SmallRegistry], None]
Break = Callable[[Fault, pytest.MonkeyPatch], None]


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
    kind: AnyStream
    kind, name = (CRATES, "a_crate") if publish is publish_crate else (PACKAGES, "a-package")
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


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("step", list(BLOB_STEPS)[1:])
def test_blobs_side_by_side_are_both_stored_or_the_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str, nth: int
) -> None:
    """Whichever of the two comes first at a step."""
    with closing(DiskBlobs(tmp_path)) as blobs:
        blobs.create()
        fault = Fault(when, io_error(), nth)
        BLOB_STEPS[step](fault, monkeypatch)
        writer = blobs.writer()
        writer.write(b"an archive")
        fault.arm()
        with pytest.raises(Unavailable):
            blobs.commit_with(writer, b"a README")
        assert fault.fired
        writer.discard()
        assert list((tmp_path / "uploads").iterdir()) == []


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
