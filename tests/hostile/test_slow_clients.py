"""Clients that are slow on purpose cost nobody else anything, and are given up after a while."""

import contextlib
import random
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from kernel import has_hung_up, wait_closed, wait_taken
from process_tree import wait_until
from raw_http import connection, read_answer, request, send
from target import Target, assert_own_format
from uploads import npm_body, tarball

PATIENCE_S = 1
SOON_S = 20
"""What is not given up by then never is."""
EVERY_S = 0.05
BIG = b"/npm/big/-/big-1.0.0.tgz"
BIG_BYTES = 24 * 1024 * 1024
"""More than the kernel takes of an answer that nobody reads."""
HIT = b"/npm/hit/-/hit-1.0.0.tgz"
HIT_BYTES = 1_000_000
"""Of a file that a connection sends without Falcon. The kernel takes a few of them."""
LARGE = pytest.mark.parametrize(
    ("path", "times", "size_bytes"), [(BIG, 1, BIG_BYTES), (HIT, 12, 12 * HIT_BYTES)]
)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A registry that waits a second; `big` is a package to download."""
    running = Target(tmp_path_factory.mktemp("impatient"), client_timeout_s=PATIENCE_S)
    try:
        running.start()
        running.add_user("alice")
        running.fill()
        for name, size_bytes in (("big", BIG_BYTES), ("hit", HIT_BYTES)):
            manifest = {"name": name, "version": "1.0.0"}
            noise = tarball(manifest, noise=random.Random(1).randbytes(size_bytes))
            answer = httpx.put(
                f"{running.direct}/npm/{name}",
                json=npm_body(manifest, noise),
                headers=running.token(),
                timeout=60,
            )
            assert answer.status_code == 201, answer.text
        yield running
        running.assert_unharmed()
    finally:
        running.close()


def test_who_says_nothing_is_told_so(impatient: Target) -> None:
    with connection(impatient.port, SOON_S) as peer:
        answer = read_answer(peer)
    assert answer is not None
    assert answer.status == 408
    assert_own_format("/cargo/", answer)
    assert_own_format("/npm/", answer)


def trickle(peer: socket.socket, data: bytes) -> None:
    """Send a byte now and then, which would take for ever, until the server hangs up."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for at in range(len(data)):
            peer.sendall(data[at : at + 1])
            if has_hung_up(peer, EVERY_S):
                return
    assert at < len(data) - 1, "it goes on listening"


def test_a_head_that_trickles_is_given_up(impatient: Target) -> None:
    with connection(impatient.port) as peer:
        trickle(peer, b"GET /npm/-/ping HTTP/1.1\r\nX: " + b"a" * 4_000)


@pytest.mark.parametrize(
    "path", [b"/npm/victim", b"/cargo/api/v1/crates/new", b"/npm/-/npm/v1/tokens", b"/nowhere"]
)
@pytest.mark.parametrize("framing", [b"Content-Length: 4000", b"Transfer-Encoding: chunked"])
def test_a_body_that_trickles_is_given_up(impatient: Target, path: bytes, framing: bytes) -> None:
    token = impatient.tokens["alice"].encode()
    method = b"POST " if path.endswith(b"tokens") else b"PUT "
    head = [method + path + b" HTTP/1.1", b"Host: a", b"Authorization: Bearer " + token, framing]
    with connection(impatient.port) as peer:
        send(peer, b"\r\n".join([*head, b"", b""]))
        trickle(peer, b"fa0\r\n" + b"a" * 4_000)
    wait_until(lambda: not impatient.uploads(), "no upload is left behind")


def test_who_asks_to_go_on_and_does_not_is_given_up(impatient: Target) -> None:
    head = [
        (b"Authorization", b"Bearer " + impatient.tokens["alice"].encode()),
        (b"Expect", b"100-continue"),
        (b"Content-Length", b"1000000"),
    ]
    with connection(impatient.port, SOON_S) as peer:
        send(peer, request("PUT", b"/npm/victim", head))
        assert peer.recv(1000).startswith(b"HTTP/1.1 100 ")
        answer = read_answer(peer)
    assert answer is not None
    assert answer.status == 408


def reading(port: int, path: bytes, times: int = 1, window_bytes: int = 4096) -> socket.socket:
    """A connection on which large answers wait; the kernel takes little of them."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    peer.settimeout(SOON_S)
    peer.connect(("127.0.0.1", port))
    for _ in range(times):
        peer.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_taken(peer)  # each a request of its own, not pipelined behind another
    return peer


def read_all(peer: socket.socket) -> int:
    total = 0
    with contextlib.suppress(ConnectionResetError):
        while piece := peer.recv(256 * 1024):
            total += len(piece)
            if total > BIG_BYTES:
                break
    return total


@LARGE
def test_an_answer_that_nobody_takes_is_given_up(
    impatient: Target, path: bytes, times: int, size_bytes: int
) -> None:
    with contextlib.closing(reading(impatient.port, path, times)) as peer:
        wait_closed(peer)
        assert read_all(peer) < size_bytes


@LARGE
def test_an_answer_that_is_taken_slowly_arrives_whole(
    impatient: Target, path: bytes, times: int, size_bytes: int
) -> None:
    """Slower than patience lasts, yet going on."""
    with contextlib.closing(reading(impatient.port, path, times, 128 * 1024)) as peer:
        began_s = time.monotonic()
        total = 0
        while piece := peer.recv(1024 * 1024):
            total += len(piece)
            due_s = began_s + 2.5 * PATIENCE_S * total / size_bytes
            time.sleep(max(0.0, due_s - time.monotonic()))
            if total > size_bytes:
                break
        assert total > size_bytes


def test_an_idle_connection_stays(impatient: Target) -> None:
    """npm and cargo keep connections; patience is for those whose turn it is."""
    with connection(impatient.port) as peer:
        for _ in range(2):
            send(peer, request("GET", b"/npm/-/ping", []))
            answer = read_answer(peer)
            assert answer is not None
            assert answer.status == 200
            for _ in range(2):  # longer than the server's patience, by its own clock
                test_who_says_nothing_is_told_so(impatient)


def test_others_are_served_meanwhile(impatient: Target) -> None:
    """Three hundred that say nothing, trickle, or do not take what they asked for."""
    starts = (
        b"",
        b"GET /npm/-/ping HTTP/1.1\r\nX: ",
        b"PUT /npm/victim HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    )
    with contextlib.ExitStack() as stack:
        for number in range(300):
            peer = stack.enter_context(connection(impatient.port))
            send(peer, starts[number % len(starts)])
        for _ in range(20):
            stack.enter_context(contextlib.closing(reading(impatient.port, BIG)))
        with httpx.Client(base_url=impatient.direct, timeout=SOON_S) as http:
            for _ in range(50):
                assert http.get("/npm/victim").status_code == 200


def test_half_closed_and_broken_connections_leave_nothing(impatient: Target) -> None:
    token = impatient.tokens["alice"].encode()
    for path, cut in ((b"/npm/victim", 3_000_000), (b"/cargo/api/v1/crates/new", 3_000_000)):
        for how in (socket.SHUT_WR, socket.SHUT_RDWR):
            before = impatient.position()
            with connection(impatient.port) as peer:
                head = [(b"Authorization", b"Bearer " + token), (b"Content-Length", b"4000000")]
                send(peer, request("PUT", path, head) + bytes(cut))
                peer.shutdown(how)
                with contextlib.suppress(TimeoutError):
                    answer = read_answer(peer)
                    assert answer is None or answer.status < 500
            assert impatient.position() == before
    wait_until(lambda: not impatient.uploads(), "no upload is left behind")
