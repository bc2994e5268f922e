"""Request bodies, bounded while they arrive; the event loop never writes to a disk."""

import asyncio
import contextlib
import mmap
import tempfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import FileIO
from typing import TypeVar

import falcon.asgi
import msgspec

from packledger.api.expectation import waits
from packledger.domain.errors import Invalid, TooLarge
from packledger.eventstore.blobs import disk_errors_as_refusals

SMALL_BODY_BYTES = 1024 * 1024
IN_MEMORY_BYTES = 1024 * 1024
"""An upload up to this size stays in memory, a larger one goes to a file."""
GATHER_BYTES = 256 * 1024
"""Pieces from the network are gathered to this size before a thread writes them."""

DISCARD_BYTES = 512 * 1024 * 1024
DISCARD_S = 20.0

Body = TypeVar("Body")


def check_length(req: falcon.asgi.Request, limit_bytes: int, what: str) -> None:
    """Refuse a body by its `Content-Length`, before any of it is read.

    Raises:
        TooLarge: it is longer than the limit.
    """
    if req.content_length is not None and req.content_length > limit_bytes:
        raise too_large(what, limit_bytes)


def too_large(what: str, limit_bytes: int) -> TooLarge:
    """Return the refusal of something that is larger than the limit."""
    return TooLarge(
        f"{what} is larger than {limit_bytes} bytes, the limit of this registry; make it smaller "
        "or ask the operator for a higher limit"
    )


async def pieces(req: falcon.asgi.Request, limit_bytes: int, what: str) -> AsyncIterator[bytes]:
    """Yield the body in pieces of about 256 KiB, decoded if it was sent with gzip.

    Raises:
        TooLarge: it is longer than the limit, as sent or as decoded.
        Invalid: an encoding other than gzip, or a broken one.
    """
    check_length(req, limit_bytes, what)
    unpack = _decoder(req)
    gathered = bytearray()
    total_bytes = 0
    async for chunk in req.stream:
        for piece in unpack(chunk):
            total_bytes += len(piece)
            if total_bytes > limit_bytes:
                raise too_large(what, limit_bytes)
            gathered += piece
            if len(gathered) >= GATHER_BYTES:
                yield bytes(gathered)
                gathered.clear()
    if gathered:
        yield bytes(gathered)


class _Plain:
    def __call__(self, chunk: bytes) -> tuple[bytes]:
        return (chunk,)


class _Gunzip:
    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(31)

    def __call__(self, chunk: bytes) -> "_Pieces":
        return _Pieces(self._unpacker, chunk)


class _Pieces:
    """What a chunk unpacks to, never more than 256 KiB at once."""

    def __init__(self, unpacker: "zlib._Decompress", chunk: bytes) -> None:
        self._unpacker, self._rest = unpacker, chunk

    def __iter__(self) -> "_Pieces":
        return self

    def __next__(self) -> bytes:
        if not self._rest:
            raise StopIteration
        try:
            piece = self._unpacker.decompress(self._rest, GATHER_BYTES)
        except zlib.error as error:
            raise Invalid("the request body is not valid gzip, as its header says") from error
        self._rest = self._unpacker.unconsumed_tail
        return piece


def _decoder(req: falcon.asgi.Request) -> _Plain | _Gunzip:
    encoding = (req.get_header("content-encoding") or "identity").strip().lower()
    if encoding in {"", "identity"}:
        return _Plain()
    if encoding in {"gzip", "x-gzip"}:
        return _Gunzip()
    raise Invalid(f"the content encoding `{encoding}` is not known here; send gzip or none")


async def discard_body(req: falcon.asgi.Request) -> None:
    """Read on after a refusal, bounded in bytes and time, so that the client sees the answer.

    Clients send the whole body before they read; closing the connection meanwhile resets it, and
    the answer is lost with it. One that waits for `100 Continue` has sent nothing.
    """
    if waits(req):
        return
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(DISCARD_S):
            discarded_bytes = 0
            while discarded_bytes < DISCARD_BYTES and (piece := await req.stream.read(65536)):
                discarded_bytes += len(piece)


async def read_small(
    req: falcon.asgi.Request, what: str, limit_bytes: int = SMALL_BODY_BYTES
) -> bytes:
    """Return a body that must be small.

    Raises:
        TooLarge, Invalid: as `pieces`.
    """
    return b"".join([piece async for piece in pieces(req, limit_bytes, what)])


async def read_json(req: falcon.asgi.Request, kind: type[Body], what: str) -> Body:
    """Return a small JSON body as the given type.

    Raises:
        TooLarge, Invalid: too long, or not what was expected.
    """
    body = await read_small(req, what)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{what} is not the JSON that was expected: {error}") from error


@asynccontextmanager
async def spooled(
    req: falcon.asgi.Request, limit_bytes: int, what: str, folder: str
) -> AsyncIterator[bytes | mmap.mmap]:
    """Give a large body as one buffer: in memory when small, else a mapped temporary file.

    Raises:
        TooLarge, Invalid: as `pieces`.
        Unavailable: the disk is full.
    """
    with contextlib.ExitStack() as stack:
        start: list[bytes] = []
        size_bytes = 0
        file = None
        async for piece in pieces(req, limit_bytes, what):
            size_bytes += len(piece)
            if file is None and size_bytes <= IN_MEMORY_BYTES:
                start.append(piece)
                continue
            if file is None:
                with disk_errors_as_refusals():
                    # Unbuffered: what is kept back would be refused by the disk again at `close`.
                    file = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
                piece, start = b"".join([*start, piece]), []
            await asyncio.to_thread(_write, file, piece)
        if file is None:
            yield b"".join(start)
            return
        mapped = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        yield mapped


def _write(file: FileIO, piece: bytes) -> None:
    with disk_errors_as_refusals():
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]
