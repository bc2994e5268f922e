"""The only bridge between our events and the `eventsourcing` library.

Stored names are literal tags, found in one table; a name from the database is never imported.
An event whose tag was superseded is decoded by its old struct and lifted by an upcaster.
"""

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent

from packledger.domain.errors import RegistryError
from packledger.domain.events import EVENTS, Event, encode, tag_of
from packledger.domain.streams import State, kind_of, type_of_state
from packledger.eventstore.damaged_log import DamagedLog

SNAPSHOT_SCHEMA = 3
"""Part of a snapshot's tag: one written by another schema is not read but folded anew."""


class StreamEvent(msgspec.Struct, frozen=True):
    """An event in its place in a stream, in the shape that the library saves."""

    originator_id: UUID
    originator_version: int
    event: Event


class StreamSnapshot(msgspec.Struct, frozen=True):
    """A stream's folded state at a version, in the shape that the library saves."""

    originator_id: UUID
    originator_version: int
    state: State


DECODERS: dict[str, Callable[[bytes], Event]] = {
    tag: msgspec.json.Decoder(kind).decode for tag, kind in EVENTS.items()
}
"""Tag → decoder. An upcaster is one more entry: old tag → a function that returns the new event."""

_SNAPSHOT_DECODERS: dict[str, Callable[[bytes], State]] = {
    f"{kind}.snapshot.v{SNAPSHOT_SCHEMA}": msgspec.json.Decoder(cls).decode
    for kind, cls in type_of_state.items()
}
_SEAL_BYTES = 32


class UnknownEvent(RegistryError):
    """The log holds an event that this release does not know: a newer release wrote it."""

    def __init__(self, tag: str) -> None:
        shown = tag.encode("unicode_escape").decode()  # a damaged one is of any letters
        super().__init__(f"unknown event `{shown}` in the log; run the release that wrote it")


def decode_event(tag: str, state: bytes) -> Event:
    """Return the event stored under a tag.

    Raises:
        UnknownEvent: no decoder for the tag.
        DamagedLog: the bytes do not fit the tag.
    """
    if type(tag) is not str or type(state) is not bytes:
        raise DamagedLog("an event's tag is no text, or its state no bytes")
    decoder = DECODERS.get(tag)
    if decoder is None:
        raise UnknownEvent(tag)
    try:
        return decoder(state)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter for strings
        raise DamagedLog(f"an event `{tag}` cannot be read ({error})") from error


def snapshot_tag(kind: str) -> str:
    """Return the stored name of a snapshot of a stream of this kind."""
    return f"{kind}.snapshot.v{SNAPSHOT_SCHEMA}"


def _sealed(snapshot: StreamSnapshot, body: bytes) -> bytes:
    """Return what is stored: nobody but its digest could tell whether a snapshot was changed."""
    return _seal_of(snapshot.originator_id, snapshot.originator_version, body) + body


def _opened(stored: StoredEvent) -> bytes:
    if type(stored.state) is bytes:
        seal, body = stored.state[:_SEAL_BYTES], stored.state[_SEAL_BYTES:]
        if seal == _seal_of(stored.originator_id, stored.originator_version, body):
            return body
    raise DamagedLog("a snapshot is not as it was written")


def _seal_of(stream: UUID | str, version: int, body: bytes) -> bytes:
    return hashlib.sha256(f"{stream} {version} ".encode() + body).digest()


class EventMapper(Mapper[UUID]):
    """Translates stream events and snapshots to stored rows and back."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Return the row of a `StreamEvent` or `StreamSnapshot`."""
        if isinstance(domain_event, StreamSnapshot):
            # Not `encode`: it sorts keys, and the order of owners and versions is part of a state.
            body = _sealed(domain_event, msgspec.json.encode(domain_event.state))
            tag = snapshot_tag(kind_of(domain_event.state))
        else:
            tag, body = tag_of(type(domain_event.event)), encode(domain_event.event)
        return StoredEvent(domain_event.originator_id, domain_event.originator_version, tag, body)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Return the `StreamEvent` or `StreamSnapshot` of a row.

        Raises:
            UnknownEvent: no decoder for its tag.
            DamagedLog: it cannot be what was written.
        """
        stream, version = stored_event.originator_id, stored_event.originator_version
        assert isinstance(stream, UUID)
        snapshot = _SNAPSHOT_DECODERS.get(stored_event.topic)
        if snapshot is not None:
            return StreamSnapshot(stream, version, snapshot(_opened(stored_event)))
        return StreamEvent(stream, version, decode_event(stored_event.topic, stored_event.state))
