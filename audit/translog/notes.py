"""Signed notes: a text, signature lines, and the keys that make and check them.

Source: https://c2sp.org/signed-note and https://c2sp.org/tlog-cosignature
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519, COSIGNATURE = 1, 4
"""Signature types: Ed25519 over the text, and a witness's over a time and the text."""
NOTE_LIMIT_BYTES = 64 * 1024
_KEY_BYTES = 32
_SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 8 + 64}


class BadNote(Exception):
    """A sentence about a key or a note that cannot be used."""


class Signature(msgspec.Struct, frozen=True):
    """One signature line. key_id: four bytes; body: as long as its type wants it."""

    name: str
    key_id: bytes
    body: bytes

    def line(self) -> str:
        """Return the line, with its newline."""
        return f"\N{EM DASH} {self.name} {_base64(self.key_id + self.body)}\n"


class Note(msgspec.Struct, frozen=True):
    """A text that ends with a newline, and its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(one.line() for one in self.signatures)}"


class VerifierKey(msgspec.Struct, frozen=True):
    """The public half of a key. kind: `ED25519` or `COSIGNATURE`; public: 32 bytes."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that, with the name, tell keys apart."""
        return _key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes([self.kind]) + self.public)}"

    def signed(self, note: Note) -> Signature | None:
        """Return this key's valid signature of a note, None if there is none.

        Raises:
            BadNote: a signature in this key's name is not valid.
        """
        for one in note.signatures:
            if (one.name, one.key_id) == (self.name, self.key_id):
                self._check(note.text, one.body)
                return one
        return None

    def _check(self, text: str, body: bytes) -> None:
        # Imported here and below: who only reads notes is spared 8 MB.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        message = text.encode()
        if self.kind == COSIGNATURE:
            time_s = int.from_bytes(body[:8], "big")
            message = b"cosignature/v1\ntime %d\n" % time_s + message
        try:
            if len(body) != _SIGNATURE_BYTES[self.kind]:
                raise InvalidSignature
            Ed25519PublicKey.from_public_bytes(self.public).verify(body[-64:], message)
        except (InvalidSignature, ValueError) as error:
            raise BadNote(f"the signature of `{self.name}` is not valid") from error


class SignerKey:
    """The private half of a log's key."""

    def __init__(self, name: str, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.verifier = VerifierKey(name, ED25519, private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Note:
        """Return a text with this key's signature."""
        key = self.verifier
        signature = Signature(key.name, key.key_id, self._private.sign(text.encode()))
        return Note(text, (signature,))

    def encoded(self) -> str:
        """Return the key in the form in which Go's note package keeps it. It is a secret."""
        key = self.verifier
        secret = _base64(bytes([ED25519]) + self._private.private_bytes_raw())
        return f"PRIVATE+KEY+{key.name}+{key.key_id.hex()}+{secret}"


def new_key(name: str) -> SignerKey:
    """Return a new key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return SignerKey(name, Ed25519PrivateKey.generate())


def parse_signer(text: str) -> SignerKey:
    """Return the key of `SignerKey.encoded`.

    Raises:
        BadNote: it is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    prefix, _, rest = text.strip().partition("+KEY+")
    name, key_id, body = _key_parts(rest, "the private key")
    if prefix != "PRIVATE" or body[0] != ED25519:
        raise BadNote("the private key is not an Ed25519 key of a signed note")
    key = SignerKey(name, Ed25519PrivateKey.from_private_bytes(body[1:]))
    if key.verifier.key_id != key_id:
        raise BadNote("the private key is damaged: its id does not fit it")
    return key


def parse_verifier(text: str) -> VerifierKey:
    """Return the key of a line `NAME+ID+KEY`, such as `packledger log key` prints.

    Raises:
        BadNote: it is none, or of a type that is not known here.
    """
    name, key_id, body = _key_parts(text.strip(), f"the verifier key `{text.strip()[:200]}`")
    key = VerifierKey(name, body[0], body[1:])
    if key.kind not in _SIGNATURE_BYTES:
        raise BadNote(f"the key of `{name}` is of type {key.kind}; only Ed25519 is known here")
    if key.key_id != key_id:
        raise BadNote(f"the verifier key of `{name}` is mistyped: its id does not fit it")
    return key


def _key_parts(text: str, what: str) -> tuple[str, bytes, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, body = rest.partition("+")
    try:
        parts = name, bytes.fromhex(key_id), base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        parts = "", b"", b""
    if not is_key_name(name) or len(parts[1]) != 4 or len(parts[2]) != 1 + _KEY_BYTES:
        raise BadNote(f"{what} must look like NAME+8 hex digits+base64")
    return parts


def is_key_name(name: str) -> bool:
    """Return whether a key may have this name."""
    return bool(name) and name.isprintable() and not any(c.isspace() or c == "+" for c in name)


def parse_note(data: bytes) -> Note:
    """Return a note from its bytes; whether its signatures are valid, its keys say.

    Raises:
        BadNote: it is none.
    """
    if len(data) > NOTE_LIMIT_BYTES:
        raise BadNote(f"the signed note is longer than {NOTE_LIMIT_BYTES} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise BadNote("the signed note is not UTF-8") from error
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n") or any(c < " " and c != "\n" for c in whole):
        raise BadNote("this is not a signed note: a text, an empty line, signature lines")
    return Note(text + "\n", tuple(parse_signatures(lines)))


def parse_signatures(lines: str) -> Sequence[Signature]:
    """Return the signatures of lines, each ended by a newline.

    Raises:
        BadNote: a line is no signature.
    """
    return [_signature(line) for line in lines.removesuffix("\n").split("\n")]


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    try:
        body = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        body = b""
    found = Signature(name, body[:4], body[4:])
    # Written back it is the same: base64 has bits at its end that decoders pass over.
    same = found.line() == f"{line}\n"
    if dash != "\N{EM DASH}" or not is_key_name(name) or len(body) < 5 or not same:
        raise BadNote(f"`{line[:100]}` is not a signature line of a note")
    return found


def _key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(f"{name}\n".encode() + bytes([kind]) + public).digest()[:4]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def names_of_signers(note: str, keys: Iterable[VerifierKey]) -> list[str]:
    """Return the names of those keys that have validly signed a note, none if it is none."""
    found = []
    for key in keys:
        with suppress(BadNote):
            if key.signed(parse_note(note.encode())) is not None:
                found.append(key.name)
    return found
