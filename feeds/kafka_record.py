"""An event as a record of the topic.

Key: the stream; value: the stored bytes; headers, in this order: `id` (position), `prev` (the
position before it in the topic, 0 for the first), `link` (a digest of this event and all before
it), `version` and `tag`.
"""

import hashlib
from typing import Any

from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import decode_event
from packledger.feeds.feed import BrokenFeed

NO_LINK = b""
"""What the first event's link continues."""


def next_link(link: bytes, recorded: Recorded) -> bytes:
    """Return the link of the event that follows the one with this link.

    128 bits: two logs that share one hold the same events up to there.
    """
    place = f"{recorded.position} {recorded.stream} {recorded.version} {recorded.tag}\n"
    return hashlib.sha256(link + place.encode() + recorded.state).digest()[:16]


def to_record(recorded: Recorded, prev: int, link: bytes) -> dict[str, Any]:
    """Return an event as the arguments of `KafkaProducer.send`. link: its own."""
    return {
        "key": recorded.stream.encode(),
        "value": recorded.state,
        "headers": [
            ("id", b"%d" % recorded.position),
            ("prev", b"%d" % prev),
            ("link", link),
            ("version", b"%d" % recorded.version),
            ("tag", recorded.tag.encode()),
        ],
    }


def place_of(record: Any) -> tuple[int, int, bytes]:
    """Return a record's `id`, `prev` and `link`.

    Raises:
        BrokenFeed: the record is not of a relay.
    """
    try:
        (_, position), (_, prev), (_, link) = record.headers[:3]
        return int(position), int(prev), link
    except (ValueError, TypeError) as error:
        raise _strange(record) from error


def from_record(record: Any) -> Recorded:
    """Return the event of a record.

    Raises:
        BrokenFeed: the record is not of a relay.
        UnknownEvent: a newer release wrote it.
    """
    try:
        (_, position), _, _, (_, version), (_, tag) = record.headers
        position, version, tag = int(position), int(version), tag.decode()
        stream = record.key.decode()
    except (ValueError, TypeError, AttributeError) as error:
        raise _strange(record) from error
    event = decode_event(tag, record.value)
    return Recorded(position, version, event, stream, tag, record.value)


def _strange(record: Any) -> BrokenFeed:
    return BrokenFeed(
        f"topic `{record.topic}` holds something at offset {record.offset} that no relay wrote; "
        "delete the topic, the relay publishes the log again"
    )
