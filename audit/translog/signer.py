"""The signer: makes a checkpoint of what the tiles have, and never two that contradict each other.

It is the only process that has the key. A checkpoint is remembered beside the key and in the event
store's database before anybody else sees it, so that whatever fails, the next one continues it.

Source: https://c2sp.org/tlog-checkpoint
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from packledger.audit.translog.checkpoint import Checkpoint, parse_checkpoint
from packledger.audit.translog.cosigners import Cosigners
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import BadNote, Note, SignerKey, parse_note
from packledger.audit.translog.proofs import MissingTile, Tree
from packledger.domain.errors import Unavailable
from packledger.eventstore.checkpoints import CheckpointRow
from packledger.projections.log_tiles.fold import size_of, tile_of

INTERVAL_S = 1.0
"""At most one checkpoint in this time; a log at rest gets none."""
POLL_S = 0.1
PATIENCE_S = 5.0
"""After this it is said, once, that something is missing; at a start the tiles are."""

log = logging.getLogger("packledger.signer")


class Refused(Exception):
    """A sentence about why the log is not signed any more, and what to do."""


class SignedRow(Protocol):
    """The one row of what is signed and served."""

    def read(self) -> CheckpointRow:
        """Return what is there."""
        ...

    def replace(self, row: CheckpointRow) -> bool:
        """Store the row that follows; return whether it did."""
        ...


class Tiles(Protocol):
    """The tiles of the log: this node's, or another's over HTTP."""

    def size(self) -> int:
        """Return how many entries they have."""
        ...

    def tile(self, level: int, index: int, width: int, /) -> bytes | None:
        """Return the first `width` hashes of a tile, None if they are not there."""
        ...


class OwnTiles:
    """The tiles that this node has. db: a connection, for each thread."""

    def __init__(self, db: Callable[[], sqlite3.Connection]) -> None:
        self._db = db

    def size(self) -> int:
        """Return how many entries they have."""
        return size_of(self._db())

    def tile(self, level: int, index: int, width: int, /) -> bytes | None:
        """Return the first `width` hashes of a tile, None if they are not there."""
        return tile_of(self._db(), level, index, width)


class Signer:
    """Signs whenever `step` is called and there is something to sign.

    last_position: of the event store, since tiles that are behind are no reason to refuse.
    """

    def __init__(
        self,
        keys: LogKeys,
        checkpoints: SignedRow,
        tiles: Tiles,
        last_position: Callable[[], int],
        cosigners: Cosigners,
    ) -> None:
        self._keys, self._checkpoints = keys, checkpoints
        self._tiles, self._last_position = tiles, last_position
        self._tree = Tree(tiles.tile)
        self._cosigners = cosigners

    def run(self, stopping: Callable[[], bool], state: Callable[[], object]) -> None:
        """Sign until `stopping` says so. state: changes with the tiles."""
        seen, next_s, silent = None, 0.0, False
        well_s = time.monotonic()
        while not stopping():
            time.sleep(POLL_S)
            now_s = time.monotonic()
            if now_s < next_s:
                continue
            now = state(), self._keys.stamp()
            if now == seen and not self._cosigners.due():
                continue
            next_s = now_s + INTERVAL_S
            try:
                self.step()
                seen, well_s, silent = now, now_s, False
            except Unavailable as error:
                if not silent and now_s - well_s > PATIENCE_S:
                    log.warning("the log cannot be signed now: %s", error.sentence)
                    silent = True

    def step(self) -> bool:
        """Sign what is new, ask witnesses, publish; return whether anything changed.

        Raises:
            Unavailable: the tiles or the event store cannot be read or written now.
        """
        row = self._checkpoints.read()
        size = self._tiles.size()
        keys = self._keys.all()
        try:
            _check_ours(row, keys)
            last = self._last_signed(row, size)
        except Refused as refusal:
            return self._refuse(row, str(refusal))
        if last is not None and last.size > size:
            return False  # a rebuild of the tiles, or a restart: they are still on their way
        vkey = str(keys[0].verifier)
        if last is None or last.size < size or row.vkey != vkey or row.refusal or not row.signed:
            self._publish(self._sign(row, keys, size))
            return True
        return self._publish(row)

    def _last_signed(self, row: CheckpointRow, size: int) -> Checkpoint | None:
        """Return the largest checkpoint that was signed; the tree continues each that was.

        Raises:
            Refused: it does not.
        """
        largest: Checkpoint | None = None
        for text in filter(None, (row.signed, self._keys.remembered())):
            try:
                signed = parse_checkpoint(parse_note(text.encode()).text)
            except BadNote as error:
                raise Refused(f"the newest signed checkpoint is damaged: {error}; {_OR}") from error
            self._check_continues(signed, size)
            if largest is None or signed.size > largest.size:
                largest = signed
        return largest

    def _check_continues(self, signed: Checkpoint, size: int) -> None:
        if signed.size > size:
            if signed.size > (position := self._last_position()):
                raise Refused(
                    f"the log has {position} events, but {signed.size} were signed: the event "
                    "store lost some, as when it is restored from an older backup. Restore a newer "
                    f"one; {_OR}"
                )
            return
        try:
            root = self._tree.root(signed.size)
        except MissingTile as error:
            raise Refused(str(error)) from error
        if root != signed.root:
            raise Refused(
                f"the first {signed.size} events are not those that were signed: the event store "
                f"was changed, or is another one's. Restore the right one; {_OR}"
            )

    def _refuse(self, row: CheckpointRow, why: str) -> bool:
        if row.refusal == why:
            return False
        log.error("the log is not signed: %s", why)
        self._replace(msgspec.structs.replace(row, number=row.number + 1, refusal=why))
        return True

    def _sign(self, row: CheckpointRow, keys: Sequence[SignerKey], size: int) -> CheckpointRow:
        """Sign the tree with every key; it is remembered twice before it leaves this process."""
        text = Checkpoint(keys[0].verifier.name, size, self._tree.root(size)).text()
        signatures = tuple(one for key in keys for one in key.sign(text).signatures)
        note = str(Note(text, signatures))
        self._keys.remember(note)
        # With witnesses it is published when they were asked.
        published = row.published if self._cosigners else note
        after = CheckpointRow(row.number + 1, note, published, str(keys[0].verifier))
        self._replace(after)
        return after

    def _publish(self, row: CheckpointRow) -> bool:
        """Publish the signed checkpoint with the cosignatures that it has got by now."""
        signed = parse_note(row.signed.encode())
        checkpoint = parse_checkpoint(signed.text)
        published = str(
            self._cosigners.cosigned(_with_old(signed, row), checkpoint.size, self._tree)
        )
        if published == row.published:
            return False
        after = msgspec.structs.replace(row, number=row.number + 1, published=published)
        self._replace(after)
        return True

    def _replace(self, row: CheckpointRow) -> None:
        if not self._checkpoints.replace(row):
            raise Unavailable("another process signs this log, too; only one may have the key")


def _with_old(signed: Note, row: CheckpointRow) -> Note:
    """Return a note with the cosignatures that are published for the same text already."""
    if not row.published:
        return signed
    try:
        served = parse_note(row.published.encode())
    except BadNote:
        return signed
    ours = {one.name for one in signed.signatures}
    old = (one for one in served.signatures if served.text == signed.text and one.name not in ours)
    return Note(signed.text, (*signed.signatures, *old))


def _check_ours(row: CheckpointRow, keys: Sequence[SignerKey]) -> None:
    """Check that the newest checkpoint was signed with a key that is here.

    Raises:
        Refused: it was not.
    """
    if row.vkey and row.vkey not in {str(key.verifier) for key in keys}:
        raise Refused(
            f"the log is signed with the key `{row.vkey}`, which is not in `log.key` here: it was "
            f"lost, or another process signs. Bring `log.key` and `log.signed` back; {_OR}"
        )


_OR = (
    "if there is none, run `packledger log restart`, which begins another history, and tell the "
    "auditors"
)
