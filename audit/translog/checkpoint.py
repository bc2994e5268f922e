"""Checkpoints: the size and the root of a log, as the text of a signed note.

Source: https://c2sp.org/tlog-checkpoint
"""

import base64
import binascii
import re

import msgspec

from packledger.audit.translog.notes import BadNote, Note, VerifierKey, parse_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(msgspec.Struct, frozen=True):
    """A state of a log. origin: which log; size: leaves; root: 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def origin_of(public_url: str) -> str:
    """Return the origin of a registry's log: where it is served, without the scheme.

    A plus is not allowed in the name of a key.
    """
    return f"{public_url.partition('://')[2]}/log".replace("+", "%2B")


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint that a note's text is; extension lines are not looked at.

    Raises:
        BadNote: it is none.
    """
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise BadNote("the note is not a checkpoint: origin, size and root, each on a line")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (ValueError, binascii.Error):
        root = b""
    if len(root) != 32 or base64.b64encode(root).decode() != lines[2]:
        raise BadNote(f"`{lines[2][:100]}` is not the root hash of a checkpoint")
    return Checkpoint(lines[0], int(lines[1]), root)


def open_checkpoint(data: bytes, key: VerifierKey) -> tuple[Checkpoint, Note]:
    """Return a checkpoint that a log's key has signed.

    Raises:
        BadNote: it is none, of another log, or the signature is missing or not valid.
    """
    note = parse_note(data)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != key.name:
        raise BadNote(
            f"the checkpoint is of the log `{checkpoint.origin}`, the key of `{key.name}`"
        )
    if key.signed(note) is None:
        raise BadNote(f"the checkpoint is not signed with the key `{key.name}+{key.key_id.hex()}`")
    return checkpoint, note
