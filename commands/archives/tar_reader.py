"""Read a gzip-compressed tar strictly and as a stream, without ever holding a member in memory.

Clients unpack with readers of their own (node-tar, tar-rs, tar-stream, libarchive), and those
differ where an archive is odd. What two could see differently is refused here, so that what was
checked is what is unpacked; tests/client/test_archives_read_alike.py tries them. `tarfile` is not
used: it reads a pax header of any size whole and takes twice as long.
"""

import time
from collections.abc import Iterator
from typing import BinaryIO

from packledger.commands.archives.gzip_stream import GzipStream, damaged
from packledger.commands.archives.tar_extensions import FLAGS, Budget, Extensions
from packledger.commands.archives.tar_header import (
    BLOCK,
    KINDS,
    Header,
    Kind,
    path_text,
    read_header,
    shown,
)
from packledger.domain.errors import TooLarge

MAX_READ_BYTES = 1 << 20
MAX_SECONDS = 20.0
"""Of processor time of the thread for one archive: four times what the largest allowed one takes
(512 MiB in 100,000 members: 5 s)."""


class TarEntry:
    """One member; `read` works until the next member is asked for.

    fallback: the path in its own header, where it may be used: node-tar decodes a pax header in
    pieces, and drops a record if one ends inside a character. Empty otherwise.
    """

    __slots__ = ("_left", "_stream", "fallback", "kind", "path", "size")

    def __init__(self, path: str, fallback: str, kind: Kind, size: int, stream: GzipStream):
        self.path = path
        self.fallback = fallback
        self.kind = kind
        self.size = size
        self._left = size
        self._stream = stream

    def read(self, limit_bytes: int) -> bytes:
        """Return the next bytes of the member, at most `limit_bytes`, `b""` at its end."""
        data = self._stream.take(min(limit_bytes, self._left, MAX_READ_BYTES))
        self._left -= len(data)
        return data

    def finish(self) -> None:
        """Skip what was not read, and the padding."""
        self._stream.skip(self._left + -self.size % BLOCK)
        self._left = 0


def iter_tar_gz(
    file: BinaryIO,
    *,
    max_unpacked_bytes: int,
    max_entries: int = 100_000,
    max_seconds: float = MAX_SECONDS,
    allow_global_headers: bool = True,
) -> Iterator[TarEntry]:
    """Yield the members in order; each must be read before the next one is taken.

    `max_unpacked_bytes` bounds the whole tar stream, headers and padding included. Links and
    devices are yielded with their kind: refusing them is the caller's business, and so is looking
    at paths. A directory has no contents. Global headers: tar-rs unpacks them as files, so cargo
    fails on them; archives made by git have one.

    Raises:
        Invalid: not gzip, not tar, damaged, truncated, or readable in two ways.
        TooLarge: more bytes, members, header bytes or processor time than allowed.
    """
    stream = GzipStream(file, max_unpacked_bytes)
    until_s = time.thread_time() + max_seconds
    budget = Budget()
    extensions = Extensions(budget)
    count = 0
    while (header := _next_header(stream)) is not None:
        count += 1
        if count > max_entries:
            raise TooLarge(f"the archive has more than {max_entries} entries")
        if time.thread_time() > until_s:
            raise TooLarge(
                f"reading the archive took over {max_seconds:g} seconds of processor time; pack "
                "fewer files"
            )
        if header.flag == b"g" and not allow_global_headers:
            raise damaged("it has a pax global header")
        if header.flag in FLAGS:
            extensions.add(header, stream)
            continue
        entry = _entry(header, extensions.apply(header), stream)
        extensions = Extensions(budget)
        yield entry
        entry.finish()
    extensions.check_none()
    stream.end()


def _entry(plain: Header, header: Header, stream: GzipStream) -> TarEntry:
    path = path_text(header.path)
    kind = KINDS.get(header.flag, "other")
    if kind == "file" and path.endswith("/"):
        raise damaged(f"the file `{shown(path)}` has a directory's name")
    if kind == "dir" and header.size:
        raise damaged(f"the directory `{shown(path)}` has contents")
    unsure = header is not plain and not path.isascii()
    fallback = plain.path.decode(errors="replace") if unsure else ""
    return TarEntry(path, "" if fallback == path else fallback, kind, header.size, stream)


def _next_header(stream: GzipStream) -> Header | None:
    """Return the next header, `None` at the end mark or the end of the file."""
    block = stream.up_to(BLOCK)
    if not block or block.count(0) == BLOCK:
        return None
    if len(block) < BLOCK:
        raise damaged("it ends too early")
    return read_header(block)
