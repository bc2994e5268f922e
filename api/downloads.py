"""Published files, to cargo and npm: the bytes that were uploaded, or the way to them."""

from collections.abc import Callable
from functools import partial
from typing import BinaryIO, NamedTuple

import falcon
import falcon.asgi

from packledger.api.context import Context
from packledger.api.http.answers import FOREVER, has_etag
from packledger.api.http.ranges import Part, Range, range_of
from packledger.api.mounts import CARGO_AT, NPM_AT
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import VersionPurged
from packledger.domain.npm.names import version_of_tarball
from packledger.eventstore.blobs.store import BlobStore, Download
from packledger.projections.packuments.reads import Tarball, tarball_of
from packledger.projections.sparse_index.fold import CrateFile, crate_file_of

PIECE_BYTES = 1024 * 1024
"""Most files are one piece. Each that is not at hand changes threads, which costs 190 µs; all of
nginx's work to send 1 MB takes 270."""
CRATE_TYPE, TARBALL_TYPE = "application/gzip", "application/octet-stream"
_CRATES, _NPM = f"{CARGO_AT}/crates/", f"{NPM_AT}/"
REDIRECT = "no-store"
"""For the way to a file: it holds for minutes."""


class Wanted(NamedTuple):
    """A published file that is asked for. name: of its package, as it was published.

    purged: why its bytes are gone, empty while they are there.
    """

    ecosystem: str
    name: str
    version: str
    purged: str
    download: Download


def wanted_crate(found: CrateFile | None, method: str = "GET") -> Wanted | None:
    """Return a `.crate` as it is downloaded; None for none."""
    if found is None:
        return None
    filename = f"{found.name}-{found.version}.crate"
    download = Download(found.cksum, CRATE_TYPE, filename, method)
    return Wanted(CARGO, found.name, found.version, found.purged, download)


def wanted_tarball(
    find: Callable[[str], Tarball | None], name: str, filename: str, method: str = "GET"
) -> Wanted | None:
    """Return the tarball of a package under a file name; None for none. find: by the version."""
    version = version_of_tarball(name, filename)
    found = find(version) if version else None
    if version is None or found is None:
        return None
    download = Download(found.digest, TARBALL_TYPE, filename, method)
    return Wanted(NPM, name, version, found.purged, download)


def download_at(context: Context, path: str) -> Wanted | None:
    """Return what `GET path` downloads, None if Falcon must say more than that.

    Raises:
        Unavailable: the read model is being built for the first time.
    """
    if path.startswith(_CRATES):
        wanted = _crate_at(context, path[len(_CRATES) :])
    elif path.startswith(_NPM):
        wanted = _tarball_at(context, path[len(_NPM) :])
    else:
        return None
    return None if wanted is None or wanted.purged else wanted


def _crate_at(context: Context, path: str) -> Wanted | None:
    parts = path.split("/")
    if len(parts) != 3 or parts[2] != "download":
        return None
    return wanted_crate(crate_file_of(context.sparse_index.db(), parts[0], parts[1]))


def _tarball_at(context: Context, path: str) -> Wanted | None:
    escaped, dash, filename = path.partition("/-/")
    if not dash:
        return None
    # The only character that clients escape is the slash after a scope.
    name = escaped.replace("%2f", "/").replace("%2F", "/")
    return wanted_tarball(partial(tarball_of, context.packuments.db(), name), name, filename)


async def answer_file(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, context: Context, wanted: Wanted
) -> bool:
    """Answer with a published file as `answer_download` does, to who may read its package.

    Raises:
        VersionPurged: its bytes are gone, and why.
    """
    if wanted.purged:
        raise VersionPurged(wanted.name, wanted.version, wanted.purged)
    return await answer_download(req, resp, context, wanted.download)


class _Begun(NamedTuple):
    """A part of a file of which the first piece was read. rest: None where that is all."""

    part: Part
    start: bytes = b""
    rest: BinaryIO | None = None


async def answer_download(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, context: Context, download: Download
) -> bool:
    """Answer with a file, or with the part of it that is asked for, without any content encoding.

    Never held whole in memory. Return whether a download begins: not where the client has it
    already, and not where it goes on with one.

    Raises:
        HTTPRangeNotSatisfiable: there is nothing of the range.
        Unavailable: the blob store cannot give the first bytes. When it is later that it cannot,
            the connection ends early.
    """
    etag = f'"{download.digest}"'
    wanted = req.get_header("if-none-match")
    if wanted is not None and has_etag(wanted, etag):
        resp.status = 304
        resp.set_headers({"cache-control": FOREVER, "etag": etag})
        return False
    asked = None
    if download.method == "GET":
        asked = range_of(req.get_header("range"), req.get_header("if-range"), etag)
    begun = _at_hand(context.registry.blobs, download, asked)
    if begun is None:
        begun = await context.fetch(partial(_begin, context.registry.blobs, download, asked))
    begins = download.method == "GET" and (asked is None or asked.begins)
    if isinstance(begun, str):
        resp.status = 302
        resp.set_headers({"location": begun, "cache-control": REDIRECT})
        return begins
    resp.content_type = download.content_type
    resp.set_headers({"cache-control": FOREVER, "etag": etag, "accept-ranges": "bytes"})
    resp.content_length = begun.part.size_bytes
    if asked is not None:
        resp.status = 206
        resp.set_header("content-range", begun.part.content_range)
    if begun.rest is None:
        resp.data = begun.start
    else:
        resp.stream = _Pieces(context, begun.start, begun.rest, begun.part.size_bytes)
    return begins


def _part(asked: Range | None, size_bytes: int) -> Part:
    part = Part(0, size_bytes, size_bytes) if asked is None else asked.of(size_bytes)
    if part is None:
        raise falcon.HTTPRangeNotSatisfiable(
            size_bytes, description=f"the file has {size_bytes} bytes, none in the range"
        )
    return part


def _at_hand(blobs: BlobStore, download: Download, asked: Range | None) -> str | _Begun | None:
    content = blobs.at_hand(download.digest, PIECE_BYTES) if download.method != "HEAD" else None
    if content is None:
        return None
    part = _part(asked, len(content))
    return _Begun(part, content[part.first : part.first + part.size_bytes])


def _begin(blobs: BlobStore, download: Download, asked: Range | None) -> str | _Begun:
    """Return a URL, or a file with its first piece; one change of threads for both."""
    link = blobs.link(download)
    if link is not None:
        return link
    if download.method == "HEAD":
        return _Begun(_part(None, blobs.size_bytes(download.digest)))
    if asked is None:
        file, size_bytes = blobs.open_sized(download.digest)
        part = _part(None, size_bytes)
    else:
        part = _part(asked, blobs.size_bytes(download.digest))
        file = blobs.open_part(download.digest, part.first, part.size_bytes)
    try:
        start = file.read(min(PIECE_BYTES, part.size_bytes))
    except BaseException:
        file.close()
        raise
    if len(start) < part.size_bytes:
        return _Begun(part, start, file)
    file.close()
    return _Begun(part, start)


class _Pieces:
    """What is left of a part, for Falcon, which closes it whatever happens."""

    def __init__(self, context: Context, start: bytes, rest: BinaryIO, size_bytes: int) -> None:
        self._context, self._start, self._rest = context, start, rest
        self._left_bytes = size_bytes

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        piece, self._start = self._start, b""
        if not piece and self._left_bytes:
            wanted = min(PIECE_BYTES, self._left_bytes)
            piece = await self._context.fetch(partial(self._rest.read, wanted))
        if not piece:
            raise StopAsyncIteration
        self._left_bytes -= len(piece)
        return piece

    async def close(self) -> None:
        """Close the file, in a thread: one may still read it for a client that went away."""
        self._context.files.submit(self._rest.close)
