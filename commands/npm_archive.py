"""What the registry needs of an npm tarball, read in one pass.

Clients strip the first path component, whatever it is called, and unpack the rest over one
another. So two members may not both be the root's package.json, not even by a difference of case
that macOS and Windows ignore: which one a client reads would depend on where it runs. Other files
may differ in case only, as real packages have them; there the last one wins, which harms nobody
but the package itself. Links and devices are refused: npm skips them, other clients make them.

Source: https://github.com/npm/pacote (`lib/fetcher.js`, `strip: 1`)
"""

import codecs
import re
from typing import BinaryIO

import msgspec

from packledger.commands.tar_reader import TarEntry, iter_tar_gz, safe_parts, shown
from packledger.domain.errors import Invalid, TooLarge
from packledger.domain.npm_manifest import ArchiveFacts

MAX_PACKAGE_JSON_BYTES = 1 << 20
"""Twice what its metadata may be when stored, `domain.npm_manifest.MAX_MANIFEST_BYTES`."""
MAX_README_BYTES = 64 << 10
"""The public registry's limit."""
MAX_ENTRIES = 100_000
"""The largest packages hold near 50,000 files."""

_MARKDOWN = re.compile(r"(?i)readme\.(?:.*\.)?m?a?r?k?d?o?w?n?")
_FORBIDDEN = {"symlink": "a symbolic link", "hardlink": "a hard link", "other": "a special file"}


class NpmArchive(msgspec.Struct, frozen=True):
    """What was found. readme: valid UTF-8 of at most `MAX_README_BYTES`, `None` without one."""

    package_json: bytes
    readme: bytes | None
    readme_filename: str
    file_count: int
    unpacked_bytes: int
    facts: ArchiveFacts


def read_npm_archive(file: BinaryIO, max_unpacked_bytes: int) -> NpmArchive:
    """Read a `.tgz` from its current position to its end, holding no member in memory.

    Raises:
        Invalid: not a gzip-compressed tar, damaged, with unsafe paths or members, or without
            exactly one package.json at its root.
        TooLarge: unpacked size, number of members or package.json beyond the limit.
    """
    found = _Found()
    members = iter_tar_gz(file, max_unpacked_bytes=max_unpacked_bytes, max_entries=MAX_ENTRIES)
    for entry in members:
        found.add(entry)
    return found.result()


class _Found:
    def __init__(self) -> None:
        self._package_json: bytes | None = None
        self._readme: bytes | None = None
        self._readme_filename = ""
        self._readme_rank = 4
        self._file_count = 0
        self._unpacked_bytes = 0
        self._has_gyp = False
        self._has_shrinkwrap = False

    def add(self, entry: TarEntry) -> None:
        parts = safe_parts(entry.path)
        if entry.kind in _FORBIDDEN:
            raise Invalid(
                f"the tarball's `{shown(entry.path)}` is {_FORBIDDEN[entry.kind]}; packages may "
                "hold files and folders only, pack again with `npm pack`"
            )
        root_name = parts[1] if len(parts) > 1 else ""
        if root_name.casefold() == "package.json":
            self._take_package_json(entry, parts)
        if entry.kind == "dir":
            return
        if not root_name:
            raise Invalid(
                f"the tarball's file `{shown(entry.path)}` is not in a folder; npm drops the first "
                "folder of every path, pack again with `npm pack`"
            )
        self._file_count += 1
        self._unpacked_bytes += entry.size
        if len(parts) == 2:
            self._look_at(entry, root_name)

    def _take_package_json(self, entry: TarEntry, parts: list[str]) -> None:
        if self._package_json is not None or parts[1:] != ["package.json"] or entry.kind != "file":
            raise Invalid(
                f"the tarball has more than one `package.json` at its root, `{shown(entry.path)}` "
                "is one; pack again with `npm pack`"
            )
        if entry.size > MAX_PACKAGE_JSON_BYTES:
            raise TooLarge(
                f"the tarball's package.json has {entry.size} bytes; at most "
                f"{MAX_PACKAGE_JSON_BYTES} are allowed"
            )
        self._package_json = entry.read(entry.size)

    def _look_at(self, entry: TarEntry, name: str) -> None:
        self._has_gyp = self._has_gyp or name.endswith(".gyp")
        self._has_shrinkwrap = self._has_shrinkwrap or name == "npm-shrinkwrap.json"
        rank = _readme_rank(name)
        if rank < self._readme_rank:
            self._readme_rank = rank
            self._readme_filename = name
            self._readme = _utf8(entry.read(MAX_README_BYTES), entry.size)

    def result(self) -> NpmArchive:
        if self._package_json is None:
            raise Invalid(
                "the tarball has no `package.json` in its top folder; pack again with `npm pack`"
            )
        return NpmArchive(
            self._package_json,
            self._readme,
            self._readme_filename,
            self._file_count,
            self._unpacked_bytes,
            ArchiveFacts(self._has_gyp, self._has_shrinkwrap),
        )


def _readme_rank(name: str) -> int:
    """Return npm's order of preference, the best is 0: Markdown first, then no extension."""
    if name == "README.md":
        return 0
    lower = name.lower()
    if lower == "readme.md":
        return 1
    if _MARKDOWN.fullmatch(name):
        return 2
    return 3 if lower == "readme" else 4


def _utf8(data: bytes, size_bytes: int) -> bytes:
    """Return the start of a text as valid UTF-8, a character cut in two left out."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=len(data) == size_bytes)
    encoded = text.encode()
    if len(encoded) > MAX_README_BYTES:  # replacement characters are longer than what they replace
        encoded = encoded[:MAX_README_BYTES].decode(errors="ignore").encode()
    return encoded
