"""An event as a record of the topic.

Key: the stream; value: the stored bytes; headers `id` (position), `prev` (the position before it in
the topic, 0 for the first), `version` and `tag`, in this order.
"""

from typing import Any

from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import decode_event
from packledger.feeds.feed import BrokenFeed


def to_record(recorded: Recorded, prev: int) -> dict[str, Any]:
    """Return an event as the arguments of `KafkaProducer.send`."""
    return {
        "key": recorded.stream.encode(),
        "value": recorded.state,
        "headers": [
            ("id", b"%d" % recorded.position),
            ("prev", b"%d" % prev),
            ("version", b"%d" % recorded.version),
            ("tag", recorded.tag.encode()),
        ],
    }


def place_of(record: Any) -> tuple[int, int]:
    """Return a record's `id` and `prev`.

    Raises:
        BrokenFeed: the record is not of a relay.
    """
    try:
        (_, position), (_, prev) = record.headers[:2]
        return int(position), int(prev)
    except (ValueError, TypeError) as error:
        raise _strange(record) from error


def from_record(record: Any) -> Recorded:
    """Return the event of a record.

    Raises:
        BrokenFeed: the record is not of a relay.
        UnknownEvent: a newer release wrote it.
    """
    try:
        (_, position), _, (_, version), (_, tag) = record.headers
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
