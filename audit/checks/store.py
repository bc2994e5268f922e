"""Check the event store by itself: nothing but its own rows is believed.

Positions are 1, 2, 3, …; every event can be read, and is in the stream of what it is about; the
versions of each stream are 1, 2, 3, … in the order of positions. The index of streams holds exactly
the events: both are read anyway, so their sums are compared, and no event is looked up in it.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from uuid import NAMESPACE_URL

import msgspec

from packledger.audit.checks.faults import EVERYBODY, REBUILD, RESTORE, Fault
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.event import Event
from packledger.domain.streams import STREAMS, AnyStream, stream_of
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Log, Recorded, recorded_of
from packledger.eventstore.mapper import UnknownEvent
from packledger.feeds.progress import Progress
from packledger.projections.log_tiles.fold import size_of
from packledger.projections.log_tiles.merkle import TILE_WIDTH

PAGE_EVENTS = 2_000
_NAMESPACE = NAMESPACE_URL.bytes
_sha1 = hashlib.sha1


class Places(msgspec.Struct):
    """A set of places, (stream, version, position), of which only this is kept.

    total: of their hashes, the same in whatever order they come.
    """

    count: int = 0
    total: int = 0

    def add(self, places: Iterable[tuple[str, int, int]]) -> None:
        """Add places that were not added before."""
        # Of text, not of tuples: the parts of these are all but added up, so that in 3 of 10 cases
        # two places that swap their positions keep their sum. Python hashes text with a key that
        # each process has of its own: sums of two processes cannot be compared.
        hashes = [hash(f"{stream} {version} {position}") for stream, version, position in places]
        self.count += len(hashes)
        self.total += sum(hashes)


class Checked(msgspec.Struct):
    """How far events were looked at. places: of those behind where the check began."""

    position: int
    places: Places = msgspec.field(default_factory=Places)


class WatchedLog:
    """A log of which every event is checked when it is read, as long as it is read in order.

    tiles: their table of times is compared, too; signed: what the log must reach; followers: are
    given every page, so that nobody need read it again. checked: whoever reads on from there with
    `verify_store` misses nothing.
    """

    def __init__(
        self,
        log: Log,
        since: int,
        tiles: sqlite3.Connection,
        signed: Sequence[int],
        followers: Sequence[Callable[[Sequence[Recorded]], None]] = (),
    ) -> None:
        self._log, self._tiles, self._followers = log, tiles, followers
        self._until = max(size_of(tiles), *signed, 0)
        tile, self._since = since // TILE_WIDTH, since
        self.checked = Checked(tile * TILE_WIDTH)
        before = "SELECT coalesce(max(latest), '') FROM times WHERE tile < ?"
        self._latest: str = tiles.execute(before, (tile,)).fetchone()[0]
        self._earliest = ""
        self.faults: list[Fault] = []

    def last_position(self) -> int:
        """Return the position of the newest event, no further than it is to be compared."""
        return min(self._log.last_position(), self._until)

    def read(self, after: int, limit: int, until: int | None = None) -> list[Recorded]:
        """Return at most `limit` events with positions in (after, until], in order."""
        page = self._log.read(after, limit, until)
        if after == self.checked.position and page:
            for one in page:
                if not _is_of(one.event, one.stream):
                    self.faults.append(_fault(_strayed(one.position)))
                at = one.event.at
                self._latest = max(self._latest, at)
                self._earliest = min(self._earliest or at, at)
                if one.position % TILE_WIDTH == 0:
                    self._check_time(one.position // TILE_WIDTH - 1)
            self.checked.position = page[-1].position
            self.checked.places.add(
                (one.stream, one.version, one.position)
                for one in page
                if one.position > self._since
            )
            for follow in self._followers:
                follow(page)
        return page

    def _check_time(self, tile: int) -> None:
        found = "SELECT earliest, latest FROM times WHERE tile = ?"
        row = self._tiles.execute(found, (tile,)).fetchone()
        wanted, self._earliest = (self._earliest, self._latest), ""
        if row != wanted and (tile + 1) * TILE_WIDTH <= size_of(self._tiles):
            what = f"the tiles' times of tile {tile} are wrong"
            self.faults.append(Fault(what, "views of the past", REBUILD))


def verify_store(
    log: Log, since: int, checked: Checked, damage_of: Callable[[], str], progress: Progress
) -> Iterator[Fault]:
    """Yield what is wrong with the events behind a position, in constant memory.

    checked: what was looked at event by event, it goes on from there; damage_of: what `Log.damage`
    returns or raises.
    """
    damage = damage_of()
    if damage:
        yield _fault(f"is damaged: {damage}")
    last = log.last_position()  # what is appended from now on is left out
    yield from _rows(log, since, last, checked, progress)
    yield from _streams(log, since, last, checked.places, bool(damage))


def _fault(what: str) -> Fault:
    return Fault(f"the event store {what}", EVERYBODY, RESTORE)


def _rows(log: Log, since: int, last: int, checked: Checked, progress: Progress) -> Iterator[Fault]:
    """Yield gaps in the positions, and events that cannot be read or are in a wrong stream."""
    position = checked.position
    while page := log.read_rows(position, PAGE_EVENTS, last):
        if page[-1][0] <= position:  # read on from there it could go round for ever
            raise DamagedLog("its events are out of order")
        checked.places.add((row[1], row[2], row[0]) for row in page if row[0] > since)
        for row in page:
            at = row[0]
            if at != position + 1:
                yield _fault(f"lacks the events at positions {position + 1} to {at - 1}")
            position = at
            try:
                one = recorded_of(row)
            except (DamagedLog, UnknownEvent) as error:
                yield _fault(f"has an event at position {at}: {error.__cause__ or error}")
            else:
                if not _is_of(one.event, one.stream):
                    yield _fault(_strayed(at))
        progress(position, last)


def _strayed(position: int) -> str:
    return f"has an event at position {position} in another stream than that of what it is about"


def _is_of(event: Event, stream: str) -> bool:
    """Return whether an event is in the stream of what it says that it is about.

    As `Stream.id`, in a third of its time; what differs is the version that each UUID carries.
    """
    begin, canonical, name_in = _HOMES.get(type(event)) or _home(stream_of(event))
    text = f"{begin}{canonical(name_in(event))}"
    digest = _sha1(_NAMESPACE + text.encode(), usedforsecurity=False).hexdigest()
    return (digest[:12], digest[13:16], digest[17:32]) == (stream[:12], stream[13:16], stream[17:])


def _home(kind: AnyStream) -> tuple[str, Callable[[str], str], Callable[[Event], str]]:
    """Return what an id is made of: its beginning, and of an event the rest."""
    return kind.identifier(""), kind.canonical, kind.name_in


_HOMES = {
    event: _home(kind) for kind in STREAMS for event in kind.events if event is not BlobPurged
}
"""Of events of one kind of stream: to ask each for it would cost a sixth of a check."""


def _streams(log: Log, since: int, last: int, events: Places, known: bool) -> Iterator[Fault]:
    """Yield that the index of streams does not hold the events behind `since`, up to `last`.

    If it does, yield the streams in disorder. known: the file is known to be damaged, which
    explains the first.
    """
    index = Places()
    try:
        disordered = sum(1 for _ in _disorder(log, since, last, index))
    except DamagedLog:
        if known:
            return
        raise
    if index == events and disordered:
        yield from _disorder(log, since, last, Places())
    elif index != events and not known:
        yield _fault("is damaged: its index of streams does not hold its events")


def _disorder(log: Log, since: int, last: int, index: Places) -> Iterator[Fault]:
    """Yield the streams whose versions are not 1, 2, 3, … in the order of positions.

    index: gets the places behind `since`, up to `last`.
    """
    before, version, position, told = "", 0, 0, ""
    places = log.places()
    while page := list(islice(places, PAGE_EVENTS)):
        index.add(place for place in page if since < place[2] <= last)
        for stream, its_version, its_position in page:
            if stream != before:
                before, version, position = stream, 0, 0
            disorder = its_version != version + 1 or its_position <= position
            if disorder and its_position > since and told != stream:
                told = stream
                yield _fault(
                    f"has the stream `{stream}` in disorder: its version {its_version} is at "
                    f"position {its_position}, version {version} at {position}"
                )
            version, position = its_version, its_position
