"""Where one request ends and the next begins is said in one way only, or the connection ends."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_http import Answer, Ears, connection, read_answer, request, send
from target import Target
from uploads import new_crate

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: registry\r\n\r\n"
PING = b"GET /npm/-/ping HTTP/1.1\r\nHost: registry\r\n"
POST = b"POST /npm/-/npm/v1/security/audits/quick HTTP/1.1\r\nHost: registry\r\n"


def answers(target: Target, data: bytes) -> list[Answer]:
    """Everything that is answered until the server hangs up or has no more to say."""
    found = []
    with connection(target.port, timeout_s=0.5) as peer, Ears(peer) as ears:
        send(peer, data)
        try:
            while (answer := read_answer(ears)) is not None:
                found.append(answer)
        except TimeoutError:
            pass
    for answer in found:
        assert answer.status < 500, answer
        assert answer.headers["x-content-type-options"] == "nosniff"
    return found


AMBIGUOUS = {
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "two equal lengths in one line": b"Content-Length: 0, 0\r\n\r\n",
    "a signed length": b"Content-Length: +0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a hexadecimal length": b"Content-Length: 0x0\r\n\r\n",
    "a length with an underscore": b"Content-Length: 4_4\r\n\r\n",
    "an endless length": b"Content-Length: 99999999999999999999999999\r\n\r\n",
    "a length beyond 64 bits": b"Content-Length: 18446744073709551617\r\n\r\nX",
    "a length of 64 bits of zeros": b"Content-Length: 18446744073709551616\r\n\r\n",
    "a length with leading zeros": b"Content-Length: 000\r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip alone": b"Transfer-Encoding: gzip\r\n\r\n",
    "gzip and a length": b"Transfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
    "gzip, then chunks": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "nothing for a coding": b"Transfer-Encoding:\r\n\r\n",
    "a header folded by a space": b"X-A: b\r\n c\r\n\r\n",
    "a header folded by a tab": b"X-A: b\r\n\tc\r\n\r\n",
    "a folded first header": b" X-A: b\r\n\r\n",
    "a folded header": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a header without a colon": b"Transfer-Encoding chunked\r\n\r\n",
    "a carriage return alone": b"X-A: b\rX-C: d\r\n\r\n",
    "a NUL": b"X-A: \0\r\n\r\n",
    "a chunk's size with a sign": b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
    "a chunk's size with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a chunk's size without end": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
    "a chunk's size beyond 64 bits": (
        b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n"
    ),
    "a chunk's size of 2^64 + 1": (
        b"Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n"
    ),
    "a trailer that is a length": (
        b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 44\r\n\r\n"
    ),
    "a line feed alone": b"X-A: b\n\r\n",
    "line feeds alone": b"X-A: b\n\n",
    "an empty line of a line feed": b"X-A: b\r\n\n",
    "a chunk that is longer": b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk's line feed alone": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
}  # fmt: skip


@pytest.mark.parametrize("framing", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("start", [PING, POST], ids=["GET", "POST"])
def test_an_ambiguous_end_ends_the_connection(target: Target, start: bytes, framing: bytes) -> None:
    said = answers(target, start + framing + SMUGGLED)
    assert len(said) <= 1, said
    assert [answer.status for answer in said if answer.status not in {200, 400, 405}] == []
    assert not any(b"smuggled" in answer.body for answer in said), said


def test_a_line_feed_alone_ends_no_line(target: Target) -> None:
    """RFC 9112, section 2.2, allows both. A proxy that takes it for an end sends ours on."""
    for head in (PING + b"X-A: b\n\n", PING.replace(b"\r\n", b"\n") + b"\n"):
        said = answers(target, head + SMUGGLED)
        assert [answer.status for answer in said] == [400]


def test_what_follows_chunks_is_the_next_request(target: Target) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX-A: b\r\n\r\n"
    said = answers(target, (POST + chunks + PING + b"\r\n") * 3)
    assert [answer.status for answer in said] == [200] * 6


def test_an_old_clients_connection_stays_if_it_says_so(target: Target) -> None:
    ping = PING.replace(b"/1.1", b"/1.0")
    assert len(answers(target, (ping + b"\r\n") * 3)) == 1
    assert len(answers(target, (ping + b"Connection: keep-alive\r\n\r\n") * 3)) == 3
    chunks = b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert [one.status for one in answers(target, ping + chunks + SMUGGLED)] == [400]


HEADS = {
    "no version": b"GET /npm/-/ping\r\n\r\n",
    "another version": b"GET /npm/-/ping HTTP/9.9\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in the path": b"GET /npm/-/ping x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab for a space": b"GET\t/npm/-/ping\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "a long line": b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 5_000 + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "an unknown method": b"get /npm/-/ping HTTP/1.1\r\nHost: a\r\n\r\n",
    "two hosts": b"GET /npm/-/ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "nothing": b"\r\n\r\n\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_what_is_no_request_is_refused_once(target: Target, head: bytes) -> None:
    said = answers(target, head + SMUGGLED)
    assert len(said) <= 1 or head.isspace(), said
    for answer in said:
        assert head.isspace() or 400 <= answer.status < 500, answer


@pytest.mark.parametrize("path", [b"*", b"http://evil.example/npm/-/ping", b"//evil.example/npm"])
def test_other_forms_of_a_path_find_nothing(target: Target, path: bytes) -> None:
    for method in (b"GET", b"OPTIONS", b"PUT"):
        said = answers(target, method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert all(answer.status in {200, 400, 404, 405} for answer in said), said
        assert all(b"evil" not in answer.headers.get("location", "").encode() for answer in said)


def test_upgrades_are_not_offered(target: Target) -> None:
    websocket = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    for upgrade in (websocket, h2c):
        with connection(target.port, timeout_s=2) as peer:
            send(peer, PING + upgrade)
            answer = read_answer(peer)
        assert answer is None or answer.status in {200, 400, 403, 426}, answer


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    one = b"GET /npm/victim/1.%d.0 HTTP/1.1\r\nHost: registry\r\n\r\n"
    said = answers(target, b"".join(one % (number % 2) for number in range(50)))
    assert [b'"version":"1.%d.0"' % (number % 2) in a.body for number, a in enumerate(said)] == (
        [True] * 50
    )


def test_a_body_that_nobody_reads_is_no_request(target: Target) -> None:
    """What follows an answer that came early is the rest of a body, or a new connection's."""
    for start in (b"PUT /npm/-/ping", b"PUT /nowhere", b"GET /npm/victim", b"GET /health"):
        body = SMUGGLED
        head = start + b" HTTP/1.1\r\nHost: registry\r\nContent-Length: %d\r\n\r\n"
        said = answers(target, head % len(body) + body + PING + b"\r\n")
        assert 1 <= len(said) <= 2
        assert not any(b"smuggled" in answer.body for answer in said), said


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20),
    cuts=st.lists(st.integers(1, 300), min_size=1, max_size=10),
    number=st.integers(0, 10**12),
)
def test_chunks_of_any_size_are_one_body(
    target: Target, sizes: list[int], cuts: list[int], number: int
) -> None:
    """sizes: of the chunks; cuts: where the network divides what was sent."""
    body = new_crate("chunked", f"1.0.{number}")
    at, chunks = 0, b""
    for size in itertools.cycle(sizes):
        piece = body[at : at + size]
        chunks += b"%x\r\n" % len(piece) + piece + b"\r\n"
        at += size
        if not piece:
            break
    head = [
        (b"Authorization", target.tokens["alice"].encode()),
        (b"Transfer-Encoding", b"chunked"),
    ]
    data = request("PUT", b"/cargo/api/v1/crates/new", head) + chunks
    with connection(target.port) as peer:
        at = 0
        for cut in itertools.cycle(cuts):
            send(peer, data[at : at + cut])
            at += cut
            if at >= len(data):
                break
        answer = read_answer(peer)
    assert answer is not None
    published_before = b"already exists" in answer.body
    assert answer.status == 200 or published_before, answer
