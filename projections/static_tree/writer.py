"""Writes the static tree's files from the other read models, once for many changes.

A document is rendered without any lock. Its files are put in place, and its row marked clean, with
the projection's lock held and only if it has not changed meanwhile; the projection removes files
with that lock, too. So no file is older than the position that commands wait for, and whoever is
killed at any moment leaves missing files with dirty rows at worst.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from packledger.domain.errors import RegistryError
from packledger.projections.board import Board
from packledger.projections.documents import render
from packledger.projections.generation import Generations
from packledger.projections.static_tree.files import CONFIG, FormFile, StaticFiles
from packledger.projections.static_tree.fold import STATIC_TREE
from packledger.projections.static_tree.sources import Row, Source, opened_tree, rows_where

INTERVAL_S = 0.05
"""How often it looks for changed documents, at least; nginx asks the app for them until then."""
MAX_PAUSE_S = 2.0
"""After a pass it pauses for twice as long as that took: a package of 8 MB that is published again
and again costs a third of a core, and all the while nginx asks the app for it."""
RETRY_S = 1.0

log = logging.getLogger("packledger.static_tree")


def never() -> bool:
    """Go on to the end."""
    return False


class StaticWriter:
    """Writes what is dirty. Belongs to one thread; a second writer is harmless.

    config: the index's `config.json`.
    """

    def __init__(
        self,
        files: StaticFiles,
        generations: Generations,
        board: Board,
        sources: Mapping[str, Source],
        config: bytes,
    ) -> None:
        self.files, self.generations, self.sources = files, generations, sources
        self._board, self._config = board, config

    def run(self, stopping: Callable[[], bool]) -> None:
        """Write whatever becomes dirty until `stopping` says so."""
        seen, failing = None, False
        while not stopping():
            state, pause_s = self._state(), INTERVAL_S
            if state != seen:
                began_s = time.monotonic()
                try:
                    self.write(stopping)
                except (RegistryError, OSError, sqlite3.Error) as error:
                    if not failing:
                        log.error("the static tree cannot be written now; trying again: %s", error)
                    pause_s, failing = RETRY_S, True
                else:
                    pause_s = max(pause_s, 2 * (time.monotonic() - began_s))
                    seen, failing = state, False
            time.sleep(min(pause_s, MAX_PAUSE_S))

    def _followed(self) -> dict[str, Generations]:
        named = {one.reader.projection: one.generations for one in self.sources.values()}
        return {STATIC_TREE: self.generations, **named}

    def _state(self) -> list[tuple[int, int, bool, bool]]:
        """Return what moves whenever there may be something to write."""
        board = self._board
        return [
            (
                board.generation(name),
                board.position(name),
                board.readable(name),
                board.failed(name),
            )
            for name in self._followed()
        ]

    def _settled(self) -> bool:
        """Return whether the board names the generations that are live: not amid a swap."""
        board = self._board
        return all(
            board.readable(name) and board.generation(name) == generations.live()
            for name, generations in self._followed().items()
        )

    def adopt(self) -> None:
        """Have the app asked for everything that was made from other read models than are live now.

        So it is after a rebuild, of the tree or of what it is made from, and after another boot:
        then a power cut may have taken renames and contents that were never flushed.
        """
        with opened_tree(self.generations) as db:
            for kind, source in self.sources.items():
                stamps = self.generations.stamp(), source.generations.stamp()
                origin = f"{_boot()} {stamps}"
                if self.files.origin(kind) == origin:
                    continue
                with self.generations.locked():
                    self.files.set_aside(kind)
                    if db is not None:
                        db.execute("UPDATE documents SET dirty = 1 WHERE kind = ?", (kind,))
                        self.files.set_origin(kind, origin)

    def write(self, stopping: Callable[[], bool] = never) -> int:
        """Write every dirty document that can be written now; return how many were.

        Raises:
            Unavailable: a README's blob is not to be had; the other documents were written.
            OSError: the tree cannot be written.
        """
        if self._board.failed(STATIC_TREE):
            return self._give_up()
        if not self._settled():
            return 0
        self.adopt()
        written = after = 0
        missing: RegistryError | None = None
        # Before the file is opened: it is compared again when the lock is held.
        stamp = self.generations.stamp()
        with opened_tree(self.generations) as db:
            while db is not None and not stopping():
                rows = rows_where(db, "dirty = 1 AND id > ?", after)
                if not rows:
                    break
                done, error = self._write_rows(db, stamp, rows)
                written, missing, after = written + done, missing or error, rows[-1].id
        self._write_config()
        self.files.sweep()
        if missing is not None:
            raise missing
        return written

    def _give_up(self) -> int:
        """Have the app asked for everything: nobody removes files that are out of date any more."""
        with self.generations.locked():
            for kind in self.sources:
                self.files.set_aside(kind)
        return 0

    def _write_rows(
        self, db: sqlite3.Connection, stamp: tuple[int, int], rows: list[Row]
    ) -> tuple[int, RegistryError | None]:
        """Return how many were written, and why not all."""
        rendered: dict[Row, list[FormFile]] = {}
        missing = None
        try:
            for row in rows:
                try:
                    forms = self.sources[row.kind].forms(row)
                except RegistryError as error:
                    missing = error
                    continue
                if forms is not None:
                    files = rendered[row] = []
                    for form in forms:
                        files.append(self.files.write(form.path, render(form.body), form.mtime_s))
            with self.generations.locked():
                same = self.generations.stamp() == stamp
                return self._place(db, rendered) if same else 0, missing
        finally:
            for files in rendered.values():
                self.files.discard(files)

    def _place(self, db: sqlite3.Connection, rendered: Mapping[Row, list[FormFile]]) -> int:
        """Put in place what is still as the projection sees it: the files, then the rows."""
        current = [
            row for row in rendered if rows_where(db, "id = ? AND dirty = 1", row.id) == [row]
        ]
        for row in current:
            for file in rendered[row]:
                self.files.place(file)
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "UPDATE documents SET dirty = 0 WHERE id = ?", [(row.id,) for row in current]
        )
        db.execute("COMMIT")
        return len(current)

    def _write_config(self) -> None:
        found = self.files.read(CONFIG)
        if found is None or found[0] != self._config:
            file = self.files.write(CONFIG, render(self._config), int(time.time()))
            with self.generations.locked():
                self.files.place(file)


def _boot() -> str:
    """Return what is another after each boot of the machine."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
