"""What every event is: who did it and when; its stored name and its stored bytes.

A struct's tag is the stored type name and never changes; neither do the fields of a published tag
(a new shape gets a new tag and an upcaster in `eventstore/mapper.py`). `tests/unit/test_events.py`
pins them all. Stored bytes are canonical JSON, see `encode`.
"""

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What every event carries.

    at: RFC 3339, UTC, three digits of a second, `Z`; by: account name; token: its public id;
    request: id of the HTTP request or command. The last three are empty when there was none.
    """

    at: str
    by: str = ""
    token: str = ""
    request: str = ""


_encoder = msgspec.json.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """Return canonical JSON: no blanks, struct fields in order, mapping keys sorted."""
    return _encoder.encode(value)


def tag_of(kind: type[Event]) -> str:
    """Return the stored type name of an event class, such as `crate.version_yanked.v1`."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
