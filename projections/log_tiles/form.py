"""What the transparency log says of an event: its canonical envelope, one entry of the log.

The stored state itself stays out: the entry is small, holds nothing private but the account's name,
and with the state's digest proves the state to whoever has it.
"""

import hashlib

import msgspec

from packledger.feeds.feed import Recorded

ENTRY_LIMIT_BYTES = 65_535
"""An entry bundle writes an entry's length in two bytes. Source: https://c2sp.org/tlog-tiles"""


class LogEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An entry; its fields and their order never change, or every hash would.

    position: ≥ 1, so the leaf's index is position - 1; type: the stored tag; stream: 32 hex digits;
    version: of the stream, ≥ 1; time: RFC 3339, UTC, milliseconds; actor: an account's name, empty
    for the operator; state: SHA-256 hex of the stored bytes.
    """

    position: int
    type: str
    stream: str
    version: int
    time: str
    actor: str
    state: str


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(LogEntry).decode
_sha256 = hashlib.sha256


def entry_of(recorded: Recorded) -> bytes:
    """Return the entry of an event: canonical JSON, no blanks, fields in order, no newline."""
    event = recorded.event
    state = _sha256(recorded.state).hexdigest()
    return _encode(
        LogEntry(
            recorded.position,
            recorded.tag,
            recorded.stream,
            recorded.version,
            event.at,
            event.by,
            state,
        )
    )


def framed(entry: bytes) -> bytes:
    """Return an entry as it stands in an entry bundle, behind its length.

    Raises:
        OverflowError: it is longer than `ENTRY_LIMIT_BYTES`.
    """
    return len(entry).to_bytes(2, "big") + entry


def entries_in(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle, whole or cut behind an entry.

    Raises:
        ValueError: it ends inside an entry.
    """
    entries, at = [], 0
    while at < len(bundle):
        length = int.from_bytes(bundle[at : at + 2], "big")
        entry = bundle[at + 2 : at + 2 + length]
        if at + 2 > len(bundle) or len(entry) < length:
            raise ValueError("the entry bundle ends inside an entry")
        entries.append(entry)
        at += 2 + length
    return entries


def time_of(entry: bytes) -> str:
    """Return the time of an entry."""
    return _decode(entry).time
