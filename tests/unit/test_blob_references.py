"""Which blobs the log names."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec
import pytest
from hypothesis import given, settings

from histories import EVERYTHING, histories
from packledger.audit.blob_references import BlobReference, BlobReferences
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.npm import NpmVersionPublished
from packledger.eventstore.damaged_log import DamagedLog
from packledger.feeds.feed import Recorded


class WrittenLog:
    """A log that is there already, and grows when a test says so."""

    def __init__(self, events: Sequence[Recorded]) -> None:
        self.events = list(events)

    def read(self, after: int, limit: int, until: int | None = None) -> list[Recorded]:
        return self.events[:until][after : after + limit]

    def last_position(self) -> int:
        return len(self.events)


def read(log: WrittenLog) -> BlobReferences:
    return BlobReferences(log)  # type: ignore[arg-type]


def expected(events: Sequence[Recorded]) -> Iterator[BlobReference]:
    gone = [one.event for one in events if isinstance(one.event, BlobPurged)]
    purged = {f"{one.ecosystem}:{one.name}@{one.version}" for one in gone}
    for event in (one.event for one in events):
        match event:
            case CrateVersionPublished(name=name, version=version, cksum=file, readme=readme):
                subject = f"cargo:{name}@{version}"
            case NpmVersionPublished(name=name, version=version, tarball=file, readme=readme):
                subject = f"npm:{name}@{version}"
            case _:
                continue
        yield BlobReference(file, subject, "file", subject in purged)
        if readme:
            yield BlobReference(readme, subject, "readme", subject in purged)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_every_blob_is_known_with_what_names_it(events: list[Recorded]) -> None:
    with closing(read(WrittenLog(events))) as references:
        references.catch_up()
        assert references.position == len(events)
        named = list(references)
        assert named == sorted(expected(events))
        for one in named:
            assert one in references.of(one.digest)
            assert references.needs(one.digest) is any(
                not other.purged for other in named if other.digest == one.digest
            )
        needed = [one.digest for one in named if not one.purged]
        assert list(references.needed()) == sorted(set(needed))
        assert references.count_needed() == len(set(needed))
        assert references.of("f" * 64) == []
        assert not references.needs("f" * 64)


def test_it_may_be_read_up_to_a_position() -> None:
    for position in range(len(EVERYTHING) + 1):
        with closing(read(WrittenLog(EVERYTHING))) as references:
            references.catch_up(until=position)
            assert references.position == position
            assert list(references) == sorted(expected(EVERYTHING[:position]))


def test_what_is_appended_later_is_read_from_there() -> None:
    log = WrittenLog(EVERYTHING[:5])
    with closing(read(log)) as references:
        references.catch_up()
        log.events = EVERYTHING
        told: list[tuple[int, int]] = []
        references.catch_up(lambda done, total: told.append((done, total)))
        assert list(references) == sorted(expected(EVERYTHING))
        assert told[-1] == (len(EVERYTHING), len(EVERYTHING))


@pytest.mark.parametrize("field", ["cksum", "tarball", "readme"])
@pytest.mark.parametrize("digest", ["no digest", "ab", "é" * 64, "ab" * 33])
def test_what_is_no_digest_is_damage(field: str, digest: str) -> None:
    one = next(one for one in EVERYTHING if hasattr(one.event, field))
    event = msgspec.structs.replace(one.event, **{field: digest})
    log = WrittenLog([msgspec.structs.replace(one, event=event)])
    with closing(read(log)) as references, pytest.raises(DamagedLog, match="no digest"):
        references.catch_up()
