"""What a past view shows is what was served then."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from event_stores import open_sqlite, recorded
from histories import histories
from packledger.audit.past.packages import Moments, PastCrate, PastPackage
from packledger.domain.errors import Invalid
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.registry import DownloadsCounted
from packledger.domain.streams import DOWNLOADS
from packledger.domain.times import rfc3339
from packledger.eventstore.log import Log, Recorded
from packledger.projections.log_tiles.fold import LogTiles, last_not_later, newest_time
from packledger.projections.log_tiles.merkle import TILE_WIDTH
from packledger.projections.packuments import fold as packuments
from packledger.projections.packuments.fold import Packuments
from packledger.projections.packuments.reads import (
    abbreviated_of,
    full_of,
    head_of,
    public_url_of,
    tarball_of,
)
from packledger.projections.projection import Fold
from packledger.projections.read_model import ReadModel
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SparseIndex, crate_file_of, index_file_of
from small_registry import memory_folder

NOW = datetime(2026, 11, 21, 11, tzinfo=UTC)
CRATES = ["demo", "other", "a-b", "a_b", "gone"]
PACKAGES = ["demo", "@acme/tool", "gone"]
VERSIONS = ["0.1.0", "1.0.0", "1.0.1-rc.1", "2.0.0"]


@contextmanager
def stored(history: Sequence[Recorded]) -> Iterator[Log]:
    """The same history in a real log."""
    with memory_folder() as folder, closing(open_sqlite(folder)) as log:
        rows = [StoredEvent(UUID(one.stream), one.version, one.tag, one.state) for one in history]
        log.recorder.insert_events(rows)
        yield log


SET_PURGED = {"cargo": sparse_index.set_purged, "npm": packuments.set_purged}


@contextmanager
def purged_today(
    db: sqlite3.Connection, ecosystem: str, history: Sequence[Recorded]
) -> Iterator[None]:
    """A read model as it was, but for the bytes that are gone by now: no view gives them back."""
    db.execute("SAVEPOINT as_it_was")
    for event in (one.event for one in history):
        if isinstance(event, BlobPurged) and event.ecosystem == ecosystem:
            SET_PURGED[ecosystem](db, event.name, event.version, event.reason)
    yield
    db.execute("ROLLBACK TO as_it_was")
    db.execute("RELEASE as_it_was")


def crates(db: sqlite3.Connection) -> list[object]:
    files = [crate_file_of(db, name, version) for name in CRATES for version in VERSIONS]
    return [*(index_file_of(db, name) for name in CRATES), *files]


def npm_packages(db: sqlite3.Connection) -> list[object]:
    found: list[object] = []
    for name in PACKAGES:
        head = head_of(db, name)
        found += [
            full_of(db, name, None),
            abbreviated_of(db, name),
            head.dist_tags if head else None,
            *(tarball_of(db, name, version) for version in VERSIONS),
        ]
    return found


def past_crates(log: Log, position: int) -> list[object]:
    pasts = [PastCrate(log, name, position) for name in CRATES]
    files = [past.file(version) for past in pasts for version in VERSIONS]
    found = [*(past.index_file() for past in pasts), *files]
    for past in pasts:
        past.close()
    return found


def past_packages(log: Log, position: int, public_url: str) -> list[object]:
    found: list[object] = []
    for name in PACKAGES:
        past = PastPackage(log, name, position, public_url)
        found += [
            past.full(None),
            past.abbreviated(),
            past.dist_tags(),
            *(past.tarball(version) for version in VERSIONS),
        ]
        past.close()
    return found


@settings(max_examples=40, deadline=None)
@given(histories(), st.data())
def test_every_moment_shows_what_was_served_then(
    history: list[Recorded], data: st.DataObject
) -> None:
    positions = st.integers(0, len(history))
    chosen = sorted(data.draw(st.sets(positions, min_size=1, max_size=6)))
    projections: list[Fold] = [SparseIndex(), Packuments()]
    with stored(history) as log, memory_folder() as folder:
        index, packages = (ReadModel(folder / one.name, one) for one in projections)
        done = 0
        for position in chosen:
            for model in (index, packages) if position > done else ():
                model.apply(history[done:position])
            done = position
            with purged_today(index.db, "cargo", history):
                assert past_crates(log, position) == crates(index.db)
            with purged_today(packages.db, "npm", history):
                url = public_url_of(packages.db)
                assert past_packages(log, position, url) == npm_packages(packages.db)
        index.close()
        packages.close()


RIGHT = datetime(2026, 11, 21, 10, tzinfo=UTC)
OFF = st.sampled_from([timedelta(0)] * 6 + [timedelta(days=730), timedelta(seconds=-3)])
"""How wrong a clock is: most often right, ahead by two years, or set back."""


@st.composite
def jumping(draw: st.DrawFn) -> list[Recorded]:
    """A log, one second an event, whose clock jumps both ways for a while at a time."""
    runs = draw(st.lists(st.tuples(OFF, st.integers(1, 300)), max_size=6))
    offs = [off for off, length in runs for _ in range(length)]
    return [
        recorded(number, number, _counted(RIGHT + timedelta(seconds=number) + off), DOWNLOADS)
        for number, off in enumerate(offs, 1)
    ]


def _counted(at: datetime) -> DownloadsCounted:
    return DownloadsCounted(at=rfc3339(at), node="", counts={"cargo:demo": 1})


@settings(max_examples=60, deadline=None)
@given(jumping(), st.integers(-5, 1_900), st.sampled_from([0, 1, 999]), st.integers(0, 2_000))
def test_a_time_means_the_last_event_that_is_not_later(
    history: list[Recorded], second: int, millisecond: int, tiled: int
) -> None:
    moment = RIGHT + timedelta(seconds=second, milliseconds=millisecond)
    at = rfc3339(moment)
    position = max((one.position for one in history if one.event.at <= at), default=0)
    with stored(history) as log, memory_folder() as folder:
        now = moment + timedelta(hours=1)
        assert Moments(log, lambda: now, lambda at: (0, 0)).position(at) == position
        kind = LogTiles()
        tiles = ReadModel(folder / "tiles", kind)
        for page in (history[:tiled], history[tiled:]):  # the edge is read again in between
            if page:
                tiles.apply(page)
                kind.forget()
        moments = Moments(log, lambda: now, lambda at: last_not_later(tiles.db, at))
        with reads_of(log) as reads:
            assert moments.position(at) == position
        assert sum(reads) <= 2 * TILE_WIDTH, "however long the log is"
        newest = max((one.event.at for one in history), default="")
        assert newest_time(tiles.db) == newest
        tiles.close()


def test_one_event_dated_ahead_hides_nothing_that_follows() -> None:
    history = [
        recorded(number, number, _counted(at), DOWNLOADS)
        for number, at in enumerate([RIGHT, RIGHT + timedelta(days=730), RIGHT], 1)
    ]
    with stored(history) as log:
        moments = Moments(log, lambda: NOW, lambda at: (0, 0))
        assert moments.position("2026-11-21T10:30:00Z") == 3


@contextmanager
def reads_of(log: Log) -> Iterator[list[int]]:
    """How many events each read gives."""
    found: list[int] = []
    read = log.read

    def counted(*where: int | None) -> list[Recorded]:
        page = read(*where)  # type: ignore[arg-type]
        found.append(len(page))
        return page

    log.read = counted  # type: ignore[method-assign]
    try:
        yield found
    finally:
        del log.read


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        ("1", "in the future: the log has 0 events"),
        ("2026-11-21T11:00:01Z", "in the future"),
        ("2026-11-21T12:00:00.001+00:30", "in the future"),
        ("9" * 5000, "no moment"),
        ("²", "no moment"),
        ("yesterday", "no moment"),
        ("2026-13-01", "no moment"),
        ("2026-11-21T10:00:00Z'", "no moment"),
        ("-1", "no moment"),
        ("0001-01-01T00:00:00+14:00", "no moment"),
        ("", "no moment"),
    ],
)
def test_a_moment_that_is_none_is_refused(moment: str, says: str) -> None:
    with stored([]) as log, pytest.raises(Invalid, match=says):
        Moments(log, lambda: NOW, lambda at: (0, 0)).position(moment)


def test_a_date_is_its_beginning_and_zones_are_honoured() -> None:
    with stored([]) as log:
        moments = Moments(log, lambda: NOW, lambda at: (0, 0))
        for moment in ("0", "2026-11-21", "2026-11-21T11:00:00Z", "2026-11-21T12:00:00+01:00"):
            assert moments.position(moment) == 0
