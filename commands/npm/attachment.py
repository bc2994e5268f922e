"""Decode the base64 tarball inside an npm PUT piece by piece."""

import binascii
import hashlib
from base64 import b64encode
from collections.abc import Iterator
from typing import Protocol

import msgspec

from packledger.commands.npm.body import Buffer, Span
from packledger.domain.errors import Invalid, TooLarge

_CHUNK_BYTES = 256 << 10  # of base64 text; a multiple of 4


class Sink(Protocol):
    """Where a decoded tarball goes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


class Decoded(msgspec.Struct, frozen=True):
    """A tarball as received. integrity: SRI `sha512-…`."""

    size_bytes: int
    shasum: str
    integrity: str


def decode_attachment(
    buffer: Buffer, data: str | Span, sink: Sink, *, max_tarball_bytes: int
) -> Decoded:
    """Write a tarball to `sink` in pieces and return its digests.

    Raises:
        Invalid: not strict base64: a blank, a missing `=`, anything after the end.
        TooLarge: more than `max_tarball_bytes`; the sink may hold a part.
    """
    sha1, sha512 = hashlib.sha1(usedforsecurity=False), hashlib.sha512()
    size_bytes = 0
    for text, is_last in _base64_texts(buffer, data):
        piece = _strict_base64(text, is_last)
        size_bytes += len(piece)
        if size_bytes > max_tarball_bytes:
            raise TooLarge(f"the tarball is over {max_tarball_bytes} bytes, the registry's limit")
        sha1.update(piece)
        sha512.update(piece)
        sink.write(piece)
    integrity = "sha512-" + b64encode(sha512.digest()).decode()
    return Decoded(size_bytes, sha1.hexdigest(), integrity)


def _base64_texts(buffer: Buffer, data: str | Span) -> Iterator[tuple[bytes, bool]]:
    """Yield pieces of whole base64 quanta, and whether it is the last one."""
    source, (at, end) = (buffer, data) if isinstance(data, tuple) else _in_memory(data)
    carry = b""
    is_last = False
    while not is_last:
        text = carry + source[at : min(at + _CHUNK_BYTES, end)]
        at += _CHUNK_BYTES
        is_last = at >= end
        whole = len(text)
        if b"\\" in text:
            # some encoders write `\/`, which may be cut in two between pieces
            text = text.replace(b"\\/", b"/") if source is buffer else text
            whole = len(text) - text.endswith(b"\\")
            if text.find(b"\\", 0, whole) >= 0:
                raise Invalid("the tarball is not strict base64: it has a backslash")
        whole -= 0 if is_last else whole % 4
        yield text[:whole], is_last
        carry = text[whole:]
        if is_last and carry:
            raise Invalid("the tarball is not strict base64: it has a backslash")


def _in_memory(data: str) -> tuple[bytes, Span]:
    text = data.encode()
    return text, (0, len(text))


def _strict_base64(text: bytes, is_last: bool) -> bytes:
    try:
        piece = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise Invalid(f"the tarball is not strict base64: {error}") from error
    # `strict_mode` of Python 3.11 lets superfluous `=` pass
    padding = len(text) - len(text.rstrip(b"="))
    if len(text) % 4 or padding > (2 if is_last else 0):
        raise Invalid("the tarball is not strict base64: wrong padding")
    return piece
