"""What every blob store must do; one more store is one more parameter."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.eventstore.blobs.disk import DiskBlobs
from packledger.eventstore.blobs.s3 import S3Blobs
from packledger.eventstore.blobs.store import BlobStore, DamagedBlob, MissingBlob
from s3_server import bucket_for, shared_server
from small_registry import memory_folder

CHUNKS = st.lists(st.binary(max_size=300), max_size=8)


def disk(folder: Path) -> BlobStore:
    blobs = DiskBlobs(folder / "blobs")
    blobs.create()
    return blobs


def s3(folder: Path) -> BlobStore:
    bucket = shared_server().bucket(bucket_for(folder), prefix="blobs/")
    blobs = S3Blobs(bucket, folder / "uploads")
    blobs.create()
    return blobs


STORES: dict[str, Callable[[Path], BlobStore]] = {"disk": disk, "s3": s3}


@contextmanager
def opened(kind: str) -> Iterator[BlobStore]:
    with memory_folder() as folder, opened_in(kind, folder) as blobs:
        yield blobs


@contextmanager
def opened_in(kind: str, folder: Path) -> Iterator[BlobStore]:
    with closing(STORES[kind](folder)) as blobs:
        yield blobs


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def blobs(kind: str) -> Iterator[BlobStore]:
    with opened(kind) as blobs:
        yield blobs


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def content_of(blobs: BlobStore, digest: str) -> bytes:
    with blobs.open(digest) as file:
        return file.read()


@pytest.mark.parametrize("kind", STORES)
def test_what_is_written_in_any_chunks_is_read_back(kind: str) -> None:
    with opened(kind) as blobs:

        @settings(max_examples=60, deadline=None)
        @given(CHUNKS)
        def check(chunks: list[bytes]) -> None:
            content = b"".join(chunks)
            writer = blobs.writer()
            for chunk in chunks:
                writer.write(chunk)
            assert writer.size_bytes == len(content)
            with writer.reader() as file:
                assert file.read() == content
            digest = writer.commit()
            writer.discard()
            assert digest == sha256(content)
            assert content_of(blobs, digest) == content
            assert blobs.size_bytes(digest) == len(content)
            file, size_bytes = blobs.open_sized(digest)
            with file:
                assert file.read(size_bytes) == content
            assert size_bytes == len(content)
            assert blobs.put(content) == digest

        check()


def test_an_upload_and_a_small_blob_are_stored_side_by_side(blobs: BlobStore) -> None:
    for number in range(20):  # of the small ones, half are there already
        upload, small = b"upload %d" % number, b"small %d" % (number // 2)
        writer = blobs.writer()
        writer.write(upload)
        assert blobs.commit_with(writer, small) == (sha256(upload), sha256(small))
        assert content_of(blobs, sha256(upload)) == upload
        assert content_of(blobs, sha256(small)) == small


def test_nothing_is_visible_before_the_commit(blobs: BlobStore) -> None:
    writer = blobs.writer()
    writer.write(b"content")
    digest = sha256(b"content")
    with pytest.raises(MissingBlob, match=digest):
        blobs.open(digest)
    with pytest.raises(MissingBlob, match=digest):
        blobs.size_bytes(digest)
    assert writer.commit() == digest
    assert content_of(blobs, digest) == b"content"


def test_a_commit_may_be_repeated(blobs: BlobStore) -> None:
    writer = blobs.writer()
    writer.write(b"content")
    digests = {writer.commit() for _ in range(3)}
    writer.discard()
    writer.discard()
    assert digests == {sha256(b"content")}
    assert content_of(blobs, digests.pop()) == b"content"


def test_a_discarded_upload_leaves_nothing(kind: str) -> None:
    with memory_folder() as folder, opened_in(kind, folder) as blobs:
        before = sorted(folder.rglob("*"))
        writer = blobs.writer()
        writer.write(b"content")
        writer.discard()
        writer.discard()
        assert sorted(folder.rglob("*")) == before
        with pytest.raises(MissingBlob):
            blobs.open(sha256(b"content"))


def test_a_second_upload_of_the_same_bytes_changes_nothing(blobs: BlobStore) -> None:
    first, second = blobs.writer(), blobs.writer()
    for writer in (first, second):
        writer.write(b"content")
    digest = first.commit()
    with blobs.open(digest) as file:
        assert file.read(3) == b"con"
        assert second.commit() == digest
        assert file.read() == b"tent", "who reads already goes on reading"
    first.discard()
    second.discard()
    assert content_of(blobs, digest) == b"content"


def test_a_put_does_not_mend_or_break_what_is_there(blobs: BlobStore) -> None:
    digest = blobs.put(b"readme")
    assert blobs.put(b"readme") == digest
    assert content_of(blobs, digest) == b"readme"
    assert content_of(blobs, blobs.put(b"")) == b""


def test_a_missing_blob_is_named(blobs: BlobStore) -> None:
    digest = sha256(b"never stored")
    with pytest.raises(MissingBlob, match=digest):
        blobs.open(digest)
    with pytest.raises(MissingBlob, match=digest):
        blobs.size_bytes(digest)


def test_what_is_at_hand_is_the_whole_blob_or_nothing(blobs: BlobStore) -> None:
    digest = blobs.put(b"some bytes")
    assert blobs.at_hand(digest, 10) in {b"some bytes", None}
    assert blobs.at_hand(digest, 9) is None
    assert blobs.at_hand("0" * 64, 10) is None


def test_a_part_is_what_lies_there(kind: str) -> None:
    with opened(kind) as blobs:

        @settings(max_examples=30, deadline=None)
        @given(st.binary(min_size=1, max_size=300), st.data())
        def check(content: bytes, data: st.DataObject) -> None:
            first = data.draw(st.integers(0, len(content) - 1))
            size_bytes = data.draw(st.integers(1, len(content) - first))
            digest = blobs.put(content)
            with blobs.open_part(digest, first, size_bytes) as file:
                assert file.read(size_bytes) == content[first : first + size_bytes]

        check()
        with pytest.raises(MissingBlob):
            blobs.open_part("0" * 64, 0, 1)


def test_a_reader_follows_what_was_written_so_far(blobs: BlobStore) -> None:
    writer = blobs.writer()
    writer.write(b"one ")
    with writer.reader() as first:
        assert first.read() == b"one "
        writer.write(b"two")
        assert first.read() == b"two"
        with writer.reader() as second:
            assert second.read() == b"one two"
            assert second.seek(0) == 0
            digest = writer.commit()
            assert second.read() == b"one two", "an open reader outlives the commit"
    assert content_of(blobs, digest) == b"one two"


def test_another_process_sees_a_committed_blob(kind: str) -> None:
    with memory_folder() as folder:
        with opened_in(kind, folder) as blobs:
            digest = blobs.put(b"content")
        with opened_in(kind, folder) as blobs:
            assert content_of(blobs, digest) == b"content"


def test_uploads_at_once_do_not_mix(blobs: BlobStore) -> None:
    writers = [blobs.writer() for _ in range(5)]
    for part in range(3):
        for number, writer in enumerate(writers):
            writer.write(b"%d-%d " % (number, part))
    for number, writer in enumerate(writers):
        content = b"".join(b"%d-%d " % (number, part) for part in range(3))
        assert content_of(blobs, writer.commit()) == content


def test_uploads_of_a_killed_process_are_swept_after_a_day(blobs: BlobStore) -> None:
    writer = blobs.writer()
    writer.write(b"content")
    kept = blobs.put(b"kept")
    (upload,) = blobs.spool_folder.iterdir()
    day_s = 24 * 3600
    os.utime(upload, (0, time.time() - day_s + 60))
    assert blobs.sweep_uploads() == 0
    os.utime(upload, (0, time.time() - day_s - 1))
    assert blobs.sweep_uploads() == 1
    assert not upload.exists()
    writer.discard()
    assert blobs.sweep_uploads() == 0
    assert content_of(blobs, kept) == b"kept"


def test_blobs_are_listed_in_order_with_their_sizes_and_ages(blobs: BlobStore) -> None:
    contents = [b"content %d" % number * number for number in range(40)]
    digests = {blobs.put(content): len(content) for content in contents}
    upload = blobs.writer()
    upload.write(b"not committed")
    listed = list(blobs.stored())
    upload.discard()
    assert {one.digest: one.size_bytes for one in listed} == digests
    assert [one.digest for one in listed] == sorted(digests)
    assert all(-2 < one.age_s < 60 for one in listed)


def test_a_removed_blob_is_gone_and_may_come_back(blobs: BlobStore) -> None:
    kept, removed = blobs.put(b"kept"), blobs.put(b"removed")
    assert blobs.remove(removed)
    assert not blobs.remove(removed)
    with pytest.raises(MissingBlob, match=removed):
        blobs.open(removed)
    assert [one.digest for one in blobs.stored()] == [kept]
    assert blobs.put(b"removed") == removed
    assert content_of(blobs, removed) == b"removed"


def test_a_young_blob_is_not_removed_by_age(blobs: BlobStore) -> None:
    digest = blobs.put(b"content")
    assert not blobs.remove(digest, min_age_s=3600)
    assert content_of(blobs, digest) == b"content"


DAYS_2_S = 48 * 3600


def aged(kind: str, folder: Path, digest: str, age_s: float) -> None:
    """Make a blob as old as if it had been stored then."""
    if kind == "disk":
        path = folder / "blobs" / "sha256" / digest[:2] / digest[2:]
    else:
        path = shared_server().objects / bucket_for(folder) / "blobs/sha256"
        path = path / digest[:2] / digest[2:]
    os.utime(path, (0, time.time() - age_s))


@pytest.mark.parametrize("how", ["put", "writer"])
def test_bytes_that_are_stored_again_are_young_again(kind: str, how: str) -> None:
    with memory_folder() as folder, opened_in(kind, folder) as blobs:
        digest = blobs.put(b"content")
        aged(kind, folder, digest, DAYS_2_S)
        (old,) = blobs.stored()
        assert DAYS_2_S - 5 < old.age_s < DAYS_2_S + 60
        if how == "put":
            blobs.put(b"content")
        else:
            writer = blobs.writer()
            writer.write(b"content")
            writer.commit()
        (young,) = blobs.stored()
        assert young.age_s < 60
        assert not blobs.remove(digest, min_age_s=DAYS_2_S / 2)
        assert content_of(blobs, digest) == b"content"
        aged(kind, folder, digest, DAYS_2_S)
        assert blobs.remove(digest, min_age_s=DAYS_2_S / 2)


def test_a_bucket_is_listed_in_pages() -> None:
    with memory_folder() as folder, opened_in("s3", folder) as blobs:
        root = shared_server().objects / bucket_for(folder) / "blobs/sha256"
        expected = [sha256(b"%d" % number) for number in range(1100)]
        for digest in expected:
            path = root / digest[:2] / digest[2:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"1")
        assert [one.digest for one in blobs.stored()] == sorted(expected)


def test_a_damaged_or_missing_blob_is_restored_and_nothing_else_is_taken_for_it(
    blobs: BlobStore,
) -> None:
    content = b"content " * 1_000
    digest = blobs.put(content)
    other = sha256(b"never stored")
    with pytest.raises(DamagedBlob, match=other):
        blobs.restore(other, [content])
    with pytest.raises(MissingBlob):
        blobs.open(other)
    with pytest.raises(DamagedBlob, match=digest):
        blobs.restore(digest, [content[:-1]])
    assert content_of(blobs, digest) == content
    blobs.remove(digest)
    blobs.restore(digest, [content[:100], content[100:]])
    assert content_of(blobs, digest) == content
    blobs.restore(digest, [content])
    assert content_of(blobs, digest) == content
    assert list(blobs.spool_folder.iterdir()) == []
