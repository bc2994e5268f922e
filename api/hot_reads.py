"""Answers what is in memory, documents and files, before gunicorn and Falcon make a request of it.

Most requests are reads of index files and packuments that did not change. Such a hit costs 55 µs
through gunicorn and Falcon, 12 of them theirs to read and write the socket. Here its head is put
together once and kept, and a connection of ours (`server/http/connection.py`) asks for it as soon
as its parser has understood the request. What is not an ordinary hit is answered by Falcon, and
nothing else differs, which a test compares. A registry that must look at every reader (`private`,
hooks) does without this: `create_app` decides.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from packledger.api.cargo.routes import INDEX_FILE
from packledger.api.context import Context
from packledger.api.downloads import PIECE_BYTES, download_at
from packledger.api.http.answers import FOREVER, REVALIDATE, accepts_gzip, has_etag
from packledger.api.http.middleware import RequestIds
from packledger.api.mounts import CARGO_AT, NPM_AT
from packledger.api.npm.reads import ABBREVIATED, FULL, VARY, wants_abbreviated
from packledger.api.npm.root import NpmRoot
from packledger.domain.cargo.names import index_path
from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs.store import Download
from packledger.projections.documents import Document

App = Callable[[Any, Any, Any], Awaitable[None]]
Kind = tuple[str, str]
"""Content type, and what the answer varies by."""

_INDEX, _NPM = f"{CARGO_AT}/index/", f"{NPM_AT}/"
_FULL, _ABBREVIATED = (FULL, VARY), (ABBREVIATED, VARY)
_NOT_ORDINARY = frozenset(
    (b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings")
)
"""Of a request with a body, or one that asks for another protocol."""
LARGEST_BYTES = 64 * 1024
"""Larger documents wait for a client to take them, which gunicorn knows how to do."""
KEPT = 10_000
"""Heads in memory, about 1 KB each; all are dropped when there are more."""


class Hit(NamedTuple):
    """An answer: its status line and headers, without `Date` and the empty line, and its body."""

    head: bytes
    body: bytes


class HotReads:
    """The application, and what may be asked before it."""

    def __init__(self, app: App, context: Context, ids: RequestIds, npm_root: NpmRoot) -> None:
        self._app, self._ids, self._npm_root = app, ids, npm_root or None
        self._context, self._index_files = context, context.index_files
        self._full, self._abbreviated = context.full_packuments, context.abbreviated_packuments
        # An embedding program may know a token that we do not, and is asked by Falcon's way.
        self._accepts = context.authenticator.accepts
        self._heads: dict[tuple[str, str, int, bool], bytes] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that is no hit."""
        await self._app(scope, receive, send)

    def answer(self, target: bytes, headers: list[tuple[bytes, bytes]]) -> Hit | None:
        """Return the answer to `GET target` of HTTP/1.1 if it is in memory, current and ordinary.

        headers: as the parser has read them, names in lower case. Never slow, so for the event
        loop.
        """
        asked = dict(headers)
        if len(asked) != len(headers) or not _is_ordinary(asked):
            return None
        if self._npm_root is not None and self._npm_root.is_host(asked.get(b"host")):
            return None
        given = asked.get(b"authorization")
        try:
            if given is not None and not self._accepts(given.decode("latin-1")):
                return None
            path = target.decode("ascii")
            found = self._document(path, asked)
            if found is not None:
                return self._hit(asked, *found)
            return self._file(path, asked)
        except (UnicodeDecodeError, Unavailable, sqlite3.Error):
            return None  # Falcon says it better

    def _document(self, path: str, asked: dict[bytes, bytes]) -> tuple[Document, Kind] | None:
        if path.startswith(_INDEX):
            key = path.rpartition("/")[2]
            document = self._index_files.cached(key)
            if document is None or path[len(_INDEX) :] != index_path(key):
                return None
            return document, INDEX_FILE
        if not path.startswith(_NPM):
            return None
        abbreviated = wants_abbreviated(asked.get(b"accept", b"").decode("latin-1"))
        # The only character that clients escape is the slash after a scope.
        name = path[len(_NPM) :].replace("%2f", "/").replace("%2F", "/")
        document = (self._abbreviated if abbreviated else self._full).cached(name)
        if document is None:
            return None
        return document, _ABBREVIATED if abbreviated else _FULL

    def _hit(self, asked: dict[bytes, bytes], document: Document, kind: Kind) -> Hit | None:
        wanted = asked.get(b"if-none-match")
        status, body, zipped = 200, document.body, False
        if wanted is not None and has_etag(wanted.decode("latin-1"), document.etag):
            status, body = 304, b""
        elif accepts_gzip(asked.get(b"accept-encoding", b"").decode("latin-1")):
            body, zipped = document.gzip, True
        if len(body) > LARGEST_BYTES:
            return None
        key = (document.etag, kind[0], status, zipped)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= KEPT:
                self._heads.clear()
            head = self._heads[key] = _head(document.etag, kind, status, zipped, len(body))
        return Hit(head + self._request_id(asked), body)

    def _request_id(self, asked: dict[bytes, bytes]) -> bytes:
        given = asked.get(b"x-request-id")
        identity = self._ids.of(given.decode("latin-1") if given else None)
        return b"x-request-id: %s\r\n" % identity.encode()

    def _file(self, path: str, asked: dict[bytes, bytes]) -> Hit | None:
        """Return the answer to who downloads a file that is in the kernel's memory."""
        context = self._context
        if b"range" in asked or b"if-none-match" in asked:
            return None
        wanted = download_at(context, path)
        if wanted is None:
            return None
        content = context.registry.blobs.at_hand(wanted.download.digest, PIECE_BYTES)
        if content is None:
            return None
        context.downloads.count(wanted.ecosystem, wanted.name)
        return Hit(_file_head(wanted.download, len(content)) + self._request_id(asked), content)


def _is_ordinary(asked: dict[bytes, bytes]) -> bool:
    """Return whether nothing in the headers asks for more than a document, kept alive."""
    names = asked.keys()
    if not _NOT_ORDINARY.isdisjoint(names) or asked.get(b"connection", b"keep-alive") not in {
        b"keep-alive",
        b"Keep-Alive",
    }:
        return False
    # Gunicorn drops names with an underscore, which a proxy could take for others, or refuses them.
    return b"_" not in b"".join(names)


def _file_head(download: Download, size_bytes: int) -> bytes:
    return (
        f'HTTP/1.1 200 OK\r\netag: "{download.digest}"\r\ncache-control: {FOREVER}\r\n'
        f"content-type: {download.content_type}\r\ncontent-length: {size_bytes}\r\n"
        "accept-ranges: bytes\r\nx-content-type-options: nosniff\r\n"
    ).encode()


def _head(etag: str, kind: Kind, status: int, zipped: bool, size_bytes: int) -> bytes:
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
    lines = ["HTTP/1.1 200 OK" if status == 200 else "HTTP/1.1 304 Not Modified"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in lines).encode()
