"""What the static tree's files are made from: the other read models, by the app's own functions."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import msgspec

from packledger.domain.ecosystems import CARGO, NPM
from packledger.eventstore.blobs.store import BlobStore
from packledger.projections.documents import Revision
from packledger.projections.generation import Generations, database_uri
from packledger.projections.model_reader import ModelReader
from packledger.projections.packuments import reads as packument_reads
from packledger.projections.packuments.fold import PACKUMENTS
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SPARSE_INDEX
from packledger.projections.static_tree.files import paths_of

BATCH = 16


class Row(msgspec.Struct, frozen=True):
    """A document as the projection `static-tree` sees it. revision: as its source tells it."""

    id: int
    kind: str
    name: str
    revision: Revision
    seconds: int


class Form(msgspec.Struct, frozen=True):
    """A form of a document. path: below the tree; mtime_s: with the size it is nginx's ETag."""

    path: str
    body: bytes
    mtime_s: int


class Source(msgspec.Struct, frozen=True):
    """What documents of a kind are made from. assemble: a function for each form."""

    kind: str
    reader: ModelReader
    generations: Generations
    revision_of: Callable[[sqlite3.Connection, str], Revision]
    assemble: tuple[Callable[[sqlite3.Connection, str], bytes | None], ...]

    def forms(self, row: Row) -> list[Form] | None:
        """Return a document's forms, none if it has no bytes; None if its source is elsewhere.

        Raises:
            Unavailable: the read model has not been built yet, or a README is not to be had.
        """
        db = self.reader.db()
        db.execute("BEGIN")
        try:
            if self.revision_of(db, row.name) != row.revision:
                return None
            bodies = [assemble(db, row.name) for assemble in self.assemble]
            (renderer,) = db.execute("SELECT value FROM meta WHERE key = 'renderer'").fetchone()
        finally:
            db.execute("ROLLBACK")
        # Another renderer gives other bytes of the same state.
        first_s = row.seconds + 2 * renderer
        named = zip(paths_of(row.kind, row.name), bodies, strict=True)
        return [
            Form(path, body, first_s + at)
            for at, (path, body) in enumerate(named)
            if body is not None
        ]


def sources_of(
    open_reader: Callable[[str], ModelReader],
    open_generations: Callable[[str], Generations],
    blobs: BlobStore | None,
) -> dict[str, Source]:
    """Return the source of each kind of document. blobs: of READMEs, see `full_of`."""

    def full(db: sqlite3.Connection, name: str) -> bytes | None:
        return packument_reads.full_of(db, name, blobs)

    crates = Source(
        CARGO,
        open_reader(SPARSE_INDEX),
        open_generations(SPARSE_INDEX),
        sparse_index.revision_of,
        (sparse_index.index_file_of,),
    )
    packages = Source(
        NPM,
        open_reader(PACKUMENTS),
        open_generations(PACKUMENTS),
        packument_reads.revision_of,
        (full, packument_reads.abbreviated_of),
    )
    return {CARGO: crates, NPM: packages}


@contextmanager
def opened_tree(generations: Generations) -> Iterator[sqlite3.Connection | None]:
    """Open the live read model of the projection itself, None if there is none yet."""
    path = generations.model(generations.live())
    if not path.exists():
        yield None
        return
    uri = database_uri(path, "rw")
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)) as db:
        yield db


def rows_where(db: sqlite3.Connection, condition: str, *values: object) -> list[Row]:
    """Return the first rows of a condition, which is ours, in order of `id`; a batch at most."""
    configured = db.execute("SELECT position FROM configuration").fetchone()
    at = configured[0] if configured else None
    found = db.execute(
        f"SELECT id, kind, name, revision, seconds FROM documents WHERE {condition}"  # noqa: S608
        " ORDER BY id LIMIT ?",
        (*values, BATCH),
    ).fetchall()
    return [
        Row(id, kind, name, revision if kind == CARGO else (revision, at), seconds)
        for id, kind, name, revision, seconds in found
    ]
