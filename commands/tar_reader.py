"""Read a gzip-compressed tar strictly and as a stream, without ever holding a member in memory.

Both clients unpack with other readers (npm with node-tar, cargo with tar-rs), and those differ
where an archive is odd: what follows the end mark, two path records, a directory with contents.
What two readers could see differently is refused here, so that what was checked is what is
unpacked. `tarfile` is not used: it reads a pax header of any size whole and takes twice as long.

Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar, pax),
https://www.gnu.org/software/tar/manual/html_node/Standard.html (GNU long names, base-256 sizes)
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Literal

from packledger.commands.gzip_stream import GzipStream, damaged
from packledger.domain.errors import Invalid, TooLarge

Kind = Literal["file", "dir", "symlink", "hardlink", "other"]

BLOCK = 512
MAX_META_BYTES = 1 << 20
"""One pax or long-name header: node-tar's own limit; the largest seen hold a few KiB of xattrs."""
MAX_PATH_BYTES = 1024
"""`PATH_MAX` of macOS, the smallest of the systems that unpack."""
_KINDS: dict[bytes, Kind] = {
    b"0": "file", b"\0": "file", b"7": "file", b"5": "dir", b"2": "symlink", b"1": "hardlink",
}  # fmt: skip
_DRIVE = re.compile(r"[A-Za-z]:")
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")


class TarEntry:
    """One member; `read` works until the next member is asked for."""

    __slots__ = ("_left", "_stream", "kind", "path", "size")

    def __init__(self, path: str, kind: Kind, size: int, stream: GzipStream) -> None:
        self.path = path
        self.kind = kind
        self.size = size
        self._left = size
        self._stream = stream

    def read(self, limit_bytes: int) -> bytes:
        """Return the next bytes of the member, at most `limit_bytes`, `b""` at its end."""
        data = self._stream.take(min(limit_bytes, self._left, MAX_META_BYTES))
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
    allow_global_headers: bool = True,
) -> Iterator[TarEntry]:
    """Yield the members in order; each must be read before the next one is taken.

    `max_unpacked_bytes` bounds the whole tar stream, headers and padding included. Links, devices
    and sparse files are yielded with their kind: refusing them is the caller's business, and so
    is looking at paths (`safe_parts`). A directory has no contents. Global headers: tar-rs unpacks
    them as files, so cargo fails on them; archives made by git have one.

    Raises:
        Invalid: not gzip, not tar, damaged, truncated, or readable in two ways.
        TooLarge: more bytes, members or header bytes than allowed.
    """
    stream = GzipStream(file, max_unpacked_bytes)
    meta = _Meta()
    count = 0
    while (block := _header(stream)) is not None:
        count += 1
        if count > max_entries:
            raise TooLarge(f"the archive has more than {max_entries} entries")
        if block[156:157] == b"g" and not allow_global_headers:
            raise damaged("it has a pax global header")
        if block[156:157] in b"xgLK":
            meta.add(block, stream)
            continue
        entry = meta.entry(block, stream)
        meta = _Meta()
        yield entry
        entry.finish()
    stream.end()


def safe_parts(path: str) -> list[str]:
    """Return a member's path components; empty ones and `.` are dropped after the first.

    Raises:
        Invalid: absolute, `..`, or a backslash or drive that Windows would read as one.
    """
    first, *rest = path.split("/")
    if not first or ".." in (first, *rest) or "\\" in path or _DRIVE.match(path):
        raise Invalid(
            f"the archive's path `{shown(path)}` is not a plain relative path; pack it again "
            "without `..`, a leading `/` and backslashes"
        )
    return [first, *(part for part in rest if part not in {"", "."})]


def shown(path: str) -> str:
    """Return a member's path as a sentence may show it: no control characters, 100 at most."""
    return "".join(char if char.isprintable() else "?" for char in path[:100])


class _Meta:
    """What pax and GNU headers say about the member that follows them."""

    def __init__(self) -> None:
        self.path: bytes | None = None
        self.size: int | None = None
        self.sparse = False
        self._seen = b""

    def add(self, block: bytes, stream: GzipStream) -> None:
        flag, size = block[156:157], _number(block[124:136])
        if size > MAX_META_BYTES:
            raise TooLarge(f"an extended header of the archive is over {MAX_META_BYTES} bytes")
        if flag in self._seen and flag != b"g":
            raise damaged("a member has two extended headers")
        self._seen += flag
        data = stream.take(size)
        stream.skip(-size % BLOCK)
        if flag == b"L":
            self._set_path(data.rstrip(b"\0"))
        elif flag == b"x":
            self._read_pax(_pax_records(data))
        elif flag == b"g" and any(map(_is_structural, _pax_records(data))):
            raise damaged("a global header sets paths or sizes")

    def entry(self, block: bytes, stream: GzipStream) -> TarEntry:
        path = _text(self.path if self.path is not None else _header_path(block))
        size = _number(block[124:136])
        if self.size not in {None, size}:
            raise damaged("a member has two sizes")
        kind = _KINDS.get(block[156:157], "other")
        if self.sparse:
            kind = "other"
        elif kind == "file" and path.endswith("/"):
            kind = "dir"
        if kind == "dir" and size:
            raise damaged(f"the directory `{shown(path)}` has contents")
        return TarEntry(path, kind, size, stream)

    def _read_pax(self, records: dict[bytes, bytes]) -> None:
        if b"path" in records:
            self._set_path(records[b"path"])
        if b"size" in records:
            self.size = int(records[b"size"])
        self.sparse = any(key.startswith(b"GNU.sparse.") for key in records)

    def _set_path(self, path: bytes) -> None:
        if self.path is not None:
            raise damaged("a member has two paths")
        self.path = path


def _is_structural(key: bytes) -> bool:
    return key in {b"path", b"size", b"linkpath"} or key.startswith(b"GNU.sparse.")


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """Return the `length key=value` records of a pax header."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        length = _PAX_RECORD.match(data, at)
        end = at + int(length[1]) if length else 0
        key, equals, value = data[length.end() : end].partition(b"=") if length else (b"", b"", b"")
        if not equals or end > len(data) or value[-1:] != b"\n" or key in records:
            raise damaged("a pax header cannot be read")
        if key == b"size" and not re.fullmatch(rb"[0-9]{1,20}\n", value):
            raise damaged("a pax header cannot be read")
        records[key] = value[:-1]
        at = end
    return records


def _header_path(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[257:265] == b"ustar\x0000":
        prefix = block[345:500].partition(b"\0")[0]
        return prefix + b"/" + name if prefix else name
    return name


def _text(path: bytes) -> str:
    if not path or b"\0" in path or len(path) > MAX_PATH_BYTES:
        raise damaged(f"a path is empty, over {MAX_PATH_BYTES} bytes or has a NUL in it")
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise damaged("a path is not UTF-8") from error


def _header(stream: GzipStream) -> bytes | None:
    """Return the next header, `None` at the end mark or the end of the file."""
    block = stream.up_to(BLOCK)
    if not block or block.count(0) == len(block):
        return None
    if len(block) < BLOCK:
        raise damaged("it ends too early")
    if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise damaged("a header's checksum is wrong")
    return block


def _number(field: bytes) -> int:
    """Return an octal field, or GNU's base-256 form of a large one."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.partition(b"\0")[0].strip(b" ")
    if text.strip(b"01234567"):
        raise damaged("a header holds a number that is not octal")
    return int(text, 8) if text else 0
