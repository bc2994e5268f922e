"""Answers what is in memory, documents and files, before gunicorn and Falcon make a request of it.

Most requests are reads of index files and packuments that did not change. Such a hit costs 55 µs
through gunicorn and Falcon, 12 of them theirs to read and write the socket. Here its head is put
together once and kept, and what its headers ask for is made out once for all requests that repeat
them (`server/http/hits.py`). What is not an ordinary hit is answered by Falcon, and nothing else
differs, which a test compares. A registry that must look at every reader (`private`, hooks) does
without this: `create_app` decides.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from packledger.api.cargo.routes import INDEX_FILE
from packledger.api.context import Context
from packledger.api.downloads import PIECE_BYTES, download_at
from packledger.api.http.answers import FOREVER, REVALIDATE, accepts_gzip, etags_in, is_among
from packledger.api.http.middleware import RequestIds
from packledger.api.mounts import CARGO_AT, NPM_AT
from packledger.api.npm.reads import ABBREVIATED, FULL, VARY, wants_abbreviated
from packledger.api.npm.root import NpmRoot
from packledger.domain.cargo.names import index_path
from packledger.domain.errors import NotAuthenticated, Unavailable
from packledger.eventstore.blobs.store import Download
from packledger.projections.documents import Document, Documents

App = Callable[[Any, Any, Any], Awaitable[None]]
Hit = tuple[bytes, bytes]
"""An answer: its status line and headers, without `Date` and the empty line, and its body."""
Kind = tuple[str, str]
"""Content type, and what the answer varies by."""

_INDEX, _NPM = f"{CARGO_AT}/index/", f"{NPM_AT}/"
_FULL, _ABBREVIATED = (FULL, VARY), (ABBREVIATED, VARY)
_NOT_ORDINARY = frozenset(
    (b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings")
)
"""Of a request with a body, or one that asks for another protocol."""
_NONE: frozenset[str] = frozenset()
LARGEST_BYTES = 64 * 1024
"""Larger documents wait for a client to take them, which gunicorn knows how to do."""
KEPT = 10_000
"""Heads in memory, about 1 KB each; all are dropped when there are more."""


class Asked(msgspec.Struct, frozen=True):
    """What the headers of an ordinary GET ask for, whatever its target; it follows from them alone.

    token: its digest, None without one. etags: which the client has. named: its name for the
    request, behind ours. whole: a file is wanted from its first byte to its last, whatever the
    client has.
    """

    token: str | None
    abbreviated: bool
    zipped: bool
    etags: frozenset[str]
    named: bytes
    whole: bool


class Place(msgspec.Struct, frozen=True):
    """What is at a path, whoever asks; it follows from the path alone.

    documents, abbreviated: where to look for `key`, with what they are served as; None where the
    path is no document's. The two differ for npm alone.
    """

    path: str
    key: str
    documents: tuple[Documents, Kind] | None
    abbreviated: tuple[Documents, Kind] | None


class HotReads:
    """The application, and what may be asked before it."""

    def __init__(self, app: App, context: Context, ids: RequestIds, npm_root: NpmRoot) -> None:
        self._app, self._ids, self._npm_root = app, ids, npm_root or None
        self._context, self._index_files = context, context.index_files
        self._full, self._abbreviated = context.full_packuments, context.abbreviated_packuments
        self._authenticator = context.authenticator
        self._heads: dict[tuple[str, str, int, bool], bytes] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that is no hit."""
        await self._app(scope, receive, send)

    def asked(self, headers: list[tuple[bytes, bytes]]) -> Asked | None:
        """Return what the headers of a GET ask for, None if that is not ordinary.

        headers: names in lower case. Of a request of HTTP/1.1 without a body, after which the
        connection stays.
        """
        said = dict(headers)
        if len(said) != len(headers) or not _is_ordinary(said):
            return None
        if self._npm_root is not None and self._npm_root.is_host(said.get(b"host")):
            return None
        try:
            token = self._token(said.get(b"authorization"))
        except NotAuthenticated:
            return None  # Falcon says it better
        etags, named = said.get(b"if-none-match"), said.get(b"x-request-id")
        return Asked(
            token=token,
            abbreviated=wants_abbreviated(said.get(b"accept", b"").decode("latin-1")),
            zipped=accepts_gzip(said.get(b"accept-encoding", b"").decode("latin-1")),
            etags=_NONE if etags is None else etags_in(etags.decode("latin-1")),
            named=b"" if named is None else self._ids.behind(named.decode("latin-1")).encode(),
            whole=etags is None and b"range" not in said,
        )

    def _token(self, header: bytes | None) -> str | None:
        if header is None:
            return None
        return self._authenticator.token_digest(header.decode("latin-1"))

    def place(self, target: bytes) -> Place:
        """Return what is at a target. target: of printable ASCII."""
        path = target.decode("ascii")
        if path.startswith(_INDEX):
            key = path.rpartition("/")[2]
            here = (self._index_files, INDEX_FILE) if path == _INDEX + index_path(key) else None
            return Place(path, key, here, here)
        if path.startswith(_NPM):
            # The only character that clients escape is the slash after a scope.
            name = path[len(_NPM) :].replace("%2f", "/").replace("%2F", "/")
            return Place(path, name, (self._full, _FULL), (self._abbreviated, _ABBREVIATED))
        return Place(path, "", None, None)

    def answer(self, place: Place, asked: Asked) -> Hit | None:
        """Return the answer to a GET if it is in memory and current; for the event loop."""
        try:
            if asked.token is not None and not self._authenticator.accepts(asked.token):
                return None
            here = place.abbreviated if asked.abbreviated else place.documents
            if here is not None:
                document = here[0].cached(place.key)
                if document is not None:
                    return self._hit(asked, document, here[1])
            return self._file(place.path, asked) if asked.whole else None
        except (Unavailable, sqlite3.Error):
            return None  # Falcon says it better

    def _hit(self, asked: Asked, document: Document, kind: Kind) -> Hit | None:
        status, body, zipped = 200, document.body, False
        if asked.etags and is_among(document.etag, asked.etags):
            status, body = 304, b""
        elif asked.zipped:
            body, zipped = document.gzip, True
        if len(body) > LARGEST_BYTES:
            return None
        key = (document.etag, kind[0], status, zipped)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= KEPT:
                self._heads.clear()
            head = self._heads[key] = _head(document.etag, kind, status, zipped, len(body))
        return head + self._ids.line(asked.named), body

    def _file(self, path: str, asked: Asked) -> Hit | None:
        """Return the answer to who downloads a file that is in the kernel's memory."""
        context = self._context
        wanted = download_at(context, path)
        if wanted is None:
            return None
        content = context.registry.blobs.at_hand(wanted.download.digest, PIECE_BYTES)
        if content is None:
            return None
        context.downloads.count(wanted.ecosystem, wanted.name)
        head = _file_head(wanted.download, len(content))
        return head + self._ids.line(asked.named), content


def _is_ordinary(said: dict[bytes, bytes]) -> bool:
    """Return whether nothing in the headers asks for more than a document, kept alive."""
    names = said.keys()
    if not _NOT_ORDINARY.isdisjoint(names) or said.get(b"connection", b"keep-alive") not in {
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
