"""What every blob store must do; one more store is one more parameter."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.eventstore.blobs import BlobStore, MissingBlob
from packledger.eventstore.disk_blobs import DiskBlobs
from small_registry import memory_folder

CHUNKS = st.lists(st.binary(max_size=300), max_size=8)


def disk(folder: Path) -> BlobStore:
    blobs = DiskBlobs(folder / "blobs")
    blobs.create()
    return blobs


STORES: dict[str, Callable[[Path], BlobStore]] = {"disk": disk}


@contextmanager
def opened(kind: str) -> Iterator[BlobStore]:
    with memory_folder() as folder:
        yield STORES[kind](folder)


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
    with memory_folder() as folder:
        blobs = STORES[kind](folder)
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
        digest = STORES[kind](folder).put(b"content")
        assert content_of(STORES[kind](folder), digest) == b"content"


def test_uploads_at_once_do_not_mix(blobs: BlobStore) -> None:
    writers = [blobs.writer() for _ in range(5)]
    for part in range(3):
        for number, writer in enumerate(writers):
            writer.write(b"%d-%d " % (number, part))
    for number, writer in enumerate(writers):
        content = b"".join(b"%d-%d " % (number, part) for part in range(3))
        assert content_of(blobs, writer.commit()) == content


def test_uploads_of_a_killed_process_are_swept_after_a_day() -> None:
    with memory_folder() as folder:
        blobs = DiskBlobs(folder / "blobs")
        blobs.create()
        writer = blobs.writer()
        writer.write(b"content")
        (upload,) = (folder / "blobs" / "uploads").iterdir()
        written_s = upload.stat().st_mtime
        assert blobs.sweep_uploads(written_s + 24 * 3600) == 0
        assert blobs.sweep_uploads(written_s + 24 * 3600 + 1) == 1
        assert not upload.exists()
        writer.discard()
        kept = blobs.put(b"kept")
        assert blobs.sweep_uploads(written_s + 48 * 3600) == 0
        assert content_of(blobs, kept) == b"kept"
