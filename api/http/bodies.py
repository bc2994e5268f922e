"""Request bodies, bounded while they arrive; the event loop never writes to a disk.

What all requests hold is counted against one budget of all workers (`body_budget.py`). A body is
asked for when its sender's rights are known, and taken with gzip from audits alone: npm and yarn 1
send those so, and nothing else.
"""

import asyncio
import contextlib
import mmap
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from io import FileIO
from typing import TypeVar

import falcon.asgi
import msgspec

from packledger.api.http.body_budget import AUDITS, DISK, MEMORY
from packledger.api.http.expectation import budget_of, waits
from packledger.domain.errors import Invalid, TooLarge
from packledger.eventstore.blobs.store import disk_errors_as_refusals

SMALL_BODY_BYTES = 64 * 1024
"""A login, a dist-tag, a list of owners, the wish for a token."""
IN_MEMORY_BYTES = 1024 * 1024
"""An upload up to this size stays in memory, a larger one goes to a file."""
GATHER_BYTES = 256 * 1024
"""Pieces from the network are gathered to this size before a thread writes them."""
UNPACKED_BYTES = 32 * 1024
MAX_RATIO = 64
"""Times that gzip may make a body smaller, its first 64 KiB aside; JSON of audits: 4 to 10."""

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
    """Yield the body in pieces of about 256 KiB.

    Raises:
        TooLarge: it is longer than the limit, as sent or as decoded.
        Invalid: it has a content encoding, or a broken one.
    """
    gathered = bytearray()
    async for piece in _chunks(req, limit_bytes, what, False):
        gathered += piece
        if len(gathered) >= GATHER_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


async def _chunks(
    req: falcon.asgi.Request, limit_bytes: int, what: str, may_be_packed: bool
) -> AsyncIterator[bytes]:
    """Yield the body as it arrives."""
    check_length(req, limit_bytes, what)
    unpack = _decoder(req, may_be_packed)
    total_bytes = 0
    async for chunk in req.stream:
        for piece in unpack(chunk):
            total_bytes += len(piece)
            if total_bytes > limit_bytes:
                raise too_large(what, limit_bytes)
            yield piece


class _Plain:
    def __call__(self, chunk: bytes) -> tuple[bytes]:
        return (chunk,)


class _Gunzip:
    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(31)
        self._allowed_bytes = 64 * 1024

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk unpacks to, never more than 32 KiB at once."""
        self._allowed_bytes += MAX_RATIO * len(chunk)
        while chunk:
            try:
                piece = self._unpacker.decompress(chunk, UNPACKED_BYTES)
            except zlib.error as error:
                raise Invalid("the request body is not valid gzip, as its header says") from error
            self._allowed_bytes -= len(piece)
            if self._allowed_bytes < 0:
                raise TooLarge(
                    f"the request body unpacks to over {MAX_RATIO} times its size; send it without "
                    "gzip"
                )
            chunk = self._unpacker.unconsumed_tail
            yield piece


def _decoder(req: falcon.asgi.Request, may_be_packed: bool) -> _Plain | _Gunzip:
    encoding = (req.get_header("content-encoding") or "identity").strip().lower()
    if encoding in {"", "identity"}:
        return _Plain()
    if may_be_packed and encoding in {"gzip", "x-gzip"}:
        return _Gunzip()
    known = "send gzip or none" if may_be_packed else "send the body without one"
    raise Invalid(f"the content encoding `{encoding[:40]}` is not taken here; {known}")


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
    req: falcon.asgi.Request, what: str, limit_bytes: int = SMALL_BODY_BYTES, held_in: int = MEMORY
) -> bytes:
    """Return a body that must be small. held_in: what it counts for while it arrives.

    Raises:
        TooLarge, Invalid: as `pieces`.
        TooMany: the node holds too much.
    """
    may_be_packed = held_in == AUDITS
    body = bytearray()
    with budget_of(req).hold(held_in) as held:
        try:
            async for piece in _chunks(req, limit_bytes, what, may_be_packed):
                held.add(len(piece))
                body += piece
        except BaseException:
            # The refusal remembers where it was raised, and waits until the client has said all.
            body.clear()
            raise
    return bytes(body)


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
    """Give a large body as one buffer: in memory when it is small and there is room, else a file.

    Raises:
        TooLarge, Invalid: as `pieces`.
        TooMany: the node holds too much.
        Unavailable: the disk is full.
    """
    budget = budget_of(req)
    with budget.hold(MEMORY) as in_memory, budget.hold(DISK) as on_disk, ExitStack() as stack:
        start: list[bytes] = []
        size_bytes = 0
        file = None
        async for piece in pieces(req, limit_bytes, what):
            size_bytes += len(piece)
            small = file is None and size_bytes <= IN_MEMORY_BYTES
            if small and in_memory.takes(len(piece)):
                start.append(piece)
                continue
            on_disk.add(size_bytes if file is None else len(piece))
            if file is None:
                with disk_errors_as_refusals():
                    # Unbuffered: what is kept back would be refused by the disk again at `close`.
                    file = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
                piece, start = b"".join([*start, piece]), []
                in_memory.give_back()
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
