"""Answers documents that are in memory before Falcon sees the request.

Most requests are reads of index files and packuments that did not change. Through Falcon such a hit
costs 14 µs beside the server's own 37, here 6; nothing else differs, which a test compares. What is
not an ordinary hit goes on to Falcon. A registry that must look at every reader (`private`, hooks)
does without this: `create_app` decides.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from packledger.api.answers import REVALIDATE, accepts_gzip, has_etag
from packledger.api.cargo import INDEX_FILE
from packledger.api.context import Context
from packledger.api.middleware import RequestIds
from packledger.api.npm_reads import ABBREVIATED, FULL, VARY, wants_abbreviated
from packledger.domain.crate_names import index_path
from packledger.projections.documents import Document

Scope = Any
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
Kind = tuple[str, str]
"""Content type, and what the answer varies by."""

_INDEX, _NPM = "/cargo/index/", "/npm/"
_FULL, _ABBREVIATED = (FULL, VARY), (ABBREVIATED, VARY)
KEPT = 10_000
"""Lists of headers in memory, about 1 KB each; all are dropped when there are more."""


class HotReads:
    """An ASGI application before another."""

    def __init__(self, app: App, context: Context, ids: RequestIds) -> None:
        self._app, self._ids = app, ids
        self._index_files = context.index_files
        self._full, self._abbreviated = context.full_packuments, context.abbreviated_packuments
        self._kept: dict[tuple[str, str, int, bool], list[tuple[bytes, bytes]]] = {}

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer a hit, else hand the request on."""
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            asked = dict(scope["headers"])
            # A header that is repeated is a list, which Falcon puts together.
            hit = self._hit(scope["path"], asked) if len(asked) == len(scope["headers"]) else None
            if hit is not None:
                await self._answer(asked, send, *hit)
                return
        await self._app(scope, receive, send)

    def _hit(self, path: str, asked: dict[bytes, bytes]) -> tuple[Document, Kind] | None:
        """Return the document that a path names, if it is in memory and current."""
        if path.startswith(_INDEX):
            key = path.rpartition("/")[2]
            document = self._index_files.cached(key)
            if document is None or path[len(_INDEX) :] != index_path(key):
                return None
            return document, INDEX_FILE
        if not path.startswith(_NPM):
            return None
        abbreviated = wants_abbreviated(asked.get(b"accept", b"").decode("latin-1"))
        document = (self._abbreviated if abbreviated else self._full).cached(path[len(_NPM) :])
        if document is None:
            return None
        return document, _ABBREVIATED if abbreviated else _FULL

    async def _answer(
        self, asked: dict[bytes, bytes], send: Send, document: Document, kind: Kind
    ) -> None:
        wanted = asked.get(b"if-none-match")
        status, body, zipped = 200, document.body, False
        if wanted is not None and has_etag(wanted.decode("latin-1"), document.etag):
            status, body = 304, b""
        elif accepts_gzip(asked.get(b"accept-encoding", b"").decode("latin-1")):
            body, zipped = document.gzip, True
        key = (document.etag, kind[0], status, zipped)
        headers = self._kept.get(key)
        if headers is None:
            headers = self._keep(key, _headers(document.etag, kind, status, zipped, len(body)))
        given = asked.get(b"x-request-id")
        identity = self._ids.of(given.decode("latin-1") if given else None).encode()
        headers = [*headers, (b"x-request-id", identity)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _keep(
        self, key: tuple[str, str, int, bool], headers: list[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = headers
        return headers


def _headers(
    etag: str, kind: Kind, status: int, zipped: bool, size_bytes: int
) -> list[tuple[bytes, bytes]]:
    headers = {
        "etag": etag,
        "cache-control": REVALIDATE,
        "vary": kind[1],
        "x-content-type-options": "nosniff",
        "content-type": kind[0],
    }
    if status == 200:
        headers["content-length"] = str(size_bytes)
    if zipped:
        headers["content-encoding"] = "gzip"
    return [(name.encode(), value.encode()) for name, value in headers.items()]
