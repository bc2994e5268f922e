"""Read a `.crate` and judge it: the archive as cargo will unpack it, then the manifest inside.

cargo skips `..` and follows links without a word, and of two entries of one path takes the last;
others take the first. So what would unpack differently anywhere is refused. Files that differ in
case only are not: cargo packs `LICENSE` and `license`, and which of them a system keeps that does
not tell them apart harms nobody; only the manifest may have no twin.
Source: https://doc.rust-lang.org/cargo/reference/registries.html
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
    usual_name,
)
from packledger.commands.archives.tar_header import shown
from packledger.commands.archives.tar_reader import TarEntry, iter_tar_gz
from packledger.commands.cargo.upload import CrateMetadata
from packledger.commands.readmes import read_readme
from packledger.domain.cargo.manifest import CrateManifest, read_cargo_toml
from packledger.domain.cargo.names import check_crate_name
from packledger.domain.cargo.toml import MAX_CARGO_TOML_BYTES
from packledger.domain.errors import Invalid, TooLarge
from packledger.domain.versions import parse_version

README_NAMES = ("README.md", "README.txt", "README")
"""cargo's own search order when a manifest names none."""

_MAX_READMES = 8
_UNUSABLE = re.compile(r'[:*?"<>|]|[. ](?:/|\Z)')
"""What Windows cannot have in a name, or makes another name of."""


class CrateArchive(msgspec.Struct, frozen=True):
    """What the archive holds. readmes: by name, as of `read_readme`, those in the root."""

    cargo_toml: bytes
    readmes: dict[str, bytes]
    file_count: int
    unpacked_bytes: int


class ReadCrate(msgspec.Struct, frozen=True):
    """A `.crate` that was accepted. readme: as of `read_readme`, None without one."""

    manifest: CrateManifest
    readme: bytes | None
    file_count: int
    unpacked_bytes: int


def read_crate(
    file: BinaryIO,
    metadata: CrateMetadata,
    own_index_urls: frozenset[str],
    max_unpacked_bytes: int,
) -> ReadCrate:
    """Judge a `.crate` and return what it says; `file` is seekable and read from its start.

    Raises:
        Invalid: cargo could not use it, or it is not the crate that the request says.
        TooLarge: a limit was passed.
    """
    check_crate_name(metadata.name)
    parse_version(metadata.vers)
    archive = read_crate_archive(file, metadata.name, metadata.vers, max_unpacked_bytes)
    manifest = read_cargo_toml(archive.cargo_toml, own_index_urls)
    said, meant = f"{metadata.name}@{metadata.vers}", f"{manifest.name}@{manifest.version}"
    if said != meant:
        raise Invalid(
            f"the upload is for `{said}`, but the `Cargo.toml` in its archive says `{meant}`; "
            "publish with `cargo publish`"
        )
    readme = _readme(file, archive, manifest, max_unpacked_bytes)
    return ReadCrate(manifest, readme, archive.file_count, archive.unpacked_bytes)


def read_crate_archive(
    file: BinaryIO, name: str, version: str, max_unpacked_bytes: int
) -> CrateArchive:
    """Check every entry of a `.crate`, in bounded memory, and return what the registry reads.

    Raises:
        Invalid: damaged, a path outside `NAME-VERSION/`, a link or device, a path used twice, no
            manifest or two.
        TooLarge: unpacked size, number of entries or manifest over the limit.
    """
    file.seek(0)
    found = _Found(f"{name}-{version}", max_unpacked_bytes)
    for entry in _entries(file, max_unpacked_bytes):
        found.add(entry)
    if found.paths.doubles:
        file.seek(0)
        entries = _entries(file, max_unpacked_bytes)
        members = ((found.path_inside(entry), entry) for entry in entries)
        check_same_contents(members, found.paths.doubles)
    if found.cargo_toml is None:
        raise Invalid(f"the archive has no `{name}-{version}/Cargo.toml`; let cargo package it")
    return CrateArchive(found.cargo_toml, found.readmes, found.file_count, found.unpacked_bytes)


class _Found:
    """What was seen so far."""

    def __init__(self, folder: str, max_unpacked_bytes: int) -> None:
        self.cargo_toml: bytes | None = None
        self.readmes: dict[str, bytes] = {}
        self.file_count = 0
        self.unpacked_bytes = 0
        self.paths = PathTable()
        self._folder = folder
        self._max_unpacked_bytes = max_unpacked_bytes

    def add(self, entry: TarEntry) -> None:
        path = self.path_inside(entry)
        if entry.kind not in {"file", "dir"}:
            raise Invalid(
                f"`{shown(entry.path)}` in the archive is a link or a special file; a crate may "
                "hold files and folders only"
            )
        is_first = self.paths.place(path, entry)
        if entry.kind == "dir" or not is_first:
            return
        self.file_count += 1
        self.unpacked_bytes += entry.size
        if self.unpacked_bytes > self._max_unpacked_bytes:  # before a bomb is unpacked to find out
            raise TooLarge(
                f"the archive unpacks to more than {self._max_unpacked_bytes} bytes; exclude "
                "large files from the package"
            )
        if "/" not in path:
            self._look_at(path, entry)

    def path_inside(self, entry: TarEntry) -> str:
        """Return the path below the crate's folder, empty for the folder itself."""
        folder, *parts = parts_of(entry)
        if folder != self._folder or not (parts or entry.kind == "dir"):
            raise Invalid(
                f"the archive's path `{shown(entry.path)}` is outside `{self._folder}/`; let cargo "
                "package it"
            )
        path = "/".join(parts)
        if _UNUSABLE.search(path) is not None:
            raise Invalid(
                f"the archive's path `{shown(path)}` has one of `:*?\"<>|`, or a part that ends "
                "with a dot or a blank, which Windows does not have; rename the file"
            )
        return path

    def _look_at(self, name: str, entry: TarEntry) -> None:
        """Keep the manifest and what may be the readme of the files in the crate's root."""
        usual = usual_name(name)
        if may_be_manifest(name, "cargo.toml"):
            self._take_manifest(name, entry)
        elif usual == ".cargo-ok":
            raise Invalid("the archive holds `.cargo-ok`, a mark that cargo makes; exclude it")
        elif usual.startswith("readme") and len(self.readmes) < _MAX_READMES:
            self.readmes[name] = read_readme(entry)

    def _take_manifest(self, name: str, entry: TarEntry) -> None:
        if self.cargo_toml is not None:
            raise Invalid(
                f"the archive holds its manifest twice, `{shown(name)}` is one; let cargo package "
                "it"
            )
        if name not in {"Cargo.toml", "cargo.toml"}:
            raise Invalid(
                f"the manifest in the archive is called `{shown(name)}`; call it `Cargo.toml`"
            )
        if entry.size > MAX_CARGO_TOML_BYTES:
            raise TooLarge(
                f"`Cargo.toml` has {entry.size} bytes; at most {MAX_CARGO_TOML_BYTES} are allowed"
            )
        self.cargo_toml = entry.read(entry.size)


def _entries(file: BinaryIO, max_unpacked_bytes: int) -> Iterator[TarEntry]:
    return iter_tar_gz(
        file,
        max_unpacked_bytes=max_unpacked_bytes,
        max_entries=MAX_ENTRIES,
        allow_global_headers=False,
    )


def _readme(
    file: BinaryIO, archive: CrateArchive, manifest: CrateManifest, max_unpacked_bytes: int
) -> bytes | None:
    """Return the readme that the manifest names, or that cargo would have found."""
    wanted = manifest.readme_file
    names = README_NAMES if wanted is None else (wanted.removeprefix("./"),)
    for name in names:
        if name in archive.readmes:
            return archive.readmes[name]
    if not wanted:
        return None
    # rare: a file of another name, or not in the root, is looked for in a second pass
    path = f"{manifest.name}-{manifest.version}/{names[0]}"
    file.seek(0)
    for entry in _entries(file, max_unpacked_bytes):
        if entry.path == path and entry.kind == "file":
            return read_readme(entry)
    return None
