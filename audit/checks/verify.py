"""What a whole check of a registry says, put together from its parts."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from packledger.audit.checks.faults import AUDITORS, EVERYBODY, RESTORE, Fault
from packledger.audit.checks.log import SignedLog
from packledger.audit.translog.checkpoint import parse_checkpoint
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import (
    BadNote,
    VerifierKey,
    names_of_signers,
    parse_note,
    parse_verifier,
)
from packledger.domain.errors import NotFound, Unavailable
from packledger.eventstore.blobs.store import disk_errors_as_refusals
from packledger.eventstore.checkpoints import CheckpointRow, Checkpoints
from packledger.eventstore.damaged_log import DamagedLog, damage_as_refusal
from packledger.eventstore.mapper import UnknownEvent

MOST_FAULTS = 200
"""That one part tells; the others are counted."""
SERVED = "the served checkpoint"
SIGNED_LAST = "the checkpoint that was signed last"
STORED = "the checkpoint beside the log that was signed last"
PUBLISHING_S = 6.0
"""How long witnesses may be waited for before a checkpoint that is signed is served."""


class Part(msgspec.Struct):
    """What a part of the check says. more: faults beyond those that are kept; notes: no faults."""

    faults: list[Fault] = []
    notes: list[str] = []
    more: int = 0
    blobs: int = 0
    orphans: int = 0

    def add(self, found: Iterable[Fault]) -> None:
        """Keep faults, or count them."""
        with self.guarded():
            for fault in found:
                if len(self.faults) < MOST_FAULTS:
                    self.faults.append(fault)
                else:
                    self.more += 1

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Take it for a fault when a store cannot be read."""
        try:
            with disk_errors_as_refusals(), damage_as_refusal():
                yield
        except DamagedLog as error:
            self.faults.append(Fault(error.sentence, EVERYBODY, RESTORE))
        except (Unavailable, UnknownEvent) as error:
            affected = "what could not be checked any more"
            self.faults.append(Fault(str(error), affected, "mend that, and verify again"))


class Report(msgspec.Struct, frozen=True):
    """The whole. since: what lies before was not looked at; position: of the log's last event.

    blobs: how many were read, None when they were left out; orphans: blobs that nothing names;
    read_models: those that were compared; more: faults that are only counted; notes: what need not
    be wrong, but should be known.
    """

    since: int
    position: int
    blobs: int | None
    orphans: int | None
    read_models: Sequence[str]
    faults: Sequence[Fault]
    more: int
    notes: Sequence[str]


class Kept(msgspec.Struct, frozen=True):
    """What somebody else remembers of the log, whatever is stored here.

    notes: what a checkpoint is called → a signed note; key: that they were signed with, None for
    the log's own; own: the log's own, if it is known from elsewhere; witnesses: whose cosignatures
    count.
    """

    notes: dict[str, str] = {}
    key: VerifierKey | None = None
    own: VerifierKey | None = None
    witnesses: tuple[VerifierKey, ...] = ()


def signed_log(checkpoints: Checkpoints, keys: LogKeys, kept: Kept, part: Part) -> SignedLog | None:
    """Return what was signed, None if nothing ever was; faults of the key go to the part."""
    remembered = keys.remembered()
    row = _served(checkpoints, remembered)
    part.notes += _unwitnessed(row, kept)
    key = kept.own
    notes = {SERVED: row.published, STORED: row.signed, SIGNED_LAST: remembered or row.signed}
    if row.signed in {row.published, notes[SIGNED_LAST]}:
        del notes[STORED]  # it is looked at under another name
    if row.vkey and key is None:
        try:
            key = parse_verifier(row.vkey)
        except BadNote as error:
            what = f"the key beside the log's checkpoint is damaged: {error}"
            part.add([Fault(what, AUDITORS, RESTORE)])
        part.add(_key_faults(keys, row.vkey))
    signed = SignedLog(SERVED, {}, {})
    for name, note in {**notes, **kept.notes}.items():
        signer = kept.key or key if name in kept.notes else key
        if note and signer:
            signed.notes[name], signed.keys[name] = note, signer
        elif note and not row.vkey:
            what = f"{name} cannot be checked: nothing is signed here any more"
            part.add([Fault(what, AUDITORS, "give the key that it was signed with, --key VKEY")])
    return signed if signed.notes else None


def _unwitnessed(row: CheckpointRow, kept: Kept) -> Iterator[str]:
    """Yield that nobody else remembers the log."""
    if not row.published:
        yield "nothing is signed: nobody can tell whether the history was changed"
    if not names_of_signers(row.published, kept.witnesses) and not kept.notes:
        yield (
            "no witness: nobody else remembers this history. Whoever can write the event store and "
            "this directory can rewrite it unseen: name a witness in `witnesses`, or keep a "
            "checkpoint elsewhere and give it with --checkpoint (docs/AUDIT.md)"
        )


def _served(checkpoints: Checkpoints, remembered: str) -> CheckpointRow:
    """Return the row, once it serves what is remembered: that was signed a moment before."""
    deadline_s = time.monotonic() + PUBLISHING_S
    row = checkpoints.read()
    while row.signed == remembered != row.published and size_of_note(row.published) < size_of_note(
        remembered
    ):
        if time.monotonic() > deadline_s:
            break
        time.sleep(0.1)
        row = checkpoints.read()
    return row


def sizes_of(signed: SignedLog | None) -> list[int]:
    """Return how many events each checkpoint has; 0 for one that is damaged."""
    return [size_of_note(note) for note in signed.notes.values()] if signed else []


def size_of_note(note: str) -> int:
    """Return how many events a signed checkpoint has, 0 for none or a damaged one."""
    try:
        return parse_checkpoint(parse_note(note.encode()).text).size if note else 0
    except BadNote:
        return 0


def _key_faults(keys: LogKeys, vkey: str) -> Iterable[Fault]:
    try:
        ours = [str(key.verifier) for key in keys.all()]
    except NotFound:
        return  # another node signs
    except Unavailable as error:
        yield Fault(error.sentence, AUDITORS, "restore `log.key` from a backup")
        return
    if vkey not in ours:
        yield Fault(
            f"the log is signed with the key `{vkey}`, which is not in `log.key`",
            AUDITORS,
            "bring `log.key` back; if it is lost, run `packledger log restart`",
        )
