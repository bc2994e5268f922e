"""The registry as it was, as plain files that any web server can serve.

    cargo/index/config.json, cargo/index/se/rd/serde      the sparse index
    cargo/crates/NAME/NAME-VERSION.crate
    npm/NAME, npm/@SCOPE/NAME                             packuments, in their full form
    npm/-/npm/NAME/-/NAME-VERSION.tgz                     below the registry's URL, or npm refuses
                                                          them, but not below a packument's file
    export.json                                           which moment this is

Two exports of a moment for one URL are equal byte for byte; every file's time is the moment's.
"""

import hashlib
import os
import secrets
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from packledger.domain.cargo.names import index_path
from packledger.domain.ecosystems import CARGO
from packledger.domain.errors import Conflict, Unavailable
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.npm.names import tarball_filename
from packledger.eventstore.blobs.store import BlobStore
from packledger.eventstore.damaged_log import misfits_as_damage
from packledger.eventstore.log import Log
from packledger.feeds.progress import NamedProgress
from packledger.projections.packuments import fold as packuments
from packledger.projections.packuments.fold import Packuments
from packledger.projections.packuments.reads import full_of
from packledger.projections.read_model import ReadModel
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SparseIndex, index_file_of

PAGE_EVENTS = 2_000
PIECE_BYTES = 1024 * 1024


class Exported(msgspec.Struct, frozen=True):
    """What an export holds.

    at: time of its last event, RFC 3339, empty for an empty registry; purged: the versions whose
    files are not in it because they were removed for good, then or later.
    """

    position: int
    at: str
    url: str
    crates: int
    packages: int
    files: int
    purged: list[str]


def export(
    log: Log, blobs: BlobStore, position: int, to: Path, url: str, progress: NamedProgress
) -> Exported:
    """Write the registry after a position to a new directory. url: where it will be served.

    The directory appears when it is whole.

    Raises:
        Conflict: the directory exists.
        DamagedLog: the events cannot be what was appended.
        Unavailable: a file is missing or damaged in the blob store.
    """
    if to.exists():
        raise Conflict(f"`{to}` exists; choose a directory that does not, or remove it")
    partial = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
    partial.mkdir(parents=True)
    try:
        with misfits_as_damage("the log"):
            exported = _Export(log, blobs, partial, url.rstrip("/")).run(position, progress)
        partial.rename(to)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return exported


class _Export:
    def __init__(self, log: Log, blobs: BlobStore, root: Path, url: str) -> None:
        self._log, self._blobs, self._root, self._url = log, blobs, root, url

    def run(self, position: int, progress: NamedProgress) -> Exported:
        work = self._root / "work"
        work.mkdir()
        index = ReadModel(work / "index", SparseIndex(), private=True)
        packages = ReadModel(work / "packages", Packuments(), private=True)
        with closing(index), closing(packages):
            at = self._replay((index, packages), position, progress)
            index.share()
            packages.share()
            row = (1, f"{self._url}/npm/-", position)
            packages.db.execute("INSERT OR REPLACE INTO configuration VALUES (?, ?, ?)", row)
            self._purge_later(index.db, packages.db, position)
            crates, named = self._crates(index.db), self._packages(packages.db)
            files, purged = self._copy(index.db, packages.db, progress)
        shutil.rmtree(work)
        exported = Exported(position, at, self._url, crates, named, files, purged)
        self._write("export.json", msgspec.json.format(msgspec.json.encode(exported)))
        self._date(at)
        return exported

    def _replay(self, models: tuple[ReadModel, ...], until: int, progress: NamedProgress) -> str:
        done, at = 0, ""
        while page := self._log.read(done, min(PAGE_EVENTS, until - done), until):
            for model in models:
                model.apply(page)
            done, at = page[-1].position, page[-1].event.at
            progress("replaying the log", done, until)
        return at

    def _purge_later(
        self, index: sqlite3.Connection, packages: sqlite3.Connection, position: int
    ) -> None:
        """Leave out what is gone by now."""
        while page := self._log.read(position, PAGE_EVENTS):
            for event in (one.event for one in page):
                if isinstance(event, BlobPurged):
                    of_crate = event.ecosystem == CARGO
                    model, db = (sparse_index, index) if of_crate else (packuments, packages)
                    model.set_purged(db, event.name, event.version, event.reason)
            position = page[-1].position

    def _crates(self, db: sqlite3.Connection) -> int:
        config = {"dl": f"{self._url}/cargo/crates/{{crate}}/{{crate}}-{{version}}.crate"}
        self._write("cargo/index/config.json", msgspec.json.encode(config))
        written = 0
        for (name,) in db.execute("SELECT name FROM crates ORDER BY name"):
            body = index_file_of(db, name)
            if body is not None:
                self._write(f"cargo/index/{index_path(name)}", body)
                written += 1
        return written

    def _packages(self, db: sqlite3.Connection) -> int:
        names = db.execute("SELECT name FROM packages ORDER BY name").fetchall()
        for (name,) in names:
            body = full_of(db, name, self._blobs)
            assert body is not None, name
            self._write(f"npm/{name}", body)
        return len(names)

    def _copy(
        self, index: sqlite3.Connection, packages: sqlite3.Connection, progress: NamedProgress
    ) -> tuple[int, list[str]]:
        crates = index.execute(_CRATES).fetchall()
        tarballs = packages.execute(_TARBALLS).fetchall()
        purged = [f"cargo:{name}@{version}" for name, version in index.execute(_PURGED_CRATES)]
        purged += [f"npm:{name}@{version}" for name, version in packages.execute(_PURGED_TARBALLS)]
        total = len(crates) + len(tarballs)
        for done, (name, version, digest) in enumerate(crates, 1):
            self._copy_blob(f"cargo/crates/{name}/{name}-{version}.crate", digest)
            progress("copying files", done, total)
        for done, (name, version, digest) in enumerate(tarballs, len(crates) + 1):
            self._copy_blob(f"npm/-/npm/{name}/-/{tarball_filename(name, version)}", digest)
            progress("copying files", done, total)
        return total, purged

    def _copy_blob(self, path: str, digest: str) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        sha256 = hashlib.sha256()
        with self._blobs.open(digest) as source, target.open("wb") as file:
            while piece := source.read(PIECE_BYTES):
                sha256.update(piece)
                file.write(piece)
        if sha256.hexdigest() != digest:
            raise Unavailable(
                f"the file with digest `{digest}` is damaged in the blob store; run "
                "`packledger verify`, then `packledger repair blobs`"
            )

    def _write(self, path: str, body: bytes) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)

    def _date(self, at: str) -> None:
        """Give everything the time of the moment, folders after what is in them."""
        moment_s = datetime.fromisoformat(at).timestamp() if at else 0.0
        for folder, _, names in os.walk(self._root, topdown=False):
            for path in (*(Path(folder) / name for name in names), Path(folder)):
                os.utime(path, (moment_s, moment_s))


_CRATES = (
    "SELECT head ->> 'name', version, cksum FROM versions JOIN crates USING (name)"
    " WHERE purged = '' ORDER BY versions.position"
)
_PURGED_CRATES = (
    "SELECT head ->> 'name', version FROM versions JOIN crates USING (name)"
    " WHERE purged <> '' ORDER BY versions.position"
)
_TARBALLS = (
    "SELECT name, version, tarball FROM versions WHERE full_form <> x'' AND purged = ''"
    " ORDER BY position"
)
_PURGED_TARBALLS = "SELECT name, version FROM versions WHERE purged <> '' ORDER BY position"
