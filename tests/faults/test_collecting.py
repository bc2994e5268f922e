"""Collecting orphans while publishes go on: a blob that an event names is never removed."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uploads
from packledger.audit.blob_references import BlobReferences
from packledger.commands.collecting import Orphan, collect_orphans
from packledger.commands.npm import packages as npm
from packledger.commands.npm.body import scan_body
from packledger.commands.purging import find_target, purge
from packledger.commands.registry import Registry
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.purge import decide_purge_crate
from packledger.domain.streams import CRATES
from packledger.eventstore.blobs.disk import DiskBlobs
from packledger.eventstore.blobs.s3 import S3Blobs
from packledger.eventstore.blobs.store import BlobStore, MissingBlob, StoredBlob
from s3_server import bucket_for, shared_server
from small_registry import SmallRegistry, memory_folder

DAY_S = 24 * 3600
WEEK_S = 7 * DAY_S


def path_of(small: SmallRegistry, digest: str) -> Path:
    assert isinstance(small.blobs, DiskBlobs)
    return small.blobs.path(digest)


def make_old(small: SmallRegistry, digest: str, age_s: float = WEEK_S + 60) -> None:
    os.utime(path_of(small, digest), (0, time.time() - age_s))


def everything(small: SmallRegistry) -> set[str]:
    return {blob.digest for blob in small.blobs.stored()}


def named(small: SmallRegistry) -> set[str]:
    with closing(BlobReferences(small.log)) as references:
        references.catch_up()
        return {one.digest for one in references if not one.purged}


def collect(
    small: SmallRegistry, min_age_s: float = WEEK_S, *, dry_run: bool = False
) -> list[Orphan]:
    with closing(BlobReferences(small.log)) as references:
        references.catch_up()
        return list(collect_orphans(small.registry, references, min_age_s, dry_run=dry_run))


@contextmanager
def registry() -> Iterator[SmallRegistry]:
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        yield small


AGES = st.sampled_from([0, DAY_S, WEEK_S - 60, WEEK_S + 60, 100 * DAY_S])


def test_exactly_the_old_blobs_that_nobody_names_are_removed() -> None:
    with registry() as small:
        for version in ("1.0.0", "2.0.0"):
            small.publish_crate("alice", "demo", version)
            small.publish_npm("alice", "demo", version)
        kept = everything(small)
        for digest in kept:
            make_old(small, digest, 100 * DAY_S)

        @settings(max_examples=40, deadline=None)
        @given(st.lists(AGES, max_size=6), st.booleans())
        def check(ages_s: list[int], dry_run: bool) -> None:
            old, young = set(), set()
            for number, age_s in enumerate(ages_s):
                digest = small.blobs.put(b"orphan %d" % number)
                make_old(small, digest, age_s)
                (old if age_s >= WEEK_S else young).add(digest)
            found = collect(small, dry_run=dry_run)
            assert {one.digest for one in found} == old
            assert all(one.removed is not dry_run and not one.purged for one in found)
            assert everything(small) == kept | young | (old if dry_run else set())
            for digest in old | young:
                small.blobs.remove(digest)

        check()


class Interrupted(DiskBlobs):
    """A store where others act just before a listed blob is looked at, or removed."""

    listed: Callable[[], None] = staticmethod(lambda: None)
    removing: Callable[[], None] = staticmethod(lambda: None)

    def stored(self) -> Iterator[StoredBlob]:
        for blob in super().stored():
            self.listed()
            yield blob

    def remove(self, digest: str, min_age_s: float = 0.0) -> bool:
        self.removing()
        return super().remove(digest, min_age_s)


@pytest.mark.parametrize("moment", ["listed", "removing"])
@pytest.mark.parametrize("stage", ["stored", "appended"])
def test_a_publish_of_the_same_bytes_meanwhile_keeps_its_blob(moment: str, stage: str) -> None:
    with registry() as small, registry() as other:
        other.publish_npm("alice", "demo", "1.0.0")
        orphans = []
        for blob in other.blobs.stored():
            with other.blobs.open(blob.digest) as file:
                orphans.append(small.blobs.put(file.read()))
        for digest in orphans:
            make_old(small, digest)
        store = Interrupted(path_of(small, orphans[0]).parents[2])
        object.__setattr__(small.registry, "blobs", store)
        small.blobs = store
        done = []

        def publish() -> None:
            if done:
                return
            done.append(True)
            if stage == "appended":
                small.publish_npm("alice", "demo", "1.0.0")
            else:
                for digest in orphans:
                    with store.open(digest) as file:
                        store.put(file.read())

        setattr(store, moment, publish)
        collect(small)
        assert done
        # What was only stored so far is named next.
        assert named(small) == (set(orphans) if stage == "appended" else set())
        assert everything(small) == set(orphans)


def test_who_stores_a_blob_again_has_it_afterwards() -> None:
    """The race itself: an old blob is made young while it is removed by its age."""
    content = b"the same README as ever"
    with memory_folder() as folder:
        blobs: BlobStore = DiskBlobs(folder)
        blobs.create()
        digest = blobs.put(content)
        path = folder / "sha256" / digest[:2] / digest[2:]
        stop = threading.Event()
        removed = 0

        def collecting() -> None:
            nonlocal removed
            while not stop.is_set():
                removed += blobs.remove(digest, DAY_S)

        collector = threading.Thread(target=collecting)
        collector.start()
        try:
            number = 0
            while removed < 50 and number < 200_000:
                number += 1
                if number % 3 == 0:
                    writer = blobs.writer()
                    writer.write(content)
                    writer.commit()
                else:
                    blobs.put(content)
                assert blobs.size_bytes(digest) == len(content)
                os.utime(path, (0, 0))
        finally:
            stop.set()
            collector.join()


@pytest.mark.parametrize("how", ["put", "writer"])
def test_who_stores_a_blob_again_waits_for_its_removal(how: str) -> None:
    with memory_folder() as folder:
        blobs = DiskBlobs(folder)
        blobs.create()
        path = blobs.path(blobs.put(b"content"))

        def store_again() -> None:
            if how == "put":
                blobs.put(b"content")
                return
            writer = blobs.writer()
            writer.write(b"content")
            writer.commit()

        with locked(path.parent, fcntl.LOCK_EX):
            storing = threading.Thread(target=store_again)
            storing.start()
            storing.join(0.2)
            assert storing.is_alive()
            path.unlink()
        storing.join()
        assert path.read_bytes() == b"content"


def test_a_removal_waits_for_who_stores_the_blob_again() -> None:
    with memory_folder() as folder:
        blobs = DiskBlobs(folder)
        blobs.create()
        digest = blobs.put(b"content")
        os.utime(blobs.path(digest), (0, 0))
        with locked(blobs.path(digest).parent, fcntl.LOCK_SH):
            removing = threading.Thread(target=lambda: blobs.remove(digest, DAY_S))
            removing.start()
            removing.join(0.2)
            assert removing.is_alive()
            os.utime(blobs.path(digest))
        removing.join()
        assert blobs.size_bytes(digest) == len(b"content")


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, how)
    yield
    os.close(fd)


def test_what_an_interrupted_purge_left_is_collected_when_it_is_not_young() -> None:
    with registry() as small:
        small.publish_crate("alice", "demo", "1.0.0")
        (digest,) = everything(small)
        purge_event_alone(small)
        assert collect(small) == [], "a publish may be on its way"
        make_old(small, digest, 130)
        (orphan,) = collect(small)
        assert orphan.purged
        with pytest.raises(MissingBlob):
            small.blobs.open(digest)


def purge_event_alone(small: SmallRegistry) -> None:
    actor = small.actor("root")
    (digest,) = everything(small)
    event = BlobPurged(
        **actor.stamp(),
        ecosystem="cargo",
        name="demo",
        version="1.0.0",
        digest=digest,
        reason="a secret",
    )
    small.log.execute(CRATES, "demo", lambda state, _: decide_purge_crate(state, actor, event))


def aged_object(folder: Path, digest: str, age_s: float) -> None:
    path = shared_server().objects / bucket_for(folder) / "sha256" / digest[:2] / digest[2:]
    os.utime(path, (0, time.time() - age_s))


@contextmanager
def in_a_bucket(small: SmallRegistry, folder: Path) -> Iterator[Registry]:
    """The same log, with its blobs in a bucket."""
    bucket = shared_server().bucket(bucket_for(folder))
    with closing(S3Blobs(bucket, folder / "uploads")) as blobs:
        blobs.create()
        small.blobs = blobs
        object.__setattr__(small.registry, "blobs", blobs)
        yield small.registry


@pytest.mark.service
def test_a_bucket_is_collected_and_purged(tmp_path: Path) -> None:
    with registry() as small, in_a_bucket(small, tmp_path) as bucket:
        small.publish_npm("alice", "demo", "1.0.0")
        small.publish_npm("alice", "demo", "2.0.0")
        kept = everything(small)
        orphan, young = bucket.blobs.put(b"an orphan"), bucket.blobs.put(b"a young one")
        for digest in kept | {orphan}:
            aged_object(tmp_path, digest, WEEK_S + 60)
        assert [one.digest for one in collect(small)] == [orphan]
        assert everything(small) == kept | {young}

        target = find_target(bucket, "npm", "demo", "1.0.0")
        with closing(BlobReferences(small.log)) as references:
            references.catch_up()
            done = purge(bucket, references, small.actor("root"), target, "a secret")
        assert set(done.removed) == {target.digest, target.readme}
        assert everything(small) == kept - set(done.removed) | {young}


def test_a_young_readme_is_purged_when_no_publish_can_be_on_its_way() -> None:
    with registry() as small:
        small.publish_npm("alice", "demo", "1.0.0")
        target = find_target(small.registry, "npm", "demo", "1.0.0")
        waits = 0

        def sleep(seconds: float) -> None:
            nonlocal waits
            waits += 1
            assert everything(small) == {target.readme}, "the file is gone at once"
            if waits == 2:
                make_old(small, target.readme, 130)

        with closing(BlobReferences(small.log)) as references:
            references.catch_up()
            actor = small.actor("root")
            done = purge(small.registry, references, actor, target, "a secret", sleep)
        assert waits == 2
        assert done.kept == {}
        assert everything(small) == set()


def test_a_readme_that_is_published_while_its_purge_waits_stays() -> None:
    with registry() as small:
        small.publish_npm("alice", "demo", "1.0.0", text="same")
        target = find_target(small.registry, "npm", "demo", "1.0.0")
        with small.blobs.open(target.readme) as file:
            readme = file.read()

        def sleep(seconds: float) -> None:
            manifest = {"name": "other", "version": "1.0.0"}
            packed = uploads.tarball(manifest, **{"README.md": readme})
            body = json.dumps(uploads.npm_body(manifest, packed)).encode()
            npm.publish(small.registry, small.caller("alice"), "other", scan_body(body), body)

        with closing(BlobReferences(small.log)) as references:
            references.catch_up()
            actor = small.actor("root")
            done = purge(small.registry, references, actor, target, "a secret", sleep)
        assert done.kept == {target.readme: "npm:other@1.0.0"}
        assert target.readme in everything(small)
        assert target.digest not in everything(small)


def test_publishes_that_go_on_while_orphans_are_collected_lose_nothing() -> None:
    with registry() as other, registry() as small:
        for number in range(30):
            other.publish_npm("alice", f"demo-{number}", "1.0.0")
        for blob in other.blobs.stored():
            with other.blobs.open(blob.digest) as file:
                make_old(small, small.blobs.put(file.read()))
        stop = threading.Event()

        def collecting() -> None:
            while not stop.is_set():
                collect(small)

        collector = threading.Thread(target=collecting)
        collector.start()
        try:
            for number in range(30):
                small.publish_npm("alice", f"demo-{number}", "1.0.0")
        finally:
            stop.set()
            collector.join()
        assert named(small) == everything(other)
        assert everything(small) >= named(small)
