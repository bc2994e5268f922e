"""Witnesses: others who remember the log's size and cosign only what continues it.

Source: https://c2sp.org/tlog-witness
"""

import base64
import re
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from packledger.audit.translog.notes import (
    COSIGNATURE,
    BadNote,
    Note,
    Signature,
    VerifierKey,
    parse_signatures,
    parse_verifier,
)
from packledger.audit.translog.proofs import Tree

TIMEOUT_S = 2.0
"""Of a whole exchange. A witness that is asked for every checkpoint answers in milliseconds."""
ANSWER_LIMIT_BYTES = 16 * 1024
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


class NotWitnessed(Exception):
    """A sentence about why there is no cosignature."""


class Witness:
    """One witness of this log. url: its submission prefix."""

    def __init__(self, key: VerifierKey, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.key, self._url, self.timeout_s = key, url.rstrip("/"), timeout_s
        self._size = 0

    def cosign(self, note: Note, size: int, tree: Tree) -> Signature:
        """Return its cosignature of a checkpoint of this size.

        Raises:
            NotWitnessed: it cannot be reached, does not know the log, or has seen another one.
        """
        status, answer = self._ask(note, size, tree)
        if status == 409:
            self._size = self._latest(answer, size)
            status, answer = self._ask(note, size, tree)
        if status != 200:
            said = answer[:200].decode(errors="replace").strip()
            raise NotWitnessed(f"the witness `{self.key.name}` answered {status}: {said}")
        signature = self._cosignature(note, answer)
        self._size = size
        return signature

    def _latest(self, answer: bytes, size: int) -> int:
        """Return the size that the witness has seen, from its answer 409."""
        match = _SIZE.fullmatch(answer)
        if match is None:
            raise NotWitnessed(f"the witness `{self.key.name}` has seen another tree of this size")
        seen = int(match[1])
        if seen > size:
            raise NotWitnessed(
                f"the witness `{self.key.name}` has seen {seen} entries of this log, which now has "
                f"{size}: was the event store restored from an older backup?"
            )
        return seen

    def _ask(self, note: Note, size: int, tree: Tree) -> tuple[int, bytes]:
        proof = tree.consistency(self._size, size)
        lines = [f"old {self._size}", *(base64.b64encode(one).decode() for one in proof)]
        body = "".join(f"{line}\n" for line in lines) + f"\n{note}"
        try:
            return _post(f"{self._url}/add-checkpoint", body.encode(), self.timeout_s)
        except (OSError, HTTPException, ValueError) as error:
            raise NotWitnessed(
                f"the witness `{self.key.name}` cannot be asked: {error or type(error).__name__}"
            ) from error

    def _cosignature(self, note: Note, answer: bytes) -> Signature:
        try:
            lines = parse_signatures(answer.decode())
            found = self.key.signed(Note(note.text, tuple(lines)))
        except (BadNote, UnicodeDecodeError) as error:
            raise NotWitnessed(
                f"the witness `{self.key.name}` cosigned wrongly: {error}"
            ) from error
        if found is None:
            raise NotWitnessed(f"the witness `{self.key.name}` did not cosign with its key")
        return found


def parse_witness(text: str) -> Witness:
    """Return the witness of a setting `VKEY URL`.

    Raises:
        BadNote: it does not look like that.
    """
    vkey, _, url = text.strip().partition(" ")
    key = parse_verifier(vkey)
    parts = urlsplit(url.strip())
    if key.kind != COSIGNATURE:
        raise BadNote(f"the key of `{key.name}` is no witness's: it does not cosign")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadNote(f"the witness `{key.name}` needs a URL behind its key, not `{url}`")
    return Witness(key, url.strip())


def _post(url: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
    """Return the status and the body of an answer; all within `timeout_s`, however slow it comes.

    Raises:
        OSError, HTTPException, ValueError: there is none.
    """
    deadline_s = time.monotonic() + timeout_s
    parts = urlsplit(url)
    assert parts.hostname is not None
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("POST", parts.path, body, {"content-type": "text/plain"})
        response = connection.getresponse()
        answer = b""
        while piece := response.read1(ANSWER_LIMIT_BYTES):
            answer += piece
            if len(answer) > ANSWER_LIMIT_BYTES:
                raise ValueError("its answer is too long")
            if time.monotonic() > deadline_s:
                raise TimeoutError("its answer is too slow")
        return response.status, answer
    finally:
        connection.close()
