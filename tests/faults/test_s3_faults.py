"""What blobs in a bucket do when the server, the way to it or an object fails."""

import hashlib
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs import s3_client
from packledger.eventstore.blobs.s3 import S3Blobs
from packledger.eventstore.blobs.store import DamagedBlob, MissingBlob
from process_tree import wait_until
from s3_server import S3Server, bucket_for, shared_server

BIG = bytes(range(256)) * (24 << 12)
"""24 MiB: more than what two sockets hold between them."""
PIECE_BYTES = 256 << 10
OpenBlobs = Callable[..., S3Blobs]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    """A server of one's own, to be killed."""
    server = S3Server(tmp_path / "s3")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def open_blobs(tmp_path: Path) -> Iterator[OpenBlobs]:
    """Open the blobs of a server: `open_blobs(server, timeout_s=…)`; the bucket is there."""
    with ExitStack() as opened:

        def open_(server: S3Server, **bucket: Any) -> S3Blobs:
            name = bucket_for(tmp_path)
            with closing(S3Blobs(server.bucket(name), tmp_path / "uploads")) as blobs:
                blobs.create()
            return opened.enter_context(
                closing(S3Blobs(server.bucket(name, **bucket), tmp_path / "uploads"))
            )

        yield open_


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def content_of(blobs: S3Blobs, digest: str) -> bytes:
    with blobs.open(digest) as file:
        return file.read()


def drain(file: BinaryIO, taken: bytearray) -> None:
    """Read to the end, as a download does."""
    while piece := file.read(PIECE_BYTES):
        taken += piece


def object_of(server: S3Server, folder: Path, blobs: S3Blobs, digest: str) -> Path:
    """Where the server keeps a blob's object."""
    return server.objects / bucket_for(folder) / blobs.key(digest)


def connections(server: S3Server) -> int:
    """How many connections to the server are open."""
    lines = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    states = [(line.split()[2].rpartition(":")[2], line.split()[3]) for line in lines]
    return states.count((f"{server.port:04X}", "01"))


def test_a_server_killed_during_an_upload_has_nothing_and_takes_it_later(
    server: S3Server, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(server)
    before = connections(server)
    first, second = blobs.writer(), blobs.writer()
    for writer in (first, second):
        writer.write(BIG)
    server.pause()
    with ThreadPoolExecutor(1) as threads:
        committing = threads.submit(first.commit)
        wait_until(lambda: connections(server) > before, "it connects")
        server.kill()
        with pytest.raises(Unavailable, match="cannot be reached; nothing was changed"):
            committing.result()
    first.discard()
    server.start()
    with pytest.raises(MissingBlob):
        blobs.size_bytes(sha256(BIG))
    assert content_of(blobs, second.commit()) == BIG
    assert list(blobs.spool_folder.iterdir()) == []


def test_a_server_killed_during_a_download_breaks_it_off(
    server: S3Server, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(server)
    digest = blobs.put(BIG)
    taken = bytearray()
    with blobs.open(digest) as file:
        taken += file.read(PIECE_BYTES)
        server.kill()
        with pytest.raises(Unavailable):
            drain(file, taken)
    assert 0 < len(taken) < len(BIG)
    assert BIG.startswith(taken)
    server.start()
    assert content_of(blobs, digest) == BIG


def test_requests_go_on_after_a_restart_of_the_server(
    server: S3Server, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(server)
    digest = blobs.put(b"content")
    for end in (server.stop, server.kill):
        end()
        with pytest.raises(Unavailable, match="cannot be reached"):
            blobs.open(digest)
        server.start()
        assert blobs.put(b"content") == digest
        assert content_of(blobs, digest) == b"content"


def test_a_request_is_repeated_while_the_server_starts(
    server: S3Server, open_blobs: OpenBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = open_blobs(server)
    server.kill()
    # Where it would wait for the server, it is started.
    waiting = SimpleNamespace(monotonic=time.monotonic, sleep=lambda pause_s: server.start())
    monkeypatch.setattr(s3_client, "time", waiting)
    assert blobs.put(b"content") == sha256(b"content")


def test_a_server_that_says_nothing_is_given_up_in_time(
    server: S3Server, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(server, timeout_s=0.4)
    digest, big = blobs.put(b"content"), blobs.put(BIG)
    writer = blobs.writer()
    writer.write(BIG[:-1])
    with blobs.open(big) as file:
        file.read(PIECE_BYTES)
        server.pause()
        asked: list[Callable[[], object]] = [
            lambda: blobs.put(b"other"),
            lambda: blobs.size_bytes(digest),
            lambda: blobs.open(digest),
            writer.commit,
            file.read,
        ]
        for ask in asked:
            begun_s = time.monotonic()
            with pytest.raises(Unavailable, match=r"did not answer within 0\.4 seconds"):
                ask()
            assert time.monotonic() - begun_s < 3
    writer.discard()
    server.go_on()
    assert content_of(blobs, digest) == b"content"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("secret_key", r"refuses the access key with `(SignatureDoesNotMatch|403)`"),
        # Amazon and others refuse it, this server has a word of its own.
        ("access_key", r"(refuses the access key with|answered) `"),
    ],
)
def test_wrong_keys_are_named(open_blobs: OpenBlobs, key: str, said: str) -> None:
    with closing(open_blobs(shared_server())) as right:
        digest = right.put(b"content")
    blobs = open_blobs(shared_server(), **{key: "another"})
    asked: list[Callable[[], object]] = [
        lambda: blobs.put(b"content"),
        lambda: blobs.open(digest),
        lambda: blobs.size_bytes(digest),
        blobs.create,
    ]
    for ask in asked:
        with pytest.raises(Unavailable, match=said) as refused:
            ask()
        assert not isinstance(refused.value, MissingBlob)


def test_a_missing_key_is_named(
    open_blobs: OpenBlobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    blobs = open_blobs(shared_server(), access_key="", secret_key="")
    with pytest.raises(Unavailable, match="there is no access key, see `s3_access_key`"):
        blobs.put(b"content")


def test_a_bucket_that_was_removed_is_no_missing_file(
    tmp_path: Path, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(shared_server())
    digest = blobs.put(b"content")
    shutil.rmtree(shared_server().objects / bucket_for(tmp_path))
    asked = (
        lambda: blobs.put(b"content"),
        lambda: blobs.open(digest),
        lambda: blobs.size_bytes(digest),
    )
    for ask in asked:
        with pytest.raises(Unavailable, match=r"its bucket `blobs-\w+` does not exist") as refused:
            ask()
        assert not isinstance(refused.value, MissingBlob)
    blobs.create()
    assert content_of(blobs, blobs.put(b"content")) == b"content"


def test_many_may_create_the_bucket_at_once(tmp_path: Path) -> None:
    bucket = shared_server().bucket(bucket_for(tmp_path))
    stores = [S3Blobs(bucket, tmp_path / "uploads") for _ in range(6)]
    together = threading.Barrier(len(stores))

    def create(blobs: S3Blobs) -> str:
        together.wait()
        blobs.create()
        return blobs.put(b"content")

    with ThreadPoolExecutor(len(stores)) as threads:
        assert set(threads.map(create, stores)) == {sha256(b"content")}
    for blobs in stores:
        blobs.close()


DAMAGES = st.sampled_from(["flip", "cut", "append"])


def test_a_damaged_object_is_never_given_whole(tmp_path: Path, open_blobs: OpenBlobs) -> None:
    blobs = open_blobs(shared_server())

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 3 * PIECE_BYTES), DAMAGES, st.floats(0, 1, exclude_max=True))
    def check(size_bytes: int, how: str, where: float) -> None:
        content = BIG[:size_bytes]
        digest = blobs.put(content)
        place = object_of(shared_server(), tmp_path, blobs, digest)
        at = int(where * size_bytes)
        damaged = bytearray(content)
        if how == "flip":
            damaged[at] ^= 1
        elif how == "cut":
            del damaged[at:]
        else:
            damaged += b"\0"
        place.write_bytes(damaged)
        taken = bytearray()
        with blobs.open(digest) as file, pytest.raises(DamagedBlob, match=digest):
            drain(file, taken)
        assert len(taken) < max(len(damaged), 1)
        place.unlink()

    check()


def test_an_object_that_is_there_is_never_written_again(
    tmp_path: Path, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(shared_server())
    digest = blobs.put(BIG)
    place = object_of(shared_server(), tmp_path, blobs, digest)
    before = place.stat()
    writers = [blobs.writer() for _ in range(4)]
    for writer in writers:
        writer.write(BIG)
    with ThreadPoolExecutor(len(writers)) as threads:
        assert {one.result() for one in [threads.submit(w.commit) for w in writers]} == {digest}
    assert blobs.put(BIG) == digest
    after = place.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_uploads_of_the_same_bytes_at_once_are_one_object(
    tmp_path: Path, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(shared_server())
    together = threading.Barrier(8)

    def upload(number: int) -> str:
        content = BIG[: (1 << 20) + number % 2]
        writer = blobs.writer()
        writer.write(content)
        together.wait()
        digest = writer.commit()
        assert content_of(blobs, digest) == content
        return digest

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(upload, range(8)))) == 2
    assert list(blobs.spool_folder.iterdir()) == []


def test_an_object_of_another_length_is_not_taken_for_the_blob(
    tmp_path: Path, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(shared_server())
    digest = blobs.put(b"content")
    object_of(shared_server(), tmp_path, blobs, digest).write_bytes(b"cont")
    with pytest.raises(Unavailable, match=r"is damaged: it has 4 bytes instead of 7; ask"):
        blobs.put(b"content")


class LosesFirstAnswer(socketserver.ThreadingTCPServer):
    """The way to a server on which the first answer is lost: what was asked has happened."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.lost = False
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as server:
                    asking = threading.Thread(target=self.ask, args=(server,), daemon=True)
                    asking.start()
                    while (answer := server.recv(65536)) and relay.passes(answer):
                        self.request.sendall(answer)
                    self.request.shutdown(socket.SHUT_RDWR)
                    asking.join()

            def ask(self, server: socket.socket) -> None:
                while asked := self.request.recv(65536):
                    server.sendall(asked)
                server.shutdown(socket.SHUT_WR)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def passes(self, answer: bytes) -> bool:
        if self.lost or answer.startswith(b"HTTP/1.1 100 "):
            return True
        self.lost = answer.startswith(b"HTTP/1.1 200 ")
        return not self.lost

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def test_an_upload_whose_answer_was_lost_is_found_stored(
    tmp_path: Path, open_blobs: OpenBlobs
) -> None:
    with LosesFirstAnswer(shared_server().port) as relay:
        blobs = open_blobs(shared_server(), endpoint=relay.endpoint)
        digest = blobs.put(b"content")
        assert relay.lost
        relay.shutdown()
        blobs.close()
    assert object_of(shared_server(), tmp_path, blobs, digest).read_bytes() == b"content"


@pytest.mark.parametrize("size_bytes", [100, 2 << 20])
def test_bytes_that_changed_on_their_way_are_refused_by_the_server(
    open_blobs: OpenBlobs, size_bytes: int
) -> None:
    blobs = open_blobs(shared_server())
    writer = blobs.writer()
    writer.write(bytes(size_bytes))
    (spooled,) = blobs.spool_folder.iterdir()
    with spooled.open("r+b") as file:
        file.write(b"!")
    with pytest.raises(Unavailable, match="answered `BadDigest`"):
        writer.commit()
    writer.discard()
    with pytest.raises(MissingBlob):
        blobs.size_bytes(sha256(bytes(size_bytes)))


def test_a_connection_is_used_again_and_closed_for_who_leaves_early(
    server: S3Server, open_blobs: OpenBlobs
) -> None:
    blobs = open_blobs(server)
    digest = blobs.put(BIG)
    small = [blobs.put(b"%d" % number) for number in range(10)]
    for one in small:
        content_of(blobs, one)
    assert connections(server) == 1
    left = [blobs.open(digest) for _ in range(5)]
    for file in left:
        with file:
            assert file.read(PIECE_BYTES) == BIG[:PIECE_BYTES]
    wait_until(lambda: connections(server) <= 1, "connections are closed")


MEASURED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from packledger.eventstore.blobs.s3 import S3Blobs
from s3_server import ACCESS_KEY, REGION, S3, SECRET_KEY
bucket = S3(bucket=sys.argv[1], endpoint=sys.argv[2], region=REGION, access_key=ACCESS_KEY,
                secret_key=SECRET_KEY)
blobs = S3Blobs(bucket, Path(sys.argv[4]))
blobs.create()
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def pass_through(mebibytes):
    writer = blobs.writer()
    for number in range(mebibytes):
        writer.write(bytes([number]) * 2**20)
    with blobs.open(writer.commit()) as file:
        while file.read(256 * 1024):
            pass
pass_through(4)
before = peak()
pass_through(96)
print(peak() - before)
"""


def test_a_large_blob_is_never_whole_in_memory(tmp_path: Path) -> None:
    server = shared_server()
    support = Path(__file__).parents[1] / "support"
    arguments = [bucket_for(tmp_path), server.endpoint, str(support), str(tmp_path / "uploads")]
    grown_kib = subprocess.check_output([sys.executable, "-c", MEASURED, *arguments], timeout=60)
    assert int(grown_kib) < 8 * 1024


def test_the_certificate_of_the_server_is_checked(tmp_path: Path) -> None:
    server = S3Server(tmp_path / "s3", tls=True)
    server.start()
    bucket = bucket_for(tmp_path)
    uploads = tmp_path / "uploads"
    try:
        with (
            closing(S3Blobs(server.bucket(bucket), uploads)) as blobs,
            pytest.raises(Unavailable, match="certificate of the S3 server is not accepted"),
        ):
            blobs.create()
        trusted = server.bucket(bucket, ca_bundle=str(server.certificate))
        with closing(S3Blobs(trusted, uploads)) as blobs:
            blobs.create()
            assert content_of(blobs, blobs.put(b"content")) == b"content"
            assert content_of(blobs, blobs.put(BIG)) == BIG
    finally:
        server.kill()


def test_who_needs_no_bucket_needs_no_boto3() -> None:
    asked = "import sys, packledger.cli.main, packledger.server.http.app as w; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", asked], timeout=60).decode().split()
    assert {"boto3", "botocore"}.isdisjoint(loaded)
