"""`/audit/…`: the whole history, for whoever has a token.

The lines are JSON, one event each, described in `docs/AUDIT.md`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.downloads import answer_download
from packledger.api.http.routing import Mounts
from packledger.audit.history import (
    Chosen,
    entry_of,
    full_entry_of,
    history_pages,
    package_events,
)
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import Invalid, NoSuchPackage
from packledger.eventstore.blobs.store import Download
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
        caller = await self._context.require(req)
        if self._context.policies.hides:  # it shows packages that most may not see
            caller.known.check_may_fetch_files()
        chosen, limit = _asked(req, req.get_param("subject") or "")
        pages = history_pages(self._context.registry.log, chosen)
        await _answer(resp, pages, limit or DEFAULT_EVENTS)


class PackageHistory:
    """`/audit/cargo/{name}` and `/audit/npm/{name}`: everything about one package."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Answer a crate's events."""
        await self._of(req, resp, CARGO, name)

    async def on_get_npm(self, req: Request, resp: Response, name: str) -> None:
        """Answer an npm package's events; a name with a scope has a slash."""
        await self._of(req, resp, NPM, name)

    async def _of(self, req: Request, resp: Response, ecosystem: str, name: str) -> None:
        await self._context.require(req)
        chosen, limit = _asked(req, f"{ecosystem}:{name}")
        log = self._context.registry.log
        found = await asyncio.to_thread(package_events, log, ecosystem, name, 1)
        # Any spelling of a name finds the package; the hook is asked about its own.
        names = [entry_of(recorded).subject.partition(":")[2] for recorded in found]
        seen = await self._context.may_read(req, ecosystem, names[0] if names else name)
        if not names or not seen:
            raise NoSuchPackage(name)
        await _answer(resp, history_pages(log, chosen), limit or MAX_EVENTS)


class Blobs:
    """`/audit/blobs/{digest}`: any stored file, for another node that lost it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response, digest: str) -> None:
        """Answer a file, of unpublished versions, too: to an administrator alone."""
        (await self._context.require(req)).known.check_may_fetch_files()
        if not DIGEST.fullmatch(digest):
            raise Invalid(f"`{digest}` is not a digest: 64 hexadecimal digits in lower case")
        download = Download(digest, "application/octet-stream", digest, req.method)
        await answer_download(req, resp, self._context, download)
        resp.set_header("cache-control", "private, no-store")


def _asked(req: Request, subject: str) -> tuple[Chosen, int | None]:
    """Return which events are asked for, and how many at most.

    Raises:
        Invalid: a parameter that cannot be understood.
    """
    chosen = Chosen(
        after=req.get_param_as_int("after", min_value=0, max_value=2**62) or 0,
        subject=subject,
        since=req.get_param("since") or "",
        until=req.get_param("until") or "",
    )
    return chosen, req.get_param_as_int("limit", min_value=1, max_value=MAX_EVENTS)


async def _answer(resp: Response, pages: Iterator[list[Recorded]], limit: int) -> None:
    """Answer lines; the first page of them is read before there is a status.

    No thread is held for longer than a page takes, however few of its events are wanted.
    """
    first = await asyncio.to_thread(next, pages, None) or []
    resp.content_type = LINES
    resp.set_header("cache-control", "private, no-store")
    resp.stream = _pieces(first, pages, limit)


async def _pieces(
    page: list[Recorded] | None, pages: Iterator[list[Recorded]], limit: int
) -> AsyncIterator[bytes]:
    while page is not None and limit > 0:
        wanted = page[:limit]
        limit -= len(wanted)
        for begin in range(0, len(wanted), PIECE_EVENTS):
            yield await asyncio.to_thread(_lines, wanted[begin : begin + PIECE_EVENTS])
        page = await asyncio.to_thread(next, pages, None) if limit else None


def _lines(events: list[Recorded]) -> bytes:
    return b"".join(b"%b\n" % _encode(full_entry_of(recorded)) for recorded in events)


def add_routes(app: Mounts, context: Context) -> None:
    """Add the history below `/audit`."""
    packages = PackageHistory(context)
    app.add_route("/audit/events", Events(context))
    app.add_route("/audit/blobs/{digest}", Blobs(context))
    app.add_route("/audit/cargo/{name}", packages)
    app.add_route("/audit/npm/{name:path}", packages, suffix="npm")
