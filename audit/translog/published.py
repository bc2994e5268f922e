"""The transparency log as a node serves it: the shared checkpoint over the node's own tiles."""

import sqlite3
import time
from collections.abc import Callable

import msgspec

from packledger.audit.history import entry_of
from packledger.audit.translog.checkpoint import parse_checkpoint
from packledger.audit.translog.notes import BadNote, parse_note
from packledger.audit.translog.proofs import MissingTile, Tree
from packledger.audit.translog.receipts import make_receipt
from packledger.domain.errors import NoSuchVersion, NotFound, Unavailable
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.npm.versions import npm_version_key
from packledger.domain.streams import OF_ECOSYSTEM, PACKAGES
from packledger.eventstore.checkpoints import Checkpoints
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Log
from packledger.eventstore.mapper import UnknownEvent
from packledger.projections.log_tiles.fold import bundle_of, size_of, tile_of
from packledger.projections.log_tiles.form import entries_in
from packledger.projections.log_tiles.merkle import TILE_WIDTH

LOOK_S = 0.5
"""How old a checkpoint may be that is served: the signer makes at most one a second."""


class Published(msgspec.Struct, frozen=True):
    """A checkpoint that is served. note: the signed note; vkey: verifies it."""

    note: str
    size: int
    vkey: str


class PublishedLog:
    """Reads for auditors; used by many threads. tiles: gives each its own connection."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        tiles: Callable[[], sqlite3.Connection],
        log: Log,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoints, self.tiles, self._log = checkpoints, tiles, log
        self._clock_s = clock_s
        self._newest: Published | None = None
        self._served: Published | None = None
        self._looked_s = -LOOK_S

    def newest(self) -> Published:
        """Return the newest published checkpoint, whether or not this node has its tiles.

        Raises:
            NotFound: the log was never signed.
            Unavailable: the event store cannot be read.
        """
        now_s = self._clock_s()
        if self._newest is None or now_s - self._looked_s >= LOOK_S:
            row = self._checkpoints.read()
            if not row.published:
                raise NotFound(
                    "the log of this registry is not signed yet; "
                    + (row.refusal or "that takes a moment after the first start")
                )
            try:
                size = parse_checkpoint(parse_note(row.published.encode()).text).size
            except BadNote as error:
                raise Unavailable(f"the log's checkpoint is damaged: {error}") from error
            self._newest = Published(row.published, size, row.vkey)
            self._looked_s = now_s
        return self._newest

    def checkpoint(self) -> Published:
        """Return the newest published checkpoint that this node's tiles reach.

        Raises:
            NotFound: the log was never signed.
            Unavailable: this node has no tiles for any checkpoint that it has seen.
        """
        newest = self.newest()
        if newest.size <= size_of(self.tiles()):
            self._served = newest
        if self._served is None:
            raise Unavailable("this node is still catching up with the log; try again in a moment")
        return self._served

    def entry(self, position: int) -> bytes | None:
        """Return the entry of an event, None if the tiles do not have it."""
        tile, place = divmod(position - 1, TILE_WIDTH)
        bundle = bundle_of(self.tiles(), tile, place + 1)
        return entries_in(bundle)[place] if bundle else None

    def receipt(self, position: int, *, with_state: bool) -> bytes:
        """Return the receipt of an event.

        Raises:
            NotFound: no checkpoint has it yet.
            Unavailable: the tiles are damaged, or not there.
        """
        published = self.checkpoint()
        if not 1 <= position <= published.size:
            raise NotFound(
                f"position `{position}` is not in the log's checkpoint, which has "
                f"{published.size} entries; a new event is there after about a second"
            )
        entry = self.entry(position)
        rows = self._log.read(position - 1, 1) if with_state else []
        state = rows[0].state if rows else b""
        tree = Tree(lambda *tile: tile_of(self.tiles(), *tile))
        try:
            if entry is None:
                raise MissingTile(0, (position - 1) // TILE_WIDTH)
            return make_receipt(entry, position - 1, published.note, published.size, tree, state)
        except MissingTile as error:
            raise Unavailable(str(error)) from error

    def subject(self, position: int) -> tuple[str, str]:
        """Return the ecosystem and the name of the package that an event is about, or empty ones.

        Empty, too, for an event that this release cannot read.
        """
        try:
            rows = self._log.read(position - 1, 1)
        except (UnknownEvent, DamagedLog):
            return "", ""
        kind, _, name = entry_of(rows[0]).subject.partition(":") if rows else ("", "", "")
        return (kind, name) if kind in OF_ECOSYSTEM else ("", "")

    def position_of(self, ecosystem: str, name: str, version: str) -> int:
        """Return the position at which a version was published; any text of it, for npm.

        Raises:
            NoSuchVersion: it never was.
        """
        kind = OF_ECOSYSTEM[ecosystem]
        if kind is PACKAGES:
            version = npm_version_key(version)
        for recorded in self._log.read_stream(kind, name):
            match recorded.event:
                case CrateVersionPublished(version=published):
                    found = published == version
                case NpmVersionPublished(version=published):
                    found = npm_version_key(published) == version
                case _:
                    found = False
            if found:
                return recorded.position
        raise NoSuchVersion(name, version)
