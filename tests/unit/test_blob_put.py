"""Small blobs: stored once, however often they are put."""

import hashlib
import os
from pathlib import Path

import pytest

from packledger.eventstore.blobs.disk import DiskBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    store = DiskBlobs(tmp_path)
    store.create()
    return store


def read(blobs: DiskBlobs, digest: str) -> bytes:
    with blobs.open(digest) as file:
        return file.read()


def test_a_blob_is_found_by_the_digest_that_put_returns(blobs: DiskBlobs) -> None:
    digest = blobs.put(b"# readme")
    assert digest == hashlib.sha256(b"# readme").hexdigest()
    assert read(blobs, digest) == b"# readme"


def test_a_blob_that_is_there_is_not_written_again_but_made_young(blobs: DiskBlobs) -> None:
    path = blobs.path(blobs.put(b"# readme"))
    inode = path.stat().st_ino
    os.utime(path, (0, 0))
    blobs.put(b"# readme")
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 0


def test_a_blob_that_was_cut_is_written_again(blobs: DiskBlobs) -> None:
    digest = blobs.put(b"# readme")
    blobs.path(digest).write_bytes(b"# re")
    assert blobs.put(b"# readme") == digest
    assert read(blobs, digest) == b"# readme"
