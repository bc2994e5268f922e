"""The paths of an archive: where every system that unpacks puts them, and which are there twice."""

import hashlib
import re
from collections.abc import Iterable, Iterator

from packledger.commands.archives.tar_header import shown
from packledger.commands.archives.tar_reader import TarEntry
from packledger.domain.errors import Invalid, TooLarge

MAX_ENTRIES = 100_000
"""Files, and folders stated or implied. The largest crates and packages hold 10,000 and 50,000."""
MAX_PATHS_BYTES = 16 << 20
"""All paths together, as each is kept to find duplicates: 160 bytes for each of `MAX_ENTRIES`."""

# HFS+ passes over these in a name
_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


class PathTable:
    """Every path of an archive so far, and whether it is a folder.

    doubles: files that were there before; real archives hold some, of the same contents.
    """

    def __init__(self) -> None:
        self.doubles: set[str] = set()
        self._kinds: dict[str, bool] = {"": True}
        self._bytes = 0

    def files(self) -> set[str]:
        """Return the paths that are no folders."""
        return {path for path, is_folder in self._kinds.items() if not is_folder}

    def place(self, path: str, entry: TarEntry) -> bool:
        """Note a path and its folders; false if it is a file that is there already.

        Raises:
            Invalid: it is a file and a folder.
            TooLarge: more than `MAX_ENTRIES` or `MAX_PATHS_BYTES`.
        """
        is_folder = entry.kind == "dir"
        known = self._kinds.get(path)
        if known is not None:
            if known != is_folder:
                raise _file_and_folder(entry)
            if not is_folder:
                self.doubles.add(path)
            return is_folder
        self._note(path, entry, is_folder)
        while path := path.rpartition("/")[0]:
            known = self._kinds.get(path)
            if known:
                break
            if known is False:
                raise _file_and_folder(entry)
            self._note(path, entry, is_folder=True)
        return True

    def _note(self, path: str, entry: TarEntry, is_folder: bool) -> None:
        self._kinds[path] = is_folder
        self._bytes += len(path)
        if len(self._kinds) > MAX_ENTRIES or self._bytes > MAX_PATHS_BYTES:
            raise TooLarge(
                f"the archive holds more than {MAX_ENTRIES} files and folders, or "
                f"{MAX_PATHS_BYTES} bytes of paths, up to `{shown(entry.path)}`; exclude some"
            )


def parts_of(entry: TarEntry) -> list[str]:
    """Return the components of a member's path.

    Raises:
        Invalid: absolute, or with an empty part, `.`, `..` or a backslash: readers resolve these
            before or after they drop the first folder.
    """
    path = entry.path.removesuffix("/") if entry.kind == "dir" else entry.path
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts or "\\" in path:
        raise Invalid(
            f"the archive's path `{shown(path)}` is not a plain relative path; pack it again "
            "without `.`, `..`, empty parts and backslashes"
        )
    return parts


def usual_name(name: str) -> str:
    """Return what a file of this name may be called on a system that knows fewer names.

    Windows drops dots and blanks at the end and reads on from `:` as a stream of the file; it and
    macOS do not tell cases apart.
    """
    return _IGNORABLE.sub("", name).partition(":")[0].rstrip(". ").casefold()


def may_be_manifest(name: str, manifest: str) -> bool:
    """Return whether a file of this name is the manifest on some system.

    Windows gives each file with a long name a short one, too: `PACKAG~1.JSO`, `PA0F3C~5.JSO`.
    manifest: in lower case.
    """
    usual = usual_name(name)
    stem, _, extension = manifest.partition(".")
    short = rf"(?:{stem[:6]}|{stem[:2]}[0-9a-f]{{4}})~[0-9]+\.{extension[:3]}"
    return usual == manifest or re.fullmatch(short, usual) is not None


def check_same_contents(members: Iterable[tuple[str, TarEntry]], doubles: set[str]) -> None:
    """Compare the files that are in an archive more than once, in a second reading of it.

    cargo packed some files twice in 2015. Which of two a reader keeps does not matter as long as
    they are equal.

    Raises:
        Invalid: two of one path differ.
    """
    digests: dict[str, bytes] = {}
    for path, entry in members:
        if path in doubles:
            digest = hashlib.sha256()
            for piece in _pieces(entry):
                digest.update(piece)
            if digests.setdefault(path, digest.digest()) != digest.digest():
                raise Invalid(
                    f"the archive holds `{shown(entry.path)}` twice, with other contents; pack it "
                    "again with one"
                )


def _pieces(entry: TarEntry) -> Iterator[bytes]:
    while piece := entry.read(entry.size):
        yield piece


def _file_and_folder(entry: TarEntry) -> Invalid:
    return Invalid(
        f"`{shown(entry.path)}` in the archive is a file and a folder, or lies in a file; rename "
        "or exclude one"
    )
