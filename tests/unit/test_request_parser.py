"""The parser of connections: one reading of every request, however the network divides it."""

from typing import NamedTuple

import pytest
from gunicorn.asgi.parser import ParseError, PythonProtocol
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packledger.server.http.head import HEAD_BYTES, Limits
from packledger.server.http.parser import NEXT_REQUEST_BYTES, Parser

LIMITS = Limits(8190, 100, 8190)
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class Read(NamedTuple):
    """A request as a parser has understood it."""

    method: bytes
    target: bytes
    version: tuple[int, int]
    headers: list[tuple[bytes, bytes]]
    framing: tuple[int | None, bool]
    stays: bool
    body: bytes


class Reader:
    """Drives a parser as gunicorn's connection does."""

    def __init__(self, plain: bool = False) -> None:
        """plain: gunicorn's own parser, in Python."""
        self.requests: list[Read] = []
        self.refused = False
        self._body: list[bytes] = []
        calls = (lambda: None, self._body.append, lambda: None)
        self.parser: Parser | PythonProtocol = Parser(*calls, LIMITS)
        if plain:
            self.parser = PythonProtocol(
                on_headers_complete=calls[0], on_body=calls[1], on_message_complete=calls[2]
            )

    def feed(self, data: bytes) -> None:
        while data and not self.refused:
            try:
                self.parser.feed(data)
            except ParseError:
                self.refused = True
            if not self.parser.is_complete:
                return
            self._take()
            data = self.parser.remaining()
            self._body.clear()
            self.parser.reset()

    def _take(self) -> None:
        one = self.parser
        self.requests.append(
            Read(
                one.method,
                one.path,
                one.http_version,
                list(one.headers),
                (one.content_length, one.is_chunked),
                one.should_keep_alive,
                b"".join(self._body),
            )
        )


def read(*pieces: bytes, plain: bool = False) -> Reader:
    reader = Reader(plain)
    for piece in pieces:
        reader.feed(piece)
    return reader


TOKENS = st.text("abcXYZ-_09", min_size=1, max_size=12).map(str.encode)
VALUES = st.text(" \tabc,;=/*\"'\xe9\xff", max_size=20).map(lambda text: text.encode("latin-1"))
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"host", b"content-type"}
FIELDS = st.lists(
    st.tuples(TOKENS.filter(lambda name: name.lower() not in FRAMING), VALUES), max_size=5
)
CONNECTION = st.sampled_from(
    [
        b"",
        b"Connection: close\r\n",
        b"Connection: Keep-Alive\r\n",
        b"Connection: x, close\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Connection: close, upgrade\r\nUpgrade: h2c\r\n",
    ]
)


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    data = b""
    for piece in draw(st.lists(st.binary(min_size=1, max_size=40) | st.just(b"\r\n\r\n0\r\n\r\n"))):
        extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b c"']))
        data += b"%x%b\r\n%b\r\n" % (len(piece), extension, piece)
    trailers = draw(st.lists(st.sampled_from([b"X-Sum: 1\r\n", b"Expires: never\r\n"]), max_size=2))
    return data + draw(st.sampled_from([b"0", b"000", b"0;last"])) + b"\r\n" + b"".join(trailers)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line = draw(st.sampled_from([b"GET /a%2fb?c=d", b"PUT /", b"POST /x", b"OPTIONS *"]))
    head = line + draw(st.sampled_from([b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"]))
    for name, value in draw(FIELDS):
        head += name + b": " + value + b"\r\n"
    head += draw(CONNECTION)
    match draw(st.sampled_from(["none", "length", "chunks"])):
        case "length":
            body = draw(st.binary(max_size=60))
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        case "chunks" if line.startswith(b"P") and b"/1.1" in head:
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + draw(chunks()) + b"\r\n"
    return head + b"\r\n"


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Some requests in a row, a few bytes of them replaced, removed or inserted."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 2))
        put = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b"0", b"\t", b","])
        )
        data = data[:at] + put + data[at + gone :]
    return data


@settings(max_examples=200, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_wherever_it_is_divided_what_was_sent_is_the_same(
    sent: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(sent)
    expected = read(whole)
    assert not expected.refused
    assert len(expected.requests) == len(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(*pieces).requests == expected.requests


@settings(max_examples=600, deadline=None)
@given(damaged())
@example(CHUNKED + b"1\r\na\r\n0\r\n\r\n" + GET)
@example(CHUNKED + b"0\r\n\r\n\r\n" + GET)
@example(b"\r\n" + GET + b"\r\n\r\n" + GET)
@example(CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\nA: b\r\n\r\n" + GET)
def test_whatever_was_sent_is_the_same_byte_by_byte(data: bytes) -> None:
    whole, divided = read(data), read(*(data[at : at + 1] for at in range(len(data))))
    assert divided.requests == whole.requests
    assert divided.refused == whole.refused


@settings(max_examples=600, deadline=None)
@given(damaged())
def test_what_is_understood_another_parser_understands_alike(data: bytes) -> None:
    """So nothing is taken that gunicorn's own parser would refuse."""
    ours, theirs = read(data).requests, read(data, plain=True).requests
    assert len(theirs) >= len(ours)
    for one, other in zip(ours, theirs, strict=False):
        assert one._replace(stays=other.stays) == other
        assert other.stays or not one.stays


REFUSED = {
    "a length of 2^64": GET[:-2] + b"Content-Length: 18446744073709551616\r\n\r\n",
    "a length of 2^64 + 1": GET[:-2] + b"Content-Length: 18446744073709551617\r\n\r\nX",
    "a length of 2^64 - 1": GET[:-2] + b"Content-Length: 18446744073709551615\r\n\r\n",
    "a length twice": GET[:-2] + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a length with a leading zero": GET[:-2] + b"Content-Length: 00\r\n\r\n",
    "a length in one line twice": GET[:-2] + b"Content-Length: 0, 0\r\n\r\n",
    "a length and chunks": CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "chunks of HTTP/1.0": CHUNKED.replace(b"/1.1", b"/1.0") + b"0\r\n\r\n",
    "a chunk of 2^64": CHUNKED + b"10000000000000000\r\n\r\n",
    "a chunk of 2^64 + 1": CHUNKED + b"10000000000000001\r\na\r\n0\r\n\r\n",
    "a chunk's space": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "a chunk's line feed": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "an extension's line feed": CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n",
    "a trailer that is a length": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "a trailer that is a host": CHUNKED + b"0\r\nHost: y\r\n\r\n",
    "gzip alone": GET[:-2] + b"Transfer-Encoding: gzip\r\n\r\n",
    "gzip, then chunks": GET[:-2] + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "gzip, then chunks, in two lines": (
        GET[:-2] + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "chunks twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": GET[:-2] + b"X: a\r\n b\r\n\r\n",
    "a folded coding": GET[:-2] + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a folded first header": b"GET /a HTTP/1.1\r\n X: b\r\n\r\n",
    "line feeds alone": b"GET /a HTTP/1.1\nHost: x\n\n",
    "a line feed alone": GET[:-2] + b"X: b\n\r\n",
    "an empty line of a line feed": GET[:-2] + b"X: b\r\n\n",
    "a carriage return alone": GET[:-2] + b"X: a\rb\r\n\r\n",
    "a NUL": GET[:-2] + b"X: \0\r\n\r\n",
    "a NUL in a name": GET[:-2] + b"X\0: a\r\n\r\n",
    "a NUL in the target": b"GET /a\0 HTTP/1.1\r\n\r\n",
    "a byte of no ASCII in the target": b"GET /\xe9 HTTP/1.1\r\n\r\n",
    "a space before a colon": GET[:-2] + b"X : a\r\n\r\n",
    "no name": GET[:-2] + b": a\r\n\r\n",
    "no colon": GET[:-2] + b"X\r\n\r\n",
    "two spaces": b"GET  /a HTTP/1.1\r\n\r\n",
    "a space behind the version": b"GET /a HTTP/1.1 \r\n\r\n",
    "no version": b"GET /a\r\n\r\n",
    "HTTP/0.9": b"GET /a HTTP/0.9\r\n\r\n",
    "HTTP/2.0": b"GET /a HTTP/2.0\r\n\r\n",
    "another protocol": b"GET /a RTSP/1.0\r\n\r\n",
    "no path": b"GET a HTTP/1.1\r\n\r\n",
    "every resource": b"GET * HTTP/1.1\r\n\r\n",
    "another's authority": b"GET evil.example:80 HTTP/1.1\r\n\r\n",
    "a method in lower case": b"get /a HTTP/1.1\r\n\r\n",
    "an unknown method": b"GETT /a HTTP/1.1\r\n\r\n",
    "two empty lines": b"\r\n\r\n" + GET,
    "a long line": b"GET /" + b"a" * 8190 + b" HTTP/1.1\r\n\r\n",
    "a long header": GET[:-2] + b"X: " + b"a" * 8190 + b"\r\n\r\n",
    "many headers": GET[:-2] + b"X: a\r\n" * 100 + b"\r\n",
    "a long head": GET[:-2] + b"".join(b"X: %b\r\n" % (b"a" * 8000) for _ in range(9)) + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_can_be_read_in_two_ways_is_not_read(data: bytes) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        reader = read(*pieces, GET)
        assert reader.refused
        assert reader.requests == []


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", True),
        (b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nConnection: x\r\nConnection: Close\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", True),
    ],
)
def test_whether_a_connection_stays(head: bytes, stays: bool) -> None:
    reader = read(head + GET)
    assert not reader.refused
    assert [one.stays for one in reader.requests] == [stays, True]


@pytest.mark.parametrize(
    "line", [b"GET http://a/b", b"OPTIONS *", b"CONNECT a:443", b"GET /?a=b&c", b"M-SEARCH /"]
)
def test_each_form_of_a_target_is_read(line: bytes) -> None:
    (one,) = read(line + b" HTTP/1.1\r\nHost: a\r\n\r\n").requests
    assert (one.method, one.target) == tuple(line.split(b" "))


def test_what_never_ends_is_refused_before_it_fills_the_memory() -> None:
    beginnings = [
        (b"GET /", b"a" * 1000),
        (b"GET /a HTTP/1.1\r\nX: ", b"a" * 1000),
        (b"GET /a HTTP/1.1\r\n", b"X: a\r\n" * 100),
        (CHUNKED + b"1;", b"a" * 1000),
        (CHUNKED + b"0\r\nX: ", b"a" * 1000),
        (CHUNKED + b"0\r\n", b"X: a\r\n" * 100),
    ]
    for beginning, more in beginnings:
        reader = read(beginning)
        for _ in range(2 * HEAD_BYTES // len(more)):
            reader.feed(more)
        assert reader.refused, beginning
        assert reader.requests == []


def test_an_early_request_is_kept_up_to_a_limit() -> None:
    parser = Parser(lambda: None, lambda piece: None, lambda: None, LIMITS)
    parser.feed(GET + b"P")
    parser.feed(b"U" * (NEXT_REQUEST_BYTES - 1))
    assert not parser.remaining_truncated
    assert parser.remaining() == b"P" + b"U" * (NEXT_REQUEST_BYTES - 1)
    parser.feed(b"T")
    assert parser.remaining_truncated
