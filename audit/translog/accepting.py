"""Accept checkpoints of a log that is signed elsewhere: whoever has the key need prove no more."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from packledger.audit.translog.checkpoint import open_checkpoint, parse_checkpoint
from packledger.audit.translog.notes import BadNote, Note, Signature, VerifierKey, parse_note
from packledger.audit.translog.proofs import MissingTile, Tree
from packledger.domain.errors import Conflict, Invalid, Unavailable
from packledger.eventstore.checkpoints import CheckpointRow, Checkpoints


def accept(
    checkpoints: Checkpoints,
    keys: Sequence[VerifierKey],
    note: bytes,
    size: Callable[[], int],
    tree: Tree,
) -> None:
    """Serve a signed checkpoint from now on. size, tree: of the tiles that are here.

    keys: the log's, which must have signed it, then the witnesses'. Other signatures are left out,
    and those that are served already stay: anybody can add lines to a note, or take some away.

    Raises:
        Invalid: it is not signed with the key, or is not of this log.
        Conflict: the log has another history, or a newer checkpoint.
        Unavailable: the tiles are not there yet, or somebody else accepts one just now.
    """
    try:
        found, signed = open_checkpoint(note, keys[0])
    except BadNote as error:
        raise Invalid(f"this is no checkpoint of this log: {error}") from error
    if found.size > size():
        raise Unavailable("this node is still catching up with the log; try again in a moment")
    row = checkpoints.read()
    before = _size_of(row.published)
    if found.size < before:
        raise Conflict(f"the log serves a checkpoint of {before} entries already")
    try:
        root = tree.root(found.size)
    except MissingTile as error:
        raise Unavailable(str(error)) from error
    if root != found.root:
        raise Conflict(
            f"the first {found.size} events here are not those that were signed: the event store "
            "was changed, or is another one's"
        )
    text = str(Note(signed.text, _merged(signed, row.published, keys)))
    after = CheckpointRow(row.number + 1, text, text, str(keys[0]))
    same = msgspec.structs.replace(after, number=row.number)
    if same != row and not checkpoints.replace(after):
        raise Unavailable("another checkpoint is accepted just now; try again in a moment")


def _merged(signed: Note, served: str, keys: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    """Return the valid signatures of a text by these keys, with those that are served."""
    old = parse_note(served.encode()) if _size_of(served) else signed
    found = []
    for key in keys:
        for note in (signed, old) if old.text == signed.text else (signed,):
            with suppress(BadNote):
                signature = key.signed(note)
                if signature is not None:
                    found.append(signature)
                    break
    return tuple(found)


def _size_of(note: str) -> int:
    try:
        return parse_checkpoint(parse_note(note.encode()).text).size if note else 0
    except BadNote:
        return 0
