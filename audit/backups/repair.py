"""Fetch missing and damaged blobs again: from the files of a backup, or from another node.

Nothing is believed but the digest: whatever a source gives is checked before it is stored.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import msgspec

from packledger.domain.errors import NotFound
from packledger.eventstore.blobs.store import BlobStore, DamagedBlob

PIECE_BYTES = 1024 * 1024
TIMEOUT_S = 30.0
"""Of each step with another node, not of a whole file."""


class Repaired(msgspec.Struct, frozen=True):
    """A blob that was missing or damaged. why: what it still is for, empty when it is mended."""

    digest: str
    named_by: str
    why: str = ""


class NoSuchSource(Exception):
    """A sentence about why a source has no whole blob to give."""


class Source(Protocol):
    """Where blobs may be had."""

    def pieces(self, digest: str) -> Iterator[bytes]:
        """Yield a blob's bytes.

        Raises:
            NoSuchSource: it cannot be had here.
        """
        ...


class Folder:
    """A backup, or the data directory of another registry: files by their digest."""

    def __init__(self, folder: Path) -> None:
        roots = [folder / "blobs" / "sha256", folder / "sha256"]
        self._root = next((root for root in roots if root.is_dir()), None)
        if self._root is None:
            raise NotFound(
                f"there are no blobs in `{folder}`; name a backup or a data directory, where they "
                "are in `blobs/sha256`"
            )

    def pieces(self, digest: str) -> Iterator[bytes]:
        """Yield a blob's bytes."""
        assert self._root is not None
        try:
            with (self._root / digest[:2] / digest[2:]).open("rb") as file:
                yield from _pieces(file)
        except OSError as error:
            raise NoSuchSource(f"the backup does not have it: {error.strerror}") from error


class OtherNode:
    """Another node of this registry, or a copy of it. token: of an administrator there."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NotFound(f"`{url}` is neither a directory nor the URL of a node")
        self._host, self._port = parts.hostname, parts.port
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._path = parts.path.rstrip("/") + "/audit/blobs/"
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def pieces(self, digest: str) -> Iterator[bytes]:
        """Yield a blob's bytes; a redirect to a bucket is followed, without the token."""
        try:
            with closing(self._kind(self._host, self._port, timeout=TIMEOUT_S)) as connection:
                connection.request("GET", self._path + digest, headers=self._headers)
                response = connection.getresponse()
                if response.status == 302:
                    yield from _followed(response.headers["location"])
                else:
                    yield from _body(response)
        except (OSError, HTTPException) as error:
            said = str(error) or type(error).__name__
            raise NoSuchSource(f"the other node cannot be asked: {said}") from error


def _followed(url: str) -> Iterator[bytes]:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}")
        yield from _body(connection.getresponse())


def _body(response: HTTPResponse) -> Iterator[bytes]:
    if response.status != 200:
        said = response.read(300).decode(errors="replace").strip()
        raise NoSuchSource(f"the other node answered {response.status}: {said}")
    yield from _pieces(response)


def _pieces(file: BinaryIO | HTTPResponse) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def repair(
    damaged: Iterable[tuple[str, str]],
    source: Source,
    blobs: BlobStore,
    found: Callable[[Repaired], None],
) -> None:
    """Restore blobs, given as (digest, what needs it), one after the other.

    Raises:
        Unavailable: the store cannot be written.
    """
    for digest, named_by in damaged:
        why = ""
        try:
            blobs.restore(digest, source.pieces(digest))
        except NoSuchSource as error:
            why = str(error)
        except DamagedBlob:
            why = "what the source has is damaged, too"
        found(Repaired(digest, named_by, why))


def source_of(place: str, token: str) -> Source:
    """Return the source at a directory or a URL.

    Raises:
        NotFound: there is none.
    """
    if place.startswith(("http://", "https://")):
        return OtherNode(place, token)
    return Folder(Path(place))
