"""Documents as clients get them: assembled and compressed once per revision, kept in memory.

A document is looked at again only when its projection has moved on, and assembled again only when
its own revision changed. The ETag is weak and made from the uncompressed bytes, so it is the same
for every encoding, in every process and after every rebuild.
"""

import hashlib
import sqlite3
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable

import msgspec

from packledger.projections.model_reader import ModelReader

CACHE_BYTES = 24 * 1024 * 1024
"""For each of the three kinds in each web process, bodies and their gzip forms together."""
SMALL_BYTES = 1_000_000
"""Compressed well up to this size; above it for speed: level 6 takes 30 ms a megabyte."""


class Document(msgspec.Struct, frozen=True):
    """etag: quoted, weak. gzip: the body compressed."""

    etag: str
    body: bytes
    gzip: bytes


Revision = Hashable | None


def etag_of(body: bytes) -> str:
    """Return the ETag of uncompressed bytes."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def render(body: bytes, level: int = 0) -> Document:
    """Return the document of uncompressed bytes. level: of gzip, 0 for one that suits its size."""
    level = level or (6 if len(body) <= SMALL_BYTES else 3)
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return Document(etag_of(body), body, packer.compress(body) + packer.flush())


class _Kept:
    """A cached document, and the projection's state in which it was last known to be current."""

    __slots__ = ("document", "revision", "state")

    def __init__(self, document: Document, revision: Revision, state: tuple[int, int]) -> None:
        self.document, self.revision, self.state = document, revision, state


class Documents:
    """One kind of document of one projection."""

    def __init__(
        self,
        reader: ModelReader,
        revision_of: Callable[[sqlite3.Connection, str], Revision],
        assemble: Callable[[sqlite3.Connection, str], bytes | None],
    ) -> None:
        self._reader, self._revision_of, self._assemble = reader, revision_of, assemble
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()
        self._in_flight: dict[str, threading.Lock] = {}

    def cached(self, key: str) -> Document | None:
        """Return the current document if it is in memory; never slow, so for the event loop."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        state = self._reader.state()
        if kept.state == state:
            return kept.document
        if kept.state[0] != state[0] or self._revision_of(self._reader.db(), key) != kept.revision:
            return None
        kept.state = state
        return kept.document

    def load(self, key: str) -> Document | None:
        """Return the current document, assembled by one thread if need be; None if there is none.

        Raises:
            Unavailable: the projection has not been built yet.
        """
        with self._lock:
            flight = self._in_flight.setdefault(key, threading.Lock())
        try:
            with flight:
                return self.cached(key) or self._load(key)
        finally:
            with self._lock:
                self._in_flight.pop(key, None)

    def _load(self, key: str) -> Document | None:
        state = self._reader.state()
        db = self._reader.db()
        db.execute("BEGIN")
        try:
            revision = self._revision_of(db, key)
            body = None if revision is None else self._assemble(db, key)
        finally:
            db.execute("ROLLBACK")
        if body is None:
            return None
        document = render(body)
        self._keep(key, _Kept(document, revision, state))
        return document

    def _keep(self, key: str, kept: _Kept) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            self._size_bytes += _size(kept) - (_size(before) if before else 0)
            self._kept[key] = kept
            while self._size_bytes > CACHE_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._size_bytes -= _size(oldest)


def _size(kept: _Kept) -> int:
    return len(kept.document.body) + len(kept.document.gzip) + 500
