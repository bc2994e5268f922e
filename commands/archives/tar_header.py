"""One header of a tar, accepted only where every client's reader sees the same in it.

What a lenient reader overlooks, another takes for a reason to skip the member, and to look for
headers in its contents: a link's name on a file, a number that is none, bytes after a name's end.
Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar),
https://www.gnu.org/software/tar/manual/html_node/Standard.html (GNU's headers, base-256)
"""

import re
from typing import Literal, NamedTuple

from packledger.commands.archives.gzip_stream import damaged
from packledger.domain.errors import Invalid

Kind = Literal["file", "dir", "symlink", "hardlink", "other"]

BLOCK = 512
MAX_PATH_BYTES = 1024
"""`PATH_MAX` of macOS, the smallest of the systems that unpack."""
MAX_PART_BYTES = 255
"""`NAME_MAX` of them all."""
KINDS: dict[bytes, Kind] = {
    b"0": "file", b"\0": "file", b"5": "dir", b"2": "symlink", b"1": "hardlink",
}  # fmt: skip
"""Contiguous files (`7`) are not here: some readers make a file of one, some skip it."""

_POSIX, _GNU, _OLD = b"ustar\x0000", b"ustar  \0", bytes(8)
_NAME = re.compile(rb"([^\0]*)\0*")
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_OCTAL_OR_BLANK = re.compile(rb" *[0-7]*[ \0]*")
# to the end of the field, as node-tar reads on into the next one
_CHECKSUM = re.compile(rb" *([0-7]{1,7})[ \0]+")
# A number of up to 48 bits or its complement; node-tar skips members with larger ones. It uses the
# form where an account's number is large, as Active Directory's are, or a time before 1970.
_BASE_256 = re.compile(rb"\x80\0*[^\0]{0,6}|\x80\0*.{0,6}|\xff+.{0,6}", re.DOTALL)
_MODE, _SIZE, _SUM = (100, 108), (124, 136), (148, 156)
# where node-tar writes times, as it did for all of `@types`, the prefix is shorter
_TIMES, _PREFIX_BEFORE_TIMES = ((476, 488), (488, 500)), 131
_OTHER_NUMBERS = ((108, 116), (116, 124), (136, 148), (329, 337), (337, 345))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Header(NamedTuple):
    """What a header says. flag: its type's byte; path: as in the header, before any extension."""

    flag: bytes
    path: bytes
    size: int


def read_header(block: bytes) -> Header:
    """Return what a block of 512 bytes says.

    Raises:
        Invalid: no header, damaged, or not read alike by all.
    """
    total = _CHECKSUM.fullmatch(block, *_SUM)
    if total is None or int(total[1], 8) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise damaged("a header's checksum is wrong")
    size = _OCTAL.fullmatch(block, *_SIZE)
    if size is None or _OCTAL.fullmatch(block, *_MODE) is None:
        raise damaged("a header's size or mode is not a plain octal number")
    for at, end in _OTHER_NUMBERS:
        if not _OCTAL_OR_BLANK.fullmatch(block, at, end) and not _BASE_256.fullmatch(
            block, at, end
        ):
            raise damaged("a header holds something that is no number")
    flag = block[156:157]
    if flag not in b"12" and block[157:257].count(0) < 100:
        raise damaged("a member that is no link names something that it links to")
    return Header(flag, _path(block), int(size[1], 8))


def path_text(path: bytes) -> str:
    """Return a path as a text.

    Raises:
        Invalid: empty, too long, not UTF-8 or with a control character, which ends it for some.
    """
    if not path or len(path) > MAX_PATH_BYTES:
        raise damaged(f"a path is empty or over {MAX_PATH_BYTES} bytes")
    if len(path) > MAX_PART_BYTES and max(map(len, path.split(b"/"))) > MAX_PART_BYTES:
        raise damaged(f"a part of a path is over {MAX_PART_BYTES} bytes")
    try:
        text = path.decode()
    except UnicodeDecodeError as error:
        raise damaged("a path is not UTF-8") from error
    if _CONTROL.search(text) is not None:
        raise Invalid(
            f"the archive's path `{shown(text)}` has a control character; rename the file"
        )
    return text


def shown(path: str) -> str:
    """Return a member's path as a sentence may show it: no control characters, 100 at most."""
    return "".join(char if char.isprintable() else "?" for char in path[:100])


def _path(block: bytes) -> bytes:
    magic = block[257:265]
    prefix_field = block[345:500] if magic == _POSIX else b""
    if block[475:476] == b"\0" and all(_OCTAL_OR_BLANK.fullmatch(block, *at) for at in _TIMES):
        prefix_field = prefix_field[:_PREFIX_BEFORE_TIMES]
    name, prefix = _NAME.fullmatch(block, 0, 100), _NAME.fullmatch(prefix_field)
    if name is None or prefix is None:
        raise damaged("bytes follow the end of a name in a header")
    if magic not in {_POSIX, _GNU, _OLD}:
        raise damaged("a header is of no known form of tar")
    blank = block[500:] if magic == _POSIX else block[345:]
    if blank.count(0) < len(blank):
        raise damaged("a header has bytes where its form has none")
    return prefix[1] + b"/" + name[1] if prefix[1] else name[1]
