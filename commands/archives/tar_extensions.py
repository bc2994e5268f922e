"""What pax and GNU headers say about the member that follows them, where all readers agree.

node-tar and tar-rs find pax records by their lines, others by their lengths; node-tar drops what it
does not understand and goes on. So a record has to be one line that both find, of a short list.
Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (pax),
https://www.gnu.org/software/tar/manual/html_node/Standard.html (GNU long names)
"""

import re

from packledger.commands.archives.gzip_stream import GzipStream, damaged
from packledger.commands.archives.tar_header import BLOCK, Header, path_text, shown
from packledger.domain.errors import TooLarge

FLAGS = b"xgL"
"""GNU's long name of a link's target, `K`, is not here: links are refused."""
MAX_HEADER_BYTES = 64 << 10
"""One extended header; npm of 2015 wrote the whole package.json into each, up to some KiB."""
MAX_RECORDS = 1_000
"""In one pax header, likewise: real ones hold up to a hundred."""
MAX_TOTAL_BYTES = 64 << 20
"""All extended headers of an archive: 5 KiB for each of 13,000 members."""
MAX_TOTAL_RECORDS = 1_000_000
"""In all of them: a hundred for each of 10,000 members, which takes a second."""

_RECORD = re.compile(rb"([1-9][0-9]{0,4}) ([^=\x00-\x1f\x7f]+)=([^\x00-\x1f\x7f]*)\n")
_HARMLESS = re.compile(
    # libarchive refuses numbers that are none
    rb"(?:[acm]time|[ug]id|SCHILY\.(?:dev|ino|nlink))=-?[0-9]{1,18}(?:\.[0-9]{0,18})?"
    # of old npm, libarchive, star and GNU tar, with its attributes
    rb"|(?:[ug]name|comment|NODETAR\..+|LIBARCHIVE\.creationtime|RHT\.security\.selinux"
    rb"|(?:LIBARCHIVE|SCHILY)\.xattr\..+|SCHILY\.(?:fflags|acl\.[a-z]+))=.*"
)
_SIZE = re.compile(rb"0|[1-9][0-9]{0,14}")


class Budget:
    """What extended headers an archive may still have."""

    def __init__(self) -> None:
        self._left_bytes = MAX_TOTAL_BYTES
        self._left_records = MAX_TOTAL_RECORDS

    def spend(self, size_bytes: int) -> None:
        """Take a header from it.

        Raises:
            TooLarge: this header is too long, or all together are.
        """
        self._left_bytes -= size_bytes + BLOCK
        if size_bytes > MAX_HEADER_BYTES or self._left_bytes < 0:
            raise TooLarge(
                f"an extended header of the archive is over {MAX_HEADER_BYTES} bytes, or all "
                f"together are over {MAX_TOTAL_BYTES}; pack it again without extended attributes"
            )

    def spend_records(self, count: int) -> None:
        """Take the records of a pax header from it.

        Raises:
            TooLarge: this header has too many, or all together do.
        """
        self._left_records -= count
        if count > MAX_RECORDS or self._left_records < 0:
            raise TooLarge(
                f"a pax header of the archive has over {MAX_RECORDS} records, or all together have "
                f"over {MAX_TOTAL_RECORDS}; pack it again without extended attributes"
            )


class Extensions:
    """The extended headers before one member."""

    def __init__(self, budget: Budget) -> None:
        self._path: bytes | None = None
        self._size: int | None = None
        self._flag = b""
        self._budget = budget

    def add(self, header: Header, stream: GzipStream) -> None:
        """Read an extended header's contents.

        Raises:
            Invalid: readers could take it differently.
            TooLarge: over a limit.
        """
        self._budget.spend(header.size)
        if not header.size:
            raise damaged("an extended header is empty")
        data = stream.take(header.size)
        stream.skip(-header.size % BLOCK)
        if header.flag in b"xg":
            self._budget.spend_records(data.count(b"\n"))
        if self._flag:
            # of these pnpm forgets the first, even if the second is a global one
            raise damaged("a member has two extended headers")
        if header.flag == b"g":
            _check_global(data)
            return
        self._flag = header.flag
        if header.flag == b"L":
            self._path = _long_name(data)
        elif header.flag == b"x":
            self._read_pax(data)

    def apply(self, header: Header) -> Header:
        """Return the member's header with what was said about it.

        Raises:
            Invalid: it has another size.
        """
        if self._size not in {None, header.size}:
            raise damaged("a member has two sizes")
        return header if self._path is None else header._replace(path=self._path)

    def check_none(self) -> None:
        """Refuse extended headers at the archive's end, which have no member."""
        if self._flag:
            raise damaged("an extended header has no member")

    def _read_pax(self, data: bytes) -> None:
        for key, value in _records(data).items():
            if key == b"path":
                path_text(value)
                self._path = value
            elif key == b"size" and _SIZE.fullmatch(value):
                self._size = int(value)
            elif not _HARMLESS.fullmatch(key + b"=" + value):
                raise damaged(f"a pax header sets `{shown(key.decode(errors='replace'))}`")


def _check_global(data: bytes) -> None:
    """Refuse all but a comment, which is what git writes."""
    if _records(data).keys() - {b"comment"}:
        raise damaged("a global header sets more than a comment")


def _records(data: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        found = _RECORD.match(data, at)
        if found is None or int(found[1]) != found.end() - at or found[2] in records:
            raise damaged("a pax header cannot be read")
        records[found[2]] = found[3]
        at = found.end()
    return records


def _long_name(data: bytes) -> bytes:
    name = data.rstrip(b"\0")
    path_text(name)
    return name
