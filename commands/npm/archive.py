"""What the registry needs of an npm tarball, read in one pass.

Clients strip the first path component, whatever it is called, and unpack the rest over one
another. So two members may not both be the root's package.json, not even by what macOS and Windows
do not tell apart: which one a client reads would depend on where it runs. Other files may differ in
case only, as real packages have them; there the last one wins, which harms nobody but the package
itself. Links and devices are refused: npm skips them, other clients make them.

Source: https://github.com/npm/pacote (`lib/fetcher.js`, `strip: 1`)
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from packledger.commands.archives.paths import (
    MAX_ENTRIES,
    PathTable,
    check_same_contents,
    may_be_manifest,
    parts_of,
)
from packledger.commands.archives.tar_header import shown
from packledger.commands.archives.tar_reader import TarEntry, iter_tar_gz
from packledger.commands.readmes import read_readme
from packledger.domain.errors import Invalid, TooLarge
from packledger.domain.npm.manifest import ArchiveFacts

MAX_PACKAGE_JSON_BYTES = 1 << 20
"""Twice what its metadata may be when stored, `domain.npm.manifest.MAX_MANIFEST_BYTES`."""

_MARKDOWN = re.compile(r"(?i)readme\.(?:.*\.)?m?a?r?k?d?o?w?n?")
_DRIVE = re.compile("[A-Za-z]:")
_FORBIDDEN = {"symlink": "a symbolic link", "hardlink": "a hard link", "other": "a special file"}


class NpmArchive(msgspec.Struct, frozen=True):
    """What was found. readme: as of `read_readme`, `None` without one."""

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
    start = file.tell()
    found = _Found()
    for entry in _entries(file, max_unpacked_bytes):
        found.add(entry)
    if found.paths.doubles:
        file.seek(start)
        members = (
            ("/".join(parts_of(entry)[1:]), entry) for entry in _entries(file, max_unpacked_bytes)
        )
        check_same_contents(members, found.paths.doubles)
    return found.result()


def _entries(file: BinaryIO, max_unpacked_bytes: int) -> Iterator[TarEntry]:
    return iter_tar_gz(file, max_unpacked_bytes=max_unpacked_bytes, max_entries=MAX_ENTRIES)


class _Found:
    """What was seen so far; a path is without its first folder, as clients unpack it."""

    def __init__(self) -> None:
        self.paths = PathTable()
        self._fallbacks: set[str] = set()
        self._package_json: bytes | None = None
        self._readme: bytes | None = None
        self._readme_filename = ""
        self._readme_rank = 4
        self._file_count = 0
        self._unpacked_bytes = 0
        self._has_gyp = False
        self._has_shrinkwrap = False

    def add(self, entry: TarEntry) -> None:
        _, *parts = parts_of(entry)
        if entry.kind in _FORBIDDEN:
            raise Invalid(
                f"the tarball's `{shown(entry.path)}` is {_FORBIDDEN[entry.kind]}; packages may "
                "hold files and folders only, pack again with `npm pack`"
            )
        if not parts and entry.kind == "file":
            raise Invalid(
                f"the tarball's file `{shown(entry.path)}` is not in a folder; npm drops the first "
                "folder of every path, pack again with `npm pack`"
            )
        if any(map(_DRIVE.match, entry.path.split("/"))):
            raise Invalid(
                f"the tarball's `{shown(entry.path)}` has a part like a drive of Windows, which "
                "npm drops and pnpm refuses; rename the file"
            )
        if entry.fallback:
            self._fallbacks.add(entry.fallback.partition("/")[2])
        is_first = self.paths.place("/".join(parts), entry)
        if parts and may_be_manifest(parts[0], "package.json"):
            self._check_manifest_path(entry, parts)
        if entry.kind == "dir" or not is_first:
            return
        self._file_count += 1
        self._unpacked_bytes += entry.size
        if len(parts) == 1:
            self._look_at(entry, parts[0])

    def _check_manifest_path(self, entry: TarEntry, parts: list[str]) -> None:
        if parts != ["package.json"] or entry.kind != "file":
            raise Invalid(
                f"the tarball's `{shown(entry.path)}` may be read in place of the `package.json` "
                "at its root; pack again with `npm pack`"
            )

    def _take_package_json(self, entry: TarEntry) -> None:
        if entry.size > MAX_PACKAGE_JSON_BYTES:
            raise TooLarge(
                f"the tarball's package.json has {entry.size} bytes; at most "
                f"{MAX_PACKAGE_JSON_BYTES} are allowed"
            )
        self._package_json = entry.read(entry.size)

    def _look_at(self, entry: TarEntry, name: str) -> None:
        if name == "package.json":
            self._take_package_json(entry)
            return
        self._has_gyp = self._has_gyp or name.endswith(".gyp")
        self._has_shrinkwrap = self._has_shrinkwrap or name == "npm-shrinkwrap.json"
        rank = _readme_rank(name)
        if rank < self._readme_rank:
            self._readme_rank = rank
            self._readme_filename = name
            self._readme = read_readme(entry)

    def result(self) -> NpmArchive:
        clashes = self._fallbacks and self._fallbacks & self.paths.files()
        if clashes:
            raise Invalid(
                f"the tarball holds `{shown(min(clashes))}` twice, once as the short name of "
                "another file; pack again with `npm pack`"
            )
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
