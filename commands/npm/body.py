"""Find the tarball inside the JSON body of an npm PUT without holding it in memory.

The tarball is one base64 string of up to 128 MiB in a document whose rest is small. Long strings
are found by one regular expression and are replaced by their positions; what remains is an ordinary
document for a typed decoder, which judges everything that was not cut out. Quotes have one meaning
in JSON, so both agree on where strings are. The expression is linear on any input, since no group
of it can match in two ways; its groups are not possessive, which Python before 3.11.5 gets wrong.
"""

import re
from mmap import mmap
from typing import Any

import msgspec

from packledger.domain.errors import Invalid, TooLarge
from packledger.domain.npm.json_text import mended, why

Buffer = bytes | mmap

MAX_DOCUMENT_BYTES = 32 << 20
"""The body without long strings: a packument of 3,000 versions, which edits send, has 8 MB."""
_WINDOW_BYTES = 128 << 10
# a short string has pieces of at most 8 KiB between at most 1,000 escapes
_SHORT = rb'"[^"\\]{0,8192}+(?:\\.[^"\\]{0,8192}+){0,1000}"'
_RUN = re.compile(rb'(?:[^"]*+' + _SHORT + rb"){1,4096}", re.DOTALL)
_TO_QUOTE = re.compile(rb'[^"]*+"')
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*', re.DOTALL)

Span = tuple[int, int]
"""Start and end of a long string's content in the body."""


class BodyDist(msgspec.Struct, frozen=True):
    """What a client says about the tarball of a version."""

    shasum: str | None = None
    integrity: str | None = None


class BodyVersion(msgspec.Struct, frozen=True):
    """A version as a client sends it; everything else in it is the tarball's to say."""

    name: str | None = None
    version: str | None = None
    deprecated: str | bool | None = None
    dist: BodyDist | None = None
    node_version: Any = msgspec.field(name="_nodeVersion", default=None)
    npm_version: Any = msgspec.field(name="_npmVersion", default=None)
    git_head: Any = msgspec.field(name="gitHead", default=None)


class BodyPerson(msgspec.Struct, frozen=True):
    """An entry of `maintainers`."""

    name: str


class BodyAttachment(msgspec.Struct, frozen=True):
    """An attachment. data: base64, or where it is in the body; length: bytes after decoding."""

    data: str | Span
    length: int | None = None


class NpmBody(msgspec.Struct, frozen=True):
    """The parts of a PUT of a packument that any command looks at; `None` means not sent."""

    name: str | None = None
    id: str | None = msgspec.field(name="_id", default=None)
    rev: str | None = msgspec.field(name="_rev", default=None)
    access: str | None = None
    dist_tags: dict[str, str] | None = msgspec.field(name="dist-tags", default=None)
    versions: dict[str, BodyVersion] | None = None
    users: dict[str, Any] | None = None
    maintainers: list[BodyPerson] | None = None
    attachments: dict[str, BodyAttachment] | None = msgspec.field(name="_attachments", default=None)


_decoder = msgspec.json.Decoder(NpmBody)


def scan_body(buffer: Buffer) -> NpmBody:
    """Return what a body says; attachments stay where they are.

    Raises:
        Invalid: not JSON, or a field of another type than npm sends.
        TooLarge: more than `MAX_DOCUMENT_BYTES` beside long strings.
    """
    document, spans = _cut_long_strings(buffer)
    body = _decode(document)
    for filename, attachment in (body.attachments or {}).items():
        if not isinstance(attachment.data, str) and attachment.data not in spans:
            raise Invalid(f"the attachment `{filename[:100]}` must have its data as a text")
    return body


def _decode(document: bytes) -> NpmBody:
    try:
        return _decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # JavaScript writes half a surrogate pair as an escape, as in a cut description
        try:
            return _decoder.decode(mended(document))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"the body is not a package as npm sends it: {why(error)}") from error


def _cut_long_strings(buffer: Buffer) -> tuple[bytes, set[Span]]:
    """Return the document with `[start,end]` in place of each long string, and those spans."""
    pieces: list[bytes] = []
    spans: set[Span] = set()
    kept_bytes = kept_from = at = 0
    while True:
        while run := _RUN.match(buffer, at):
            at = run.end()
            _check_size(kept_bytes + at - kept_from)
        quote = _TO_QUOTE.match(buffer, at)
        if quote is None:
            break
        start = quote.end()
        end = _end_of_string(buffer, start)
        pieces += (buffer[kept_from : start - 1], b"[%d,%d]" % (start, end))
        kept_bytes += sum(map(len, pieces[-2:]))
        _check_size(kept_bytes)
        spans.add((start, end))
        kept_from = at = end + 1
    _check_size(kept_bytes + len(buffer) - kept_from)
    return b"".join((*pieces, buffer[kept_from:])), spans


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_DOCUMENT_BYTES:
        raise TooLarge(
            f"the package's description, tarball aside, is over {MAX_DOCUMENT_BYTES} bytes"
        )


def _end_of_string(buffer: Buffer, start: int) -> int:
    """Return where the quote is that ends the string whose content begins at `start`.

    Works in windows, so that other threads run in between.
    """
    at = start
    while at < len(buffer):
        window = buffer[at : at + _WINDOW_BYTES]
        plain = window.partition(b"\\")[0]
        if (quote := plain.find(b'"')) >= 0:
            return at + quote
        at += len(plain)
        if len(plain) == len(window):
            continue
        inside = _INSIDE.match(buffer, at, at + _WINDOW_BYTES)
        assert inside is not None, "the pattern matches nothing too"
        if inside.end() == at:
            break
        at = inside.end()
    raise Invalid("the body is not JSON: it ends inside a text")
