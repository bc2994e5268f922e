"""What a projection is to those that drive it, and what one adds whose generations are SQLite.

A generation is a folder with what was folded from the log, and its own checkpoint: the position up
to which it was folded. How both are kept is the projection's own affair, as long as they move
together: rows in SQLite (`SQLiteProjection`), commits of a repository, files.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from packledger.domain.events.event import Event
from packledger.feeds.feed import Recorded


class Meta(NamedTuple):
    """What a generation says of itself. built: it has been up to date, so that it may be read."""

    position: int
    schema: int
    renderer: int
    built: bool


class Digest(NamedTuple):
    """What all that a generation holds comes to, on any machine. sha256: hex."""

    rows: int
    sha256: str


class Difference(NamedTuple):
    """What is not the same in two generations: documents by their keys, or else what they are of.

    Both empty: nothing.
    """

    documents: list[str]
    parts: list[str]


class Beside(Protocol):
    """The live generation beside its replay, for comparison. Others go on writing the live one."""

    def position(self) -> int:
        """Return the live generation's checkpoint."""
        ...

    def begin(self) -> bool:
        """From now on see the live one as it is; return whether it should equal its replay."""
        ...

    def difference(self) -> Difference:
        """Return what is not the same, at one position."""
        ...

    def damage(self) -> str:
        """Return what is wrong where nothing differs, such as an index; empty when nothing is."""
        ...

    def close(self) -> None:
        """Forget the live generation."""
        ...


class Model(Protocol):
    """A generation that is being written. Belongs to one thread.

    A private one is read by nobody until `share`, and starts anew if it is interrupted.
    """

    def position(self) -> int:
        """Return the checkpoint."""
        ...

    def stamp(self) -> tuple[int, int]:
        """Return the schema and the renderer that it was begun with."""
        ...

    def built(self) -> bool:
        """Return whether it has been up to date at some time."""
        ...

    def set_built(self) -> None:
        """Say that it is up to date now."""
        ...

    def apply(self, page: Sequence[Recorded]) -> int:
        """Apply what is new of a page; return the checkpoint, kept together with it.

        Raises:
            Gap: the page does not continue the checkpoint.
        """
        ...

    def end(self) -> None:
        """Write all of a private one: nothing more comes into it."""
        ...

    def share(self) -> None:
        """Make a private one that may be read and followed: whole, and on the disk."""
        ...

    def hold(self) -> None:
        """Go on seeing what is there now, whatever others write; until `close`."""
        ...

    def digest(self) -> Digest:
        """Return what it holds as two numbers."""
        ...

    def beside(self, live: Path) -> Beside | None:
        """Return the generation in the folder `live` beside this replay; None if damaged."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


class Projection(Protocol):
    """A projection: how it is folded from the log, and where its generations are kept.

    `renderer` changes when the same events shall give other bytes, `schema` when readers must read
    otherwise. `has_files`: files beside its generations follow the live one, so a rebuild goes no
    further than that is.
    """

    name: str
    schema: int
    renderer: int
    has_files: bool

    def open(self, folder: Path, *, private: bool = False, lazy: bool = False) -> Model:
        """Open a generation to write it, begun if the folder is empty.

        lazy: the checkpoint may be behind what `apply` returned, by events that changed nothing.
        """
        ...

    def meta(self, folder: Path) -> Meta | None:
        """Return what a generation says of itself, None if it is missing or damaged."""
        ...

    def damage(self, folder: Path) -> str:
        """Return what is wrong with a generation as files, empty when nothing is."""
        ...

    def lacks(self, folder: Path) -> str:
        """Return what is missing in a whole one of this schema, such as a table; empty: nothing."""
        ...


class Fold(Protocol):
    """How the rows of a read model in SQLite are folded. Belongs to one thread.

    `indexes` are those that only `flush` and readers need, not `apply`.
    """

    name: str
    schema: int
    renderer: int
    has_files: bool
    tables: str
    indexes: str

    @property
    def concerns(self) -> frozenset[type[Event]] | None:
        """The types of the events that may change a row; None: all of them."""
        ...

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events. May keep rows in memory until `flush`."""
        ...

    def flush(self, db: sqlite3.Connection) -> None:
        """Write everything that `apply` kept."""
        ...

    def spill(self, db: sqlite3.Connection) -> None:
        """Write enough of what `apply` kept. What needs `indexes` or is made of rows may wait."""
        ...

    def kept(self) -> int:
        """Return how many rows `apply` keeps."""
        ...

    def forget(self) -> None:
        """Drop all that is kept and cached: a rollback happened, or somebody else wrote."""
        ...

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield (key, uncompressed bytes) of all that a reader could see, in order of the key."""
        ...
