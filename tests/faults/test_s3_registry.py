"""A whole registry while its S3 server is down, says nothing, or has damaged objects."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from process_tree import wait_until
from running_registry import RunningRegistry
from s3_server import S3Server, bucket_for
from uploads import crate as packed_crate
from uploads import crate_body, new_crate, npm_body

pytestmark = pytest.mark.service

TIMEOUT_S = 3.0
LARGE_BYTES = 24 << 20
"""More than what the sockets on the way hold."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, server: S3Server
) -> Iterator[RunningRegistry]:
    """One worker, so that every request meets the same process."""
    folder = tmp_path_factory.mktemp("registry")
    running = RunningRegistry(
        folder, **server.settings(bucket_for(folder)), s3_timeout_s=TIMEOUT_S, workers=1
    )
    try:
        running.start()
        running.add_user("alice")
        yield running
    finally:
        running.close()


def publish(registry: RunningRegistry, body: bytes) -> httpx.Response:
    return registry.http.put("/cargo/api/v1/crates/new", content=body, headers=registry.token())


def published(registry: RunningRegistry, name: str, payload: bytes = b"") -> str:
    """Publish a crate; where its download is."""
    packed = packed_crate(name, "1.0.0", payload=payload)
    assert publish(registry, crate_body({"name": name, "vers": "1.0.0"}, packed)).status_code == 200
    return f"/cargo/crates/{name}/1.0.0/download"


def noise(size_bytes: int) -> bytes:
    with Path("/dev/urandom").open("rb") as file:
        return file.read(size_bytes)


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 503, answer.text
    return str(answer.json()["errors"][0]["detail"])


def object_of(registry: RunningRegistry, server: S3Server, path: str) -> Path:
    digest = registry.http.head(path).headers["etag"].strip('"')
    bucket = server.objects / bucket_for(registry.data.parent)
    return bucket / "sha256" / digest[:2] / digest[2:]


def connections(server: S3Server, *, half_read: bool = False) -> int:
    """How many connections of this machine to the server are open, or have more to be read."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    mine = [one for one in lines if one[2].endswith(f":{server.port:04X}") and one[3] == "01"]
    return sum(not half_read or int(one[4].partition(":")[2], 16) > 0 for one in mine)


def test_without_its_server_the_registry_reads_on_and_refuses_the_rest(
    registry: RunningRegistry, server: S3Server
) -> None:
    path = published(registry, "stays")
    server.kill()
    try:
        index = registry.http.get("/cargo/index/st/ay/stays")
        assert index.status_code == 200
        assert "cannot be reached; nothing was changed" in said(registry.http.get(path))
        assert "cannot be reached; nothing was changed" in said(
            publish(registry, new_crate("later", "1.0.0"))
        )
        refused = registry.http.put(
            "/npm/later",
            json=npm_body({"name": "later", "version": "1.0.0"}),
            headers=registry.token(),
        )
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert registry.http.get("/cargo/index/la/te/later").status_code == 404
        assert list((registry.data / "blobs" / "uploads").iterdir()) == []
    finally:
        server.start()
    assert registry.http.get(path).status_code == 200
    assert registry.http.get(published(registry, "later")).status_code == 200


def test_a_server_that_says_nothing_holds_up_nothing_else(
    registry: RunningRegistry, server: S3Server
) -> None:
    path = published(registry, "hangs")
    names = [f"unread-{number}" for number in range(4)]
    for name in names:
        published(registry, name)

    def download() -> tuple[float, httpx.Response]:
        begun_s = time.monotonic()
        answer = httpx.get(registry.url + path, timeout=60)
        return time.monotonic() - begun_s, answer

    server.pause()
    try:
        with ThreadPoolExecutor(12) as threads:
            before = connections(server)
            downloads = [threads.submit(download) for _ in range(12)]
            wait_until(lambda: connections(server) >= before + 10, "ten connect")
            begun_s = time.monotonic()
            for name in names:
                assert registry.http.get(f"/cargo/index/un/re/{name}").status_code == 200
            assert time.monotonic() - begun_s < TIMEOUT_S / 2
            for download_ in downloads:
                took_s, answer = download_.result()
                assert "did not answer within 3 seconds" in said(answer)
                assert took_s < 3 * TIMEOUT_S
    finally:
        server.go_on()
    assert registry.http.get(path).status_code == 200


def test_a_damaged_object_is_refused_or_its_answer_breaks_off(
    registry: RunningRegistry, server: S3Server
) -> None:
    small, large = published(registry, "small"), published(registry, "large", noise(LARGE_BYTES))
    for path in (small, large):
        assert registry.http.get(path).status_code == 200
        place = object_of(registry, server, path)
        content = bytearray(place.read_bytes())
        content[len(content) // 2] ^= 1
        place.write_bytes(content)
    assert "is damaged in the registry's blob store" in said(registry.http.get(small))
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending"):
        registry.http.get(large)
    assert registry.http.get("/health").status_code == 200


def test_who_leaves_in_the_middle_leaves_no_answer_of_the_server_unread(
    registry: RunningRegistry, server: S3Server
) -> None:
    path = published(registry, "left", noise(LARGE_BYTES))
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", registry.port)) as peer:
            peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert peer.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(lambda: connections(server, half_read=True) == 0, "none is half read")
    assert len(registry.http.get(path).content) > LARGE_BYTES
