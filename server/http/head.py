"""The head of a request, where there is one way to read it.

llhttp, Node's parser, reads it without any of its leniencies: no line feed or carriage return
alone, no folded line, no space before a colon, no length twice, beyond 64 bits or beside chunks.
What it would still let pass, and others may understand otherwise, is refused here.
Source: https://www.rfc-editor.org/rfc/rfc9112
"""

import re
from typing import NamedTuple

from gunicorn.asgi.parser import (
    InvalidHeader,
    InvalidRequestLine,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseError,
    UnsupportedTransferCoding,
)
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

END = b"\r\n\r\n"
HEAD_BYTES = 64 * 1024
"""Node allows 16 KiB by default, nginx 32."""
_LINE = re.compile(rb"([A-Z-]{3,20}) ([!-~]+) HTTP/1\.([01])")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,18}")
"""19 digits always fit into 64 bits."""

Headers = list[tuple[bytes, bytes]]


class Limits(NamedTuple):
    """Of the request line and of each header in bytes, and the number of headers."""

    line_bytes: int
    fields: int
    field_bytes: int


class Head(NamedTuple):
    """headers: names in lower case. content_length: None where none is said."""

    method: bytes
    target: bytes
    http_version: tuple[int, int]
    headers: Headers
    content_length: int | None
    is_chunked: bool
    keeps_alive: bool


class _Fields:
    """What llhttp tells of a head."""

    __slots__ = ("ends", "headers")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.ends = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.ends += 1


def read_head(head: bytes, limits: Limits) -> Head:
    """Read a head. head: its bytes up to the empty line that ends it, and no more.

    Raises:
        ParseError: it is none, or none that everybody reads alike.
    """
    if head.find(END) != len(head) - len(END):
        raise ParseError("this is no HTTP request: it ends twice, or not at all")
    line = head[: head.find(b"\r\n")]
    if len(line) > limits.line_bytes:
        raise LimitRequestLine("the request line is too long")
    found = _LINE.fullmatch(line)
    if found is None or (found[2] == b"*" and found[1] != b"OPTIONS"):
        raise InvalidRequestLine("this is no HTTP request: its first line is none of HTTP/1.1")
    if len(head) > HEAD_BYTES:
        raise LimitRequestHeaders("the request's headers are too long")
    headers = _headers(head)
    if len(headers) > limits.fields:
        raise LimitRequestHeaders(f"the request has more than {limits.fields} headers")
    if len(head) > limits.field_bytes:
        _check_sizes(headers, limits.field_bytes)
    version = (1, 1) if found[3] == b"1" else (1, 0)
    length, chunked, keeps_alive = _framing(headers, version)
    return Head(found[1], found[2], version, headers, length, chunked, keeps_alive)


def check_beginning(beginning: bytes, seen: int, limits: Limits) -> None:
    """Refuse what cannot become a head any more, whatever is to come. seen: how much was checked.

    Raises:
        ParseError: it is too long, or a line of it has ended by a line feed alone.
    """
    if beginning.count(b"\n", seen) != beginning.count(b"\r\n", max(0, seen - 1)):
        raise ParseError("this is no HTTP request: a line ends by a line feed alone")
    if len(beginning) > limits.line_bytes and b"\r\n" not in beginning[: limits.line_bytes + 2]:
        raise LimitRequestLine("the request line is too long")
    if len(beginning) > HEAD_BYTES:
        raise LimitRequestHeaders("the request's headers are too long")


def _headers(head: bytes) -> Headers:
    fields = _Fields()
    try:
        HttpRequestParser(fields).feed_data(head)
    except HttpParserUpgrade:
        pass  # its own word for a head that asks for another protocol
    except HttpParserError as error:
        raise ParseError(f"this is no HTTP request: {error}") from error
    if fields.ends != 1:
        raise ParseError("this is no HTTP request: it ends elsewhere than its headers")
    return fields.headers


def _check_sizes(headers: Headers, limit_bytes: int) -> None:
    for name, value in headers:
        if len(name) + len(value) > limit_bytes:
            raise LimitRequestHeaders(f"a header of the request has more than {limit_bytes} bytes")


def _framing(headers: Headers, version: tuple[int, int]) -> tuple[int | None, bool, bool]:
    """Return the body's length, whether it comes in chunks, and whether the connection stays.

    Raises:
        ParseError: where the body ends can be understood in two ways.
    """
    length, chunked, options = None, False, b""
    for name, value in headers:
        if name == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise InvalidHeader("the content length is no plain decimal number, or too large")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or value.lower() != b"chunked" or version != (1, 1):
                raise UnsupportedTransferCoding("the only transfer coding known here is `chunked`")
            chunked = True
        elif name == b"connection":
            options += value.lower()
    if chunked and length is not None:
        raise InvalidHeader("the request has a content length and chunks")
    keeps_alive = b"close" not in options and (version == (1, 1) or b"keep-alive" in options)
    return length, chunked, keeps_alive
