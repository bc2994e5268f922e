"""A whole registry in one process: a real log, real blobs, real read models, no server."""

import dataclasses
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uploads
from packledger.audit.blob_references import BlobReferences
from packledger.commands.cargo import crates
from packledger.commands.cargo.upload import CrateUpload
from packledger.commands.npm import edits as npm_edits
from packledger.commands.npm import packages as npm
from packledger.commands.npm.body import scan_body
from packledger.commands.purging import Purged, find_target, purge
from packledger.domain import configuration
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.caller import Caller
from packledger.domain.accounts.permissions import Identity
from packledger.domain.streams import REGISTRY
from packledger.eventstore.log import Log
from packledger.eventstore.postgres.settings import Postgres
from packledger.feeds.store_feed import StoreFeed
from packledger.projections.catalogue import on_every_node, row_of
from packledger.projections.comparison import digest_of
from packledger.projections.documents import Documents, etag_of
from packledger.projections.generation import Generations
from packledger.projections.packuments import reads as packument_reads
from packledger.projections.packuments.fold import PACKUMENTS
from packledger.projections.projection import Digest, Projection
from packledger.projections.projector import Projector
from packledger.projections.read_model import ReadModel
from packledger.projections.rebuild import Outcome
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SPARSE_INDEX
from packledger.server import wiring
from packledger.server.settings.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PUBLIC_URL = "http://registry.example.com/path"
ADMIN = "root"
State = dict[str, dict[str, bytes]]
"""Projection → document key → uncompressed bytes."""


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder that is not on a disk where there is such: thousands of fsyncs take minutes."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="packledger-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class ShortPages(StoreFeed):
    """The store's feed, in pages of a length that a test chooses."""

    page_events = 500

    def read(self, after: int, limit: int) -> list[Any]:
        return super().read(after, min(limit, self.page_events))


class Clock:
    """A second later at every look."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 21, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class SmallRegistry:
    """The write side, its projector and its readers; the projector moves when it is told to.

    database: a PostgreSQL for the log, SQLite otherwise; feed: opened on the log, with an attribute
    `page_events`; signer: of npm versions, instead of a random key.
    """

    def __init__(
        self,
        data: Path,
        database: str = "",
        feed: Callable[[Log], Any] = ShortPages,
        signer: "EllipticCurvePrivateKey | None" = None,
    ) -> None:
        self.settings = Settings(data=str(data), public_url=PUBLIC_URL, postgres=Postgres(database))
        clock = Clock()
        self.registry, self._other = (
            dataclasses.replace(wiring.open_registry(self.settings, create=True), now=clock)
            for _ in range(2)
        )
        if signer is not None:
            self._sign_with(signer)
        wiring.configure(self.registry)
        self.log, self.blobs = self.registry.log, self.registry.blobs
        self.feed = feed(self.log)
        self.projector = self._open_projector()
        index, packages = self.reader(SPARSE_INDEX), self.reader(PACKUMENTS)
        self.index_files = Documents(index, sparse_index.revision_of, sparse_index.index_file_of)
        self.full = Documents(
            packages,
            packument_reads.revision_of,
            lambda db, key: packument_reads.full_of(db, key, None),
        )
        self.abbreviated = Documents(
            packages, packument_reads.revision_of, packument_reads.abbreviated_of
        )

    def _sign_with(self, signer: "EllipticCurvePrivateKey") -> None:
        added = partial(
            configuration.decide_first_signing_key,
            actor=self.registry.actor(""),
            keyid="a key",
            key="its public part",
        )
        self.registry.execute(REGISTRY, "", lambda state, version: added(state))
        for one in (self.registry, self._other):
            one.signers["a key"] = signer

    def _open_projector(self) -> Projector:
        kinds = [new_projection(name) for name in on_every_node()]
        return Projector(self.feed, kinds, self.read_root, self.registry.board)

    @property
    def read_root(self) -> Path:
        return wiring.Places(Path(self.settings.data)).read

    def reader(self, projection: str) -> Any:
        return wiring.open_reader(self.settings, self.registry.board, projection)

    def switch(self) -> None:
        """Go on in the other of two workers, whose caches know nothing of what this one did."""
        self.registry, self._other = self._other, self.registry
        self.log, self.blobs = self.registry.log, self.registry.blobs

    def close(self) -> None:
        self.projector.close()
        self.feed.close()
        wiring.close_registry(self.registry)
        wiring.close_registry(self._other)

    def actor(self, account: str) -> Actor:
        return self.registry.actor(account, admin=account == ADMIN)

    def caller(self, account: str) -> Caller:
        return self.registry.caller(Identity(account, admin=account == ADMIN))

    def publish_crate(self, account: str, name: str, version: str, text: str = "") -> None:
        blob = self.blobs.writer()
        try:
            upload = CrateUpload(blob, self.registry.limits.crate_bytes)
            package = f'description = "about {name} {text}"'
            upload.feed(uploads.new_crate(name, version, package=package))
            upload.finish()
            crates.publish(self.registry, self.caller(account), upload, blob)
        finally:
            blob.discard()

    def publish_npm(
        self, account: str, name: str, version: str, tag: str = "latest", text: str = ""
    ) -> None:
        manifest = {"name": name, "version": version, "description": f"about {name} {text}"}
        packed = uploads.tarball(manifest, **{"README.md": f"# {name} {version} {text}".encode()})
        body = json.dumps(uploads.npm_body(manifest, packed, tag)).encode()
        npm.publish(self.registry, self.caller(account), name, scan_body(body), body)

    def edit_npm(
        self, account: str, name: str, body: dict[str, Any], rev: str | None = None
    ) -> None:
        said = scan_body(json.dumps({"_id": name, "name": name, **body}).encode())
        npm_edits.edit(self.registry, self.caller(account), name, said, rev)

    def purge(self, by: str, ecosystem: str, name: str, version: str, reason: str) -> Purged:
        """Purge a version, whose README is taken for an old one."""
        target = find_target(self.registry, ecosystem, name, version)

        def wait(seconds: float) -> None:
            self.blobs.remove(target.readme)

        with closing(BlobReferences(self.log)) as references:
            references.catch_up()
            return purge(self.registry, references, self.actor(by), target, reason, wait)

    def step(self) -> bool:
        """Apply one page; nobody waits for the projector afterwards, since a test drives it."""
        stepped = self.projector.step()
        self.registry.board.stop()
        return stepped

    def catch_up(self) -> None:
        while self.step():
            pass
        assert not any(one.failed for one in self.projector.live)

    def reopen_projector(self) -> None:
        self.projector.close()
        self.projector = self._open_projector()

    def rebuild(self, projection: str, *, check: bool = False) -> Outcome:
        return wiring.run_rebuild(self.settings, self.registry, projection, check=check)

    def live_model(self, projection: str) -> Path:
        generations = Generations(self.read_root, projection)
        return generations.model(generations.live())

    def live_documents(self) -> State:
        return {name: documents_in(self.live_model(name), name) for name in on_every_node()}

    def fresh_documents(self, folder: Path) -> State:
        """What a replay of the whole log in one page gives, without any of the live machinery."""
        folder.mkdir()
        log = self.log.read(0, 1_000_000)
        state: State = {}
        for name in on_every_node():
            model = ReadModel(folder / f"{name}.sqlite", new_projection(name))
            model.apply(log)
            model.close()
            state[name] = documents_in(folder / f"{name}.sqlite", name)
        return state


def documents_in(path: Path, projection: str) -> dict[str, bytes]:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return dict(new_projection(projection).documents(db))
    finally:
        db.close()


def digest_in(path: Path) -> Digest:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return digest_of(db)
    finally:
        db.close()


def new_projection(name: str) -> Projection:
    return row_of(name).kind()


def assembled(db_of_index: sqlite3.Connection, db_of_packages: sqlite3.Connection) -> Iterator[str]:
    """The ETag of every document that a client could ask for, from nothing but the rows."""
    for (name,) in db_of_index.execute("SELECT name FROM crates ORDER BY name"):
        yield f"cargo {name} {etag_of(sparse_index.index_file_of(db_of_index, name) or b'')}"
    for (name,) in db_of_packages.execute("SELECT name FROM packages ORDER BY name"):
        yield f"npm {name} {etag_of(packument_reads.abbreviated_of(db_of_packages, name) or b'')}"
        yield f"npm {name} {etag_of(packument_reads.full_of(db_of_packages, name, None) or b'')}"
