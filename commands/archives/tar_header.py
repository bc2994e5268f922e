"""One header of a tar, accepted only where every client's reader sees the same in it.

What a lenient reader overlooks, another takes for a reason to skip the member, and to look for
headers in its contents: a link's name on a file, a number that is none, bytes after a name's end.
Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar),
https://www.gnu.org/software/tar/manual/html_node/Standard.html (GNU's headers, base-256)
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple
from zlib import adler32

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
_NO_LINK = bytes(100)
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_OCTAL_OR_BLANK = re.compile(rb" *[0-7]*[ \0]*")
# to the end of the field, as node-tar reads on into the next one
_CHECKSUM = re.compile(rb" *([0-7]{1,7})[ \0]+")
# A number of up to 48 bits or its complement; node-tar skips members with larger ones. It uses the
# form where an account's number is large, as Active Directory's are, or a time before 1970.
_BASE_256 = re.compile(rb"\x80\0*[^\0]{0,6}|\x80\0*.{0,6}|\xff+.{0,6}", re.DOTALL)
_MODE, _SIZE, _SUM = (100, 108), (124, 136), (148, 156)
# where node-tar writes times, as it did for all of `@types`, the prefix is shorter
_TIMES, _PREFIX_BEFORE_TIMES = ((219, 231), (231, 243)), 131
_OWNERS, _TIME, _DEVICES = (slice(108, 124), 8), (slice(136, 148), 12), (slice(329, 345), 8)
"""Other numbers: where they are, and how many bytes each one has."""
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
    if total is None or int(total[1], 8) != _sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise damaged("a header's checksum is wrong")
    size = _OCTAL.fullmatch(block, *_SIZE)
    if size is None or _OCTAL.fullmatch(block, *_MODE) is None:
        raise damaged("a header's size or mode is not a plain octal number")
    for where, width in (_OWNERS, _TIME, _DEVICES):
        if not _are_numbers(block[where], width):
            raise damaged("a header holds something that is no number")
    flag = block[156:157]
    if block[157:257] != _NO_LINK and flag not in b"12":
        raise damaged("a member that is no link names something that it links to")
    return Header(flag, _path(block), int(size[1], 8))


def _sum(block: bytes) -> int:
    """Return the sum of the bytes of a block, in a tenth of the time that `sum` takes.

    The lower half of an Adler-32 is 1 more than the sum modulo 65,521; that of 256 bytes is less.
    """
    return (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2


@lru_cache(maxsize=1_000)
def _are_numbers(fields: bytes, width: int) -> bool:
    """Return whether each field of so many bytes is a number or blank.

    The members of an archive mostly have the same owners and times.
    """
    every = [fields[at : at + width] for at in range(0, len(fields), width)]
    return all(_OCTAL_OR_BLANK.fullmatch(one) or _BASE_256.fullmatch(one) for one in every)


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
    name, prefix = block[:100].rstrip(b"\0"), _prefix(block[257:])
    if b"\0" in name:
        raise damaged("bytes follow the end of a name in a header")
    return prefix + b"/" + name if prefix else name


@lru_cache(maxsize=1_000)
def _prefix(rest: bytes) -> bytes:
    """Return what a header puts before its name. rest: from its form's name on, 255 bytes.

    It is mostly the same for all members of a folder.
    """
    magic, blank = rest[:8], rest[88:]
    field = b""
    if magic == _POSIX:
        field, blank = rest[88:243], rest[243:]
    elif magic not in {_GNU, _OLD}:
        raise damaged("a header is of no known form of tar")
    if rest[218:219] == b"\0" and all(_OCTAL_OR_BLANK.fullmatch(rest, *at) for at in _TIMES):
        field = field[:_PREFIX_BEFORE_TIMES]
    if blank.count(0) < len(blank):
        raise damaged("a header has bytes where its form has none")
    prefix = field.rstrip(b"\0")
    if b"\0" in prefix:
        raise damaged("bytes follow the end of a name in a header")
    return prefix
