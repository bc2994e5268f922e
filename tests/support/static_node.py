"""A node with a static tree in one process: the log, the read models, the tree and its writer."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from packledger.domain.ecosystems import CARGO, NPM
from packledger.feeds.feed import Recorded
from packledger.projections.board import Board
from packledger.projections.generation import Generations
from packledger.projections.model_reader import ModelReader
from packledger.projections.packuments import reads as packument_reads
from packledger.projections.packuments.fold import PACKUMENTS, Packuments
from packledger.projections.projector import Projector
from packledger.projections.read_model import ReadModel
from packledger.projections.rebuild import Outcome, rebuild
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SPARSE_INDEX, SparseIndex
from packledger.projections.static_tree.check import wrong_files
from packledger.projections.static_tree.files import StaticFiles, paths_of
from packledger.projections.static_tree.fold import STATIC_TREE, StaticTree
from packledger.projections.static_tree.sources import sources_of
from packledger.projections.static_tree.writer import StaticWriter
from small_logs import ListFeed

KINDS = {kind.name: kind for kind in (SparseIndex, Packuments)}
CONFIG_FILE = b'{"dl":"http://registry.example.com"}'


class StaticNode:
    """Everything that outlives a process is in `folder`; `restart` begins anew on it."""

    def __init__(self, folder: Path, log: list[Recorded], page_events: int = 500) -> None:
        self.folder, self.log = folder, log
        self.root, self.tree = folder / "read", folder / "tree"
        self.board = Board(folder / "board")
        self.feed = ListFeed(log, page_events=page_events)
        self.projector: Projector | None = None
        self.restart()

    def restart(self) -> None:
        if self.projector is not None:
            self.projector.close()
        self.files = StaticFiles(self.tree)
        self.writer = StaticWriter(
            self.files,
            Generations(self.root, STATIC_TREE),
            self.board,
            sources_of(self._reader, lambda name: Generations(self.root, name), None),
            CONFIG_FILE,
        )
        self.writer.adopt()
        kinds = [StaticTree(self.files), SparseIndex(), Packuments()]
        self.projector = Projector(self.feed, kinds, self.root, self.board)

    def _reader(self, name: str) -> ModelReader:
        generations = Generations(self.root, name)
        return ModelReader(generations, self.board, name, KINDS[name].schema)

    def step(self) -> bool:
        assert self.projector is not None
        return self.projector.step()

    def catch_up(self) -> None:
        """Apply all that is in the log, and write all that is dirty."""
        assert self.projector is not None
        self.projector.catch_up()
        self.board.stop()
        assert not any(one.failed for one in self.projector.live)
        self.writer.write()

    def rebuild(self, kind: Any, *, check: bool = False) -> Outcome:
        return rebuild(self.feed, kind, self.root, self.board, check=check)

    def position(self) -> int:
        """The position that the projection has committed, whatever any process knows."""
        generations = Generations(self.root, STATIC_TREE)
        path = generations.model(generations.live())
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()
        return int(row[0])

    def served(self) -> dict[str, tuple[bytes, int]]:
        """What nginx would answer with: path → bytes and modification time; no config.json."""
        found = {path: self.files.read(path) for path in self.files.every()}
        return {path: file for path, file in found.items() if file and "config.json" not in path}

    def plain(self) -> dict[str, bytes]:
        return {path: body for path, (body, _) in self.served().items() if not path.endswith(".gz")}

    def wrong(self) -> list[str]:
        return wrong_files(self.writer)

    def close(self) -> None:
        if self.projector is not None:
            self.projector.close()
        self.board.close()


def documents_at(log: list[Recorded], folder: Path) -> dict[str, bytes]:
    """What the app would serve of a log: path in the tree → bytes, from fresh read models."""
    folder.mkdir(exist_ok=True)
    found: dict[str, bytes | None] = {}
    for number, (name, kind) in enumerate(((SPARSE_INDEX, SparseIndex), (PACKUMENTS, Packuments))):
        model = ReadModel(folder / f"{name}-{len(log)}", kind())
        if log:
            model.apply(log)
        db = model.db
        if number == 0:
            for (crate,) in db.execute("SELECT name FROM crates").fetchall():
                (path,) = paths_of(CARGO, crate)
                found[path] = sparse_index.index_file_of(db, crate)
        else:
            for (package,) in db.execute("SELECT name FROM packages").fetchall():
                full, short = paths_of(NPM, package)
                found[full] = packument_reads.full_of(db, package, None)
                found[short] = packument_reads.abbreviated_of(db, package)
        model.close()
    return {path: body for path, body in found.items() if body is not None}
