"""Backups that are interrupted, damaged, or made while publishes go on."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from packledger.audit.backups.backup import BackedUp, Original, back_up
from packledger.audit.backups.form import BackupPlaces
from packledger.audit.backups.restoring import Restored, restore
from packledger.audit.blob_references import BlobReferences
from packledger.audit.translog.keys import LogKeys
from packledger.commands.purging import find_target
from packledger.domain.errors import Conflict, NotFound, RegistryError, Unavailable
from packledger.eventstore.blobs.disk import DiskBlobs
from packledger.eventstore.blobs.store import BlobStore
from packledger.eventstore.log import Log
from packledger.eventstore.sqlite.store import SQLiteStore
from packledger.feeds.progress import NamedProgress
from small_registry import SmallRegistry, memory_folder

AT = "2026-11-21T10:00:00.000Z"


class Killed(Exception):
    """Whoever did it is gone."""


def quiet(what: str, done: int, total: int) -> None:
    pass


def killed_at(call: int) -> NamedProgress:
    """Die at this call of the progress, counted from 0."""
    calls = iter(range(10_000))

    def progress(what: str, done: int, total: int) -> None:
        if next(calls) == call:
            raise Killed

    return progress


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def small(folder: Path) -> Iterator[SmallRegistry]:
    with opened(folder / "data") as small:
        LogKeys(folder / "data").create("registry.example.com/log")
        for version in ("1.0.0", "2.0.0"):
            small.publish_crate("alice", "demo", version)
            small.publish_npm("alice", "demo", version)
        yield small


@contextmanager
def opened(data: Path) -> Iterator[SmallRegistry]:
    data.mkdir(exist_ok=True)
    with closing(SmallRegistry(data)) as small:
        yield small


def backed_up(small: SmallRegistry, to: Path, progress: NamedProgress = quiet) -> BackedUp:
    data = Path(small.settings.data)
    original = Original(small.log, data / "events.sqlite", small.blobs, LogKeys(data))
    return back_up(original, to, AT, progress)


def restored(source: Path, data: Path, progress: NamedProgress = quiet) -> Restored:
    return restore(source, data, lambda partial: DiskBlobs(partial / "blobs"), progress)


def content_of(data: Path) -> list[object]:
    """Every event, and every blob that the log names."""
    blobs: BlobStore = DiskBlobs(data / "blobs")
    with closing(Log(SQLiteStore(data / "events.sqlite"))) as log:
        found: list[object] = [(one.position, one.state) for one in log.read(0, 10_000)]
        with closing(BlobReferences(log)) as references:
            references.catch_up()
            for digest in references.needed():
                with blobs.open(digest) as file:
                    found.append((digest, file.read()))
    return found


def test_a_restored_registry_is_the_same(small: SmallRegistry, folder: Path) -> None:
    done = backed_up(small, folder / "backup")
    assert done.manifest.position == small.log.last_position()
    assert (done.copied, done.manifest.blobs, done.manifest.missing) == (6, 6, [])
    whole = content_of(folder / "data")
    key = (folder / "data" / "log.key").read_bytes()
    found = restored(folder / "backup", folder / "restored")
    assert (found.position, found.blobs, found.missing) == (done.manifest.position, 6, [])
    assert content_of(folder / "restored") == whole
    assert (folder / "restored" / "log.key").read_bytes() == key
    for name in ("events.sqlite", "log.key"):
        assert (folder / "restored" / name).stat().st_mode & 0o777 == 0o600
        (kept,) = (folder / "backup").glob(f"*/{name}")
        assert kept.stat().st_mode & 0o777 == 0o600
    assert (folder / "backup").stat().st_mode & 0o777 == 0o700
    assert not [path for path in (folder / "restored").iterdir() if path.name.startswith(".")]


def test_a_second_backup_adds_only_what_is_new(small: SmallRegistry, folder: Path) -> None:
    first = backed_up(small, folder / "backup")
    small.publish_crate("alice", "demo", "3.0.0")
    second = backed_up(small, folder / "backup")
    assert (second.copied, second.removed) == (1, 0)
    assert second.manifest.position > first.manifest.position
    assert len(list((folder / "backup").glob("snapshot-*"))) == 1
    restored(folder / "backup", folder / "restored")
    assert content_of(folder / "restored") == content_of(folder / "data")


def test_blobs_are_links_where_that_is_possible(
    small: SmallRegistry, folder: Path, tmp_path: Path
) -> None:
    backed_up(small, folder / "backup")
    backed_up(small, tmp_path / "elsewhere")
    other_disk = folder.stat().st_dev != tmp_path.stat().st_dev
    for blob in DiskBlobs(folder / "data" / "blobs").stored():
        here = DiskBlobs(folder / "data" / "blobs").path(blob.digest)
        linked = DiskBlobs(folder / "backup" / "blobs").path(blob.digest)
        copied = DiskBlobs(tmp_path / "elsewhere" / "blobs").path(blob.digest)
        assert linked.samefile(here)
        assert copied.samefile(here) is not other_disk
        assert copied.read_bytes() == here.read_bytes()


def calls_of(small: SmallRegistry, to: Path) -> int:
    """How often a backup tells its progress."""
    count = 0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal count
        count += 1

    backed_up(small, to, progress)
    shutil.rmtree(to)
    return count


def test_an_interrupted_first_backup_is_not_taken_for_whole(
    small: SmallRegistry, folder: Path
) -> None:
    calls = calls_of(small, folder / "backup")
    assert calls > 6
    for call in range(calls):
        with pytest.raises(Killed):
            backed_up(small, folder / "backup", killed_at(call))
        with pytest.raises(NotFound, match="there is no whole backup"):
            restored(folder / "backup", folder / "restored")
        assert not (folder / "restored").exists()
    backed_up(small, folder / "backup")
    restored(folder / "backup", folder / "restored")
    assert content_of(folder / "restored") == content_of(folder / "data")


def test_an_interrupted_renewal_leaves_the_older_backup_whole(
    small: SmallRegistry, folder: Path
) -> None:
    backed_up(small, folder / "backup")
    before = content_of(folder / "data")
    small.publish_npm("alice", "demo", "3.0.0")
    for call in range(calls_of(small, folder / "other")):
        with pytest.raises(Killed):
            backed_up(small, folder / "backup", killed_at(call))
        restored(folder / "backup", folder / "restored")
        assert content_of(folder / "restored") == before
        shutil.rmtree(folder / "restored")
    backed_up(small, folder / "backup")
    assert len(list((folder / "backup").glob("snapshot-*"))) == 1
    restored(folder / "backup", folder / "restored")
    assert content_of(folder / "restored") == content_of(folder / "data")


def test_an_interrupted_restore_leaves_nothing_and_may_be_repeated(
    small: SmallRegistry, folder: Path
) -> None:
    backed_up(small, folder / "backup")
    data = folder / "restored"
    for call in range(7):
        with pytest.raises(Killed):
            restored(folder / "backup", data, killed_at(call))
        assert list(data.iterdir()) == []
    (data / ".restoring-of-a-killed-one").mkdir()
    (data / "run").mkdir()  # any command makes it
    restored(folder / "backup", data)
    assert content_of(data) == content_of(folder / "data")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # a hard link of the registry's own
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: os.truncate(path, 1)])
@pytest.mark.parametrize("what", ["snapshot-*/events.sqlite", "snapshot-*/log.key", "blobs/*/*/*"])
def test_a_damaged_backup_is_named_and_nothing_is_restored(
    small: SmallRegistry, folder: Path, tmp_path: Path, what: str, harm: Callable[[Path], None]
) -> None:
    backed_up(small, tmp_path / "backup")
    target = sorted((tmp_path / "backup").glob(what))[-1]
    if target.stat().st_nlink > 1:
        target.write_bytes(target.read_bytes())
    harm(target)
    with pytest.raises(Unavailable, match="the backup is damaged") as refused:
        restored(tmp_path / "backup", folder / "restored")
    assert str(target) in str(refused.value)
    assert list((folder / "restored").iterdir()) == []


def test_nothing_is_written_over(small: SmallRegistry, folder: Path) -> None:
    backed_up(small, folder / "backup")
    with pytest.raises(Conflict, match="is not empty"):
        restored(folder / "backup", folder / "data")
    (folder / "file").write_text("precious")
    with pytest.raises(Conflict, match="not a directory"):
        restored(folder / "backup", folder / "file")
    (folder / "backup" / "backup.json").write_text("{")
    with pytest.raises(Unavailable, match="is damaged"):
        restored(folder / "backup", folder / "restored")


def test_registries_are_not_mixed(small: SmallRegistry, folder: Path) -> None:
    backed_up(small, folder / "backup")
    with opened(folder / "another") as another:
        for version in range(9):
            another.publish_crate("alice", "demo", f"1.0.{version}")
        with pytest.raises(Conflict, match="a backup of another registry"):
            backed_up(another, folder / "backup")
    restored(folder / "backup", folder / "earlier")
    small.publish_crate("alice", "demo", "3.0.0")
    backed_up(small, folder / "backup")
    with opened(folder / "earlier") as earlier, pytest.raises(Conflict, match="has lost"):
        backed_up(earlier, folder / "backup")
    assert BackupPlaces(folder / "backup").read() is not None


def test_two_at_once_do_not_meet(small: SmallRegistry, folder: Path) -> None:
    refusals = []

    def progress(what: str, done: int, total: int) -> None:
        if not refusals:
            with pytest.raises(Conflict, match="another backup") as refused:
                backed_up(small, folder / "backup")
            refusals.append(refused)

    backed_up(small, folder / "backup", progress)
    assert len(refusals) == 1


def test_a_lost_blob_does_not_stop_the_others(small: SmallRegistry, folder: Path) -> None:
    blobs = DiskBlobs(folder / "data" / "blobs")
    lost, harmed, *_ = [blob.digest for blob in blobs.stored()]
    content = blobs.path(lost).read_bytes()
    blobs.path(lost).unlink()
    flip(blobs.path(harmed))
    done = backed_up(small, folder / "backup")
    assert done.manifest.missing == [lost, harmed]
    assert done.manifest.blobs == 4
    found = restored(folder / "backup", folder / "restored")
    assert (found.blobs, found.missing) == (4, [lost, harmed])
    blobs.path(lost).write_bytes(content)
    assert backed_up(small, folder / "backup").manifest.missing == [harmed]


def test_what_is_purged_leaves_the_next_backup(small: SmallRegistry, folder: Path) -> None:
    backed_up(small, folder / "backup")
    target = find_target(small.registry, "npm", "demo", "1.0.0")
    blobs = DiskBlobs(folder / "data" / "blobs")
    done = small.purge("root", "npm", "demo", "1.0.0", "a secret")
    assert sorted(done.removed) == sorted([target.digest, target.readme])
    second = backed_up(small, folder / "backup")
    assert (second.removed, second.manifest.missing) == (2, [])
    kept = {blob.digest for blob in DiskBlobs(folder / "backup" / "blobs").stored()}
    assert kept == {blob.digest for blob in blobs.stored()}
    restored(folder / "backup", folder / "restored")
    assert content_of(folder / "restored") == content_of(folder / "data")


def test_publishes_that_go_on_are_in_it_or_not_but_never_in_halves(
    small: SmallRegistry, folder: Path
) -> None:
    stop = threading.Event()
    failures: list[RegistryError] = []

    def publishing() -> None:
        number = 0
        while not stop.is_set() and number < 400:
            number += 1
            try:
                small.publish_npm("alice", f"more-{number}", "1.0.0")
            except RegistryError as error:
                failures.append(error)

    publisher = threading.Thread(target=publishing)
    publisher.start()
    try:
        for turn in range(5):
            acknowledged = small.log.last_position()
            done = backed_up(small, folder / "backup")
            assert done.manifest.position >= acknowledged
            assert done.manifest.missing == []
            restored(folder / "backup", folder / f"restored-{turn}")
            found = content_of(folder / f"restored-{turn}")
            events = [one for one in found if isinstance(one, tuple) and isinstance(one[0], int)]
            assert len(events) == done.manifest.position
    finally:
        stop.set()
        publisher.join()
    assert failures == []
