"""The only bridge between our events and the `eventsourcing` library.

Stored names are literal tags, found in one table; a name from the database is never imported.
An event whose tag was superseded is decoded by its old struct and lifted by an upcaster.
"""

import hmac
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from packledger.domain.errors import RegistryError
from packledger.domain.events import EVENTS
from packledger.domain.events.event import Event, encode, tag_of
from packledger.domain.streams import DOWNLOADS, STREAMS, AnyStream, Folded
from packledger.eventstore.damaged_log import DamagedLog

SNAPSHOT_SCHEMA = 4
"""Part of a snapshot's tag: one written by another schema is not read but folded anew."""


class StreamEvent(msgspec.Struct, frozen=True):
    """An event in its place in a stream, in the shape that the library saves."""

    originator_id: UUID
    originator_version: int
    event: Event


class StreamSnapshot(msgspec.Struct, frozen=True):
    """A stream's folded state at a version, in the shape that the library saves.

    tag: of its kind of stream, as `snapshot_tag` gives it.
    """

    originator_id: UUID
    originator_version: int
    tag: str
    state: Any


DECODERS: dict[str, Callable[[bytes], Event]] = {
    tag: msgspec.json.Decoder(kind).decode for tag, kind in EVENTS.items()
}
"""Tag → decoder. An upcaster is one more entry: old tag → a function that returns the new event."""

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


def snapshot_tag(kind: AnyStream) -> str:
    """Return the stored name of a snapshot of a stream of this kind."""
    return f"{kind.stored_as}.snapshot.v{SNAPSHOT_SCHEMA}"


_SNAPSHOT_DECODERS: dict[str, Callable[[bytes], Folded]] = {
    snapshot_tag(kind): msgspec.json.Decoder(kind.state).decode for kind in STREAMS
}


def is_snapshot_tag(tag: str) -> bool:
    """Return whether snapshots of this name are read, and matter: nothing is decided on counts."""
    return tag in _SNAPSHOT_DECODERS and tag != snapshot_tag(DOWNLOADS)


def snapshot_body(state: Folded) -> bytes:
    """Return what is stored of a state, behind the seal."""
    return msgspec.json.encode(state)


def unsealed(stored: bytes) -> bytes:
    """Return what is stored of a state, whatever its seal."""
    return stored[_SEAL_BYTES:] if type(stored) is bytes else b""


class EventMapper(Mapper[UUID]):
    """Translates stream events and snapshots to stored rows and back.

    key: seals snapshots. Nothing that is stored beside one could tell whether it was changed:
    whoever writes the one can write the other.
    """

    def __init__(self, transcoder: Transcoder, key: bytes) -> None:
        super().__init__(transcoder)
        self._key = key

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Return the row of a `StreamEvent` or `StreamSnapshot`."""
        if isinstance(domain_event, StreamSnapshot):
            # Not `encode`: it sorts keys, and the order of owners and versions is part of a state.
            tag, body = domain_event.tag, snapshot_body(domain_event.state)
            place = domain_event.originator_id, domain_event.originator_version
            body = self._seal(*place, tag, body) + body
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
            state = snapshot(self._opened(stored_event))
            return StreamSnapshot(stream, version, stored_event.topic, state)
        return StreamEvent(stream, version, decode_event(stored_event.topic, stored_event.state))

    def _opened(self, stored: StoredEvent) -> bytes:
        if type(stored.state) is bytes:
            body = unsealed(stored.state)
            seal = self._seal(stored.originator_id, stored.originator_version, stored.topic, body)
            if hmac.compare_digest(stored.state, seal + body):
                return body
        raise DamagedLog("a snapshot is not as it was written")

    def _seal(self, stream: UUID | str, version: int, tag: str, body: bytes) -> bytes:
        return hmac.digest(self._key, f"{stream} {version} {tag} ".encode() + body, "sha256")
