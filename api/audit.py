"""`/audit/…`: the whole history, for whoever has a token.

The lines are JSON, one event each, described in `docs/AUDIT.md`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.downloads import answer_download
from packledger.audit.history import Chosen, full_entry_of, history
from packledger.domain.errors import Invalid, NoSuchPackage, NotAllowed
from packledger.eventstore.blobs import Download
from packledger.eventstore.log import Recorded

Request = falcon.asgi.Request
Response = falcon.asgi.Response

LINES = "application/x-ndjson"
DIGEST = re.compile(r"[0-9a-f]{64}")
DEFAULT_EVENTS = 1_000
MAX_EVENTS = 1_000_000
PIECE_EVENTS = 500
_encode = msgspec.json.Encoder().encode


class Events:
    """`/audit/events?after=POS&limit=N`, and by `subject`, `since` and `until`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer a page of events, sent as it is read."""
        identity = await self._context.authenticator.require(req)
        if self._context.hooks.access is not None and not identity.admin:
            raise NotAllowed("the whole history shows packages that you may not see; ask an admin")
        after = req.get_param_as_int("after", min_value=0, max_value=2**62) or 0
        limit = req.get_param_as_int("limit", min_value=1, max_value=MAX_EVENTS)
        chosen = Chosen(
            after=after,
            subject=req.get_param("subject") or "",
            since=req.get_param("since") or "",
            until=req.get_param("until") or "",
        )
        found = history(self._context.registry.log, chosen)
        await _answer(resp, islice(found, limit or DEFAULT_EVENTS))


class PackageHistory:
    """`/audit/cargo/{name}` and `/audit/npm/{name}`: everything about one package."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Answer a crate's events."""
        await self._of(req, resp, "cargo", name)

    async def on_get_npm(self, req: Request, resp: Response, name: str) -> None:
        """Answer an npm package's events; a name with a scope has a slash."""
        await self._of(req, resp, "npm", name)

    async def _of(self, req: Request, resp: Response, ecosystem: str, name: str) -> None:
        await self._context.authenticator.require(req)
        await self._context.check_access(req, ecosystem, name)
        chosen = Chosen(subject=f"{ecosystem}:{name}")
        found = await asyncio.to_thread(list, history(self._context.registry.log, chosen))
        if not found:
            raise NoSuchPackage(name)
        await _answer(resp, iter(found))


class Blobs:
    """`/audit/blobs/{digest}`: any stored file, for another node that lost it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response, digest: str) -> None:
        """Answer a file, of unpublished versions, too: to an administrator alone."""
        identity = await self._context.authenticator.require(req)
        if not identity.admin:
            raise NotAllowed("only an administrator may fetch files by their digest")
        if not DIGEST.fullmatch(digest):
            raise Invalid(f"`{digest}` is not a digest: 64 hexadecimal digits in lower case")
        download = Download(digest, "application/octet-stream", digest, req.method)
        await answer_download(resp, self._context, download)
        resp.set_header("cache-control", "private, no-store")


async def _answer(resp: Response, found: Iterator[Recorded]) -> None:
    """Answer lines; the first of them are read before there is a status."""
    first = await asyncio.to_thread(_lines, found)
    resp.content_type = LINES
    resp.set_header("cache-control", "private, no-store")
    if first.count(b"\n") < PIECE_EVENTS:
        resp.data = first
    else:
        resp.stream = _pieces(first, found)


async def _pieces(first: bytes, found: Iterator[Recorded]) -> AsyncIterator[bytes]:
    yield first
    while piece := await asyncio.to_thread(_lines, found):
        yield piece


def _lines(found: Iterator[Recorded]) -> bytes:
    page = islice(found, PIECE_EVENTS)
    return b"".join(b"%b\n" % _encode(full_entry_of(recorded)) for recorded in page)


def add_routes(app: falcon.asgi.App[Request, Response], context: Context) -> None:
    """Add the history below `/audit`."""
    packages = PackageHistory(context)
    app.add_route("/audit/events", Events(context))
    app.add_route("/audit/blobs/{digest}", Blobs(context))
    app.add_route("/audit/cargo/{name}", packages)
    app.add_route("/audit/npm/{name:path}", packages, suffix="npm")
