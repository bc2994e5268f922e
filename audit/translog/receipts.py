"""Receipts: that an event is in the log, for whoever has nothing but the verifier key.

The extra data is the entry, and behind a newline the stored state if it may be shown: together they
lead from the checkpoint's signature to what was published.

Source: https://c2sp.org/tlog-proof
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence

import msgspec

from packledger.audit.translog.checkpoint import Checkpoint, open_checkpoint
from packledger.audit.translog.notes import BadNote, Note, VerifierKey
from packledger.audit.translog.proofs import BadProof, Tree, check_inclusion
from packledger.projections.log_tiles.form import LogEntry
from packledger.projections.log_tiles.merkle import HASH_BYTES, leaf_hash

HEADER = "c2sp.org/tlog-proof@v1"
RECEIPT_LIMIT_BYTES = 2 * 1024 * 1024
"""A stored state is at most 512 KiB, its base64 a third more."""
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}")
_MOST_HASHES = 63
_entry = msgspec.json.Decoder(LogEntry)


class BadReceipt(Exception):
    """A sentence about why a receipt proves nothing."""


class Receipt(msgspec.Struct, frozen=True):
    """A receipt as it is written. state: empty when it is not told; note: the checkpoint."""

    index: int
    proof: tuple[bytes, ...]
    note: bytes
    entry: bytes
    state: bytes = b""

    def __bytes__(self) -> bytes:
        extra = self.entry + b"\n" + self.state if self.state else self.entry
        lines = [HEADER, f"extra {_base64(extra)}", f"index {self.index}"]
        lines += [_base64(one) for one in self.proof]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note


class Proven(msgspec.Struct, frozen=True):
    """What a receipt proves: an entry, and which log has it, in what state."""

    entry: LogEntry
    state: bytes
    checkpoint: Checkpoint
    note: Note


def make_receipt(entry: bytes, index: int, note: str, size: int, tree: Tree, state: bytes) -> bytes:
    """Return the receipt of an entry in the tree of a checkpoint. state: may be empty.

    Raises:
        MissingTile: the tiles do not reach that far.
    """
    proof = tuple(tree.inclusion(index, size))
    return bytes(Receipt(index, proof, note.encode(), entry, state))


def parse_receipt(data: bytes) -> Receipt:
    """Return a receipt from its file; nothing is verified yet.

    Raises:
        BadReceipt: it is none of ours.
    """
    head, _, note = data.partition(b"\n\n")
    try:
        lines = head.decode().split("\n")
        extra = base64.b64decode(lines[1].removeprefix("extra "), validate=True)
        index = lines[2].removeprefix("index ")
        proof = tuple(base64.b64decode(line, validate=True) for line in lines[3:])
    except (UnicodeDecodeError, binascii.Error, ValueError, IndexError) as error:
        raise BadReceipt("this is not a receipt of a log: it is no C2SP tlog-proof") from error
    entry, _, state = extra.partition(b"\n")
    found = Receipt(int(index) if _INDEX.fullmatch(index) else 0, proof, note, entry, state)
    whole = len(proof) <= _MOST_HASHES and all(len(one) == HASH_BYTES for one in proof)
    # Written back it is the same: whatever is left out or added in between is noticed.
    if not whole or bytes(found) != data or len(data) > RECEIPT_LIMIT_BYTES:
        raise BadReceipt("this is not a receipt of a log: it is damaged, or has no entry")
    return found


def verify_receipt(
    receipt: Receipt, key: VerifierKey, witnesses: Sequence[VerifierKey] = ()
) -> Proven:
    """Return what a receipt proves to somebody who trusts the keys. witnesses: all must cosign.

    Raises:
        BadReceipt: nothing.
    """
    try:
        checkpoint, note = open_checkpoint(receipt.note, key)
        missing = [one.name for one in witnesses if one.signed(note) is None]
        leaf = leaf_hash(receipt.entry)
        check_inclusion(leaf, receipt.index, checkpoint.size, checkpoint.root, receipt.proof)
        entry = _entry.decode(receipt.entry)
    except (BadNote, BadProof) as error:
        raise BadReceipt(str(error)) from error
    except msgspec.DecodeError as error:
        raise BadReceipt("the entry is in the log, but is none of this registry's") from error
    if missing:
        raise BadReceipt(f"the witness `{missing[0]}` has not cosigned the checkpoint")
    if entry.position != receipt.index + 1:
        raise BadReceipt(f"the entry says position {entry.position}, but is at {receipt.index + 1}")
    check_state(entry, receipt.state)
    return Proven(entry, receipt.state, checkpoint, note)


def check_state(entry: LogEntry, state: bytes) -> None:
    """Check that a stored state is the one that an entry names; an empty one is not told.

    Raises:
        BadReceipt: it is another.
    """
    if state and hashlib.sha256(state).hexdigest() != entry.state:
        raise BadReceipt("the state is not the one whose SHA-256 is in the log")


def published_file(proven: Proven, *, required: bool) -> str:
    """Return the SHA-256 of the `.crate` or `.tgz` that was published; empty if it is not told.

    Raises:
        BadReceipt: it is required, or the state is no JSON.
    """
    try:
        state = msgspec.json.decode(proven.state, type=dict) if proven.state else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadReceipt("the state is in the log, but is none of this registry's") from error
    published = state.get("cksum") or state.get("tarball") or ""
    if required and not published:
        raise BadReceipt("the receipt does not say which file was published; add --state FILE")
    return str(published)


def check_file(published: str, sha256: str) -> None:
    """Check that a file with this SHA-256 is what was published.

    Raises:
        BadReceipt: it is not.
    """
    if published != sha256:
        raise BadReceipt(f"the file's SHA-256 is {sha256}, published was {published}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
