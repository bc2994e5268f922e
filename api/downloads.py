"""Published files, to cargo and npm: the bytes that were uploaded, or the way to them."""

from functools import partial
from typing import BinaryIO, NamedTuple

import falcon.asgi

from packledger.api.answers import FOREVER
from packledger.api.context import Context
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.npm_names import version_of_tarball
from packledger.eventstore.blobs import BlobStore, Download
from packledger.projections.packument_reads import tarball_of
from packledger.projections.sparse_index import crate_file_of

PIECE_BYTES = 1024 * 1024
"""Most files are one piece. Each that is not at hand changes threads, which costs 190 µs; all of
nginx's work to send 1 MB takes 270."""
CRATE_TYPE, TARBALL_TYPE = "application/gzip", "application/octet-stream"
_CRATES, _NPM = "/cargo/crates/", "/npm/"
REDIRECT = "no-store"
"""For the way to a file: it holds for minutes."""


class Wanted(NamedTuple):
    """What is downloaded; name: of its package, as it was published."""

    ecosystem: str
    name: str
    download: Download


def download_at(context: Context, path: str) -> Wanted | None:
    """Return what `GET path` downloads, None if Falcon must say more than that.

    Raises:
        Unavailable: the read model is being built for the first time.
    """
    if path.startswith(_CRATES):
        return _crate_at(context, path[len(_CRATES) :])
    return _tarball_at(context, path[len(_NPM) :]) if path.startswith(_NPM) else None


def _crate_at(context: Context, path: str) -> Wanted | None:
    parts = path.split("/")
    if len(parts) != 3 or parts[2] != "download":
        return None
    found = crate_file_of(context.sparse_index.db(), parts[0], parts[1])
    if found is None or found.purged:
        return None
    filename = f"{found.name}-{found.version}.crate"
    return Wanted(CARGO, found.name, Download(found.cksum, CRATE_TYPE, filename, "GET"))


def _tarball_at(context: Context, path: str) -> Wanted | None:
    escaped, dash, filename = path.partition("/-/")
    # The only character that clients escape is the slash after a scope.
    name = escaped.replace("%2f", "/").replace("%2F", "/")
    version = version_of_tarball(name, filename) if dash else None
    found = tarball_of(context.packuments.db(), name, version) if version else None
    if found is None or found.purged:
        return None
    return Wanted(NPM, name, Download(found.digest, TARBALL_TYPE, filename, "GET"))


class _Begun(NamedTuple):
    """A file of which the first piece was read. rest: None where that is all."""

    size_bytes: int
    start: bytes = b""
    rest: BinaryIO | None = None


async def answer_download(resp: falcon.asgi.Response, context: Context, download: Download) -> None:
    """Answer with a file, never held whole in memory and without any content encoding.

    Raises:
        Unavailable: the blob store cannot give the first bytes. When it is later that it cannot,
            the connection ends early.
    """
    begun = _at_hand(context.registry.blobs, download)
    if begun is None:
        begun = await context.fetch(partial(_begin, context.registry.blobs, download))
    if isinstance(begun, str):
        resp.status = 302
        resp.set_headers({"location": begun, "cache-control": REDIRECT})
        return
    resp.content_type = download.content_type
    resp.set_headers({"cache-control": FOREVER, "etag": f'"{download.digest}"'})
    resp.content_length = begun.size_bytes
    if begun.rest is None:
        resp.data = begun.start
    else:
        resp.stream = _Pieces(context, begun.start, begun.rest)


def _at_hand(blobs: BlobStore, download: Download) -> str | _Begun | None:
    content = blobs.at_hand(download.digest, PIECE_BYTES) if download.method != "HEAD" else None
    return None if content is None else _Begun(len(content), content)


def _begin(blobs: BlobStore, download: Download) -> str | _Begun:
    """Return a URL, or a file with its first piece; one change of threads for both."""
    link = blobs.link(download)
    if link is not None:
        return link
    if download.method == "HEAD":
        return _Begun(blobs.size_bytes(download.digest))
    file, size_bytes = blobs.open_sized(download.digest)
    try:
        start = file.read(PIECE_BYTES)
    except BaseException:
        file.close()
        raise
    if len(start) < size_bytes:
        return _Begun(size_bytes, start, file)
    file.close()
    return _Begun(size_bytes, start)


class _Pieces:
    """What is left of a file, for Falcon, which closes it whatever happens."""

    def __init__(self, context: Context, start: bytes, rest: BinaryIO) -> None:
        self._context, self._start, self._rest = context, start, rest

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        piece, self._start = self._start, b""
        if not piece:
            piece = await self._context.fetch(partial(self._rest.read, PIECE_BYTES))
        if not piece:
            raise StopAsyncIteration
        return piece

    async def close(self) -> None:
        """Close the file, in a thread: one may still read it for a client that went away."""
        self._context.files.submit(self._rest.close)
