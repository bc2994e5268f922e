"""The files of the static tree, which nginx answers with instead of the app.

    cargo/index/se/rd/serde      and serde.gz: what nginx's `gzip_static` sends
    npm/@s/n.full.json           and .gz, and the same for n.abbreviated.json
    cargo.of, npm.of             what the files of each were made from
    new/ old/                    on their way in and out; nothing of these is served

A file is there only as long as it is what the app would answer; where there is none nginx asks the
app. Nothing is flushed to the disk: after another boot the tree is written anew. nginx has its own
user: everybody may read the tree, that of a private registry the group of its directory alone.
"""

import itertools
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from packledger.domain.cargo.names import index_path
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import Unavailable
from packledger.projections.documents import Document

CONFIG = "cargo/index/config.json"
FORMS = {CARGO: ("",), NPM: (".full.json", ".abbreviated.json")}
"""How the file names of a document's forms end."""
LEFT_BEHIND_S = 3600
_INDEX = "cargo/index/"


class FormFile(msgspec.Struct, frozen=True):
    """A file and its compressed form, not yet in place. path: below the tree."""

    path: str
    plain: Path
    zipped: Path


def paths_of(kind: str, name: str) -> list[str]:
    """Return a document's files, below the tree: one for each form; name as in the read model."""
    if kind == CARGO:
        return [_INDEX + index_path(name)]
    return [f"{NPM}/{name}{form}" for form in FORMS[NPM]]


class StaticFiles:
    """The tree. Who changes what is served holds the lock of the projection `static-tree`.

    private: not everybody may read it.

    Raises:
        Unavailable: its directory cannot be created, or not be kept from others.
    """

    def __init__(self, root: Path, *, private: bool = False) -> None:
        self._root = root.absolute()
        self._numbers = itertools.count()
        self._folder_mode, self._file_mode = (0o750, 0o640) if private else (0o755, 0o644)
        try:
            for folder in (self._root, self._root / "new", self._root / "old"):
                self._create(folder)
            if private:
                _keep_from_others(self._root)
        except OSError as error:
            raise Unavailable(
                f"the directory `{root}` of `static_tree` cannot be created: {error.strerror}; "
                "name one that this process may write"
            ) from error

    def remove(self, kind: str, name: str) -> None:
        """Have the app asked for a document."""
        for path in paths_of(kind, name):
            for suffix in ("", ".gz"):
                with suppress(FileNotFoundError, NotADirectoryError):
                    os.unlink(f"{self._root}/{path}{suffix}")  # noqa: PTH108 - publishes wait

    def set_aside(self, kind: str) -> None:
        """Have the app asked for all documents of a kind, at once."""
        (self._root / f"{kind}.of").unlink(missing_ok=True)
        target = self._unique("old")
        with suppress(FileNotFoundError):
            (self._root / kind).rename(target)

    def origin(self, kind: str) -> str:
        """Return what the files of a kind were made from, empty when nobody said."""
        try:
            return (self._root / f"{kind}.of").read_text()
        except FileNotFoundError:
            return ""

    def set_origin(self, kind: str, origin: str) -> None:
        """Say what the files of a kind are made from; after it is true, since we may be killed."""
        temporary = self._unique("new")
        temporary.write_text(origin)
        temporary.rename(self._root / f"{kind}.of")

    def write(self, path: str, document: Document, mtime_s: int) -> FormFile:
        """Write a form aside. mtime_s: with the size it is nginx's ETag."""
        file = FormFile(path, self._unique("new"), self._unique("new"))
        try:
            for temporary, content in ((file.plain, document.body), (file.zipped, document.gzip)):
                temporary.write_bytes(content)
                os.chmod(temporary, self._file_mode)  # noqa: PTH101 - as below
                os.utime(temporary, (mtime_s, mtime_s))
        except OSError:
            # On a full disk this is tried every second.
            self.discard([file])
            raise
        return file

    def place(self, file: FormFile) -> None:
        """Have nginx answer with a file."""
        target = self._root / file.path
        self._create(target.parent)
        file.plain.rename(target)
        file.zipped.rename(f"{target}.gz")

    def discard(self, files: Sequence[FormFile]) -> None:
        """Remove files that shall not be placed."""
        for file in files:
            file.plain.unlink(missing_ok=True)
            file.zipped.unlink(missing_ok=True)

    def read(self, path: str) -> tuple[bytes, int] | None:
        """Return a file's bytes and modification time in seconds."""
        try:
            with (self._root / path).open("rb") as file:
                return file.read(), int(os.fstat(file.fileno()).st_mtime)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def every(self) -> Iterator[str]:
        """Yield the path of every file that nginx could answer with."""
        for kind in FORMS:
            for folder, _, names in os.walk(self._root / kind):
                below = os.path.relpath(folder, self._root)
                yield from (f"{below}/{name}" for name in names)

    def sweep(self) -> None:
        """Remove what was set aside, and what a killed writer left behind long ago."""
        for path in (self._root / "old").glob("*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self._root / "new").glob("*"):
            with suppress(FileNotFoundError):
                if path.stat().st_ctime < time.time() - LEFT_BEHIND_S:
                    path.unlink()

    def _unique(self, folder: str) -> Path:
        """Return a name in `new` or `old` that nobody has; these may have been removed by hand."""
        parent = self._root / folder
        self._create(parent)
        return parent / f"{os.getpid()}-{next(self._numbers)}"

    def _create(self, folder: Path) -> None:
        """Create a folder that nginx may look into, whatever this process's umask is."""
        if folder.is_dir():
            return
        self._create(folder.parent)
        folder.mkdir(exist_ok=True)
        # What it inherited stays: below a directory with that bit, files get its group.
        folder.chmod(self._folder_mode | folder.stat().st_mode & stat.S_ISGID)


def _keep_from_others(root: Path) -> None:
    """Take from everybody but the owner and the group what they may do with a directory."""
    status = root.stat()
    mode = stat.S_IMODE(status.st_mode)
    if not mode & stat.S_IRWXO:
        return
    # Else the kernel would take the bit for groups away.
    keeps_bit = not mode & stat.S_ISGID or status.st_gid in {os.getegid(), *os.getgroups()}
    if os.geteuid() != 0 and not (status.st_uid == os.geteuid() and keeps_bit):
        raise Unavailable(
            f"everybody may read `{root}`, the `static_tree` of a private registry; run "
            f"`chmod o= {root}` as root"
        )
    root.chmod(mode & ~stat.S_IRWXO)
