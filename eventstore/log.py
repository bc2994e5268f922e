"""The log: load a stream, decide, append, and read everything back in order.

`execute` is the one way to change the registry. It decides on a state at a stream version and
appends at that version; whoever loses the race loads again and decides again.
"""

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import lt
from typing import Any, Generic, cast
from uuid import UUID

import msgspec
from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    Mapper,
    PersistenceError,
)
from eventsourcing.utils import Environment

from packledger.domain.errors import TooLarge, Unavailable
from packledger.domain.events.event import Event
from packledger.domain.streams import AnyStream, Decision, E, State, Stream
from packledger.eventstore.blobs.store import disk_errors_as_refusals
from packledger.eventstore.damaged_log import (
    DamagedLog,
    check_page,
    check_stream,
    damage_as_refusal,
    misfits_as_damage,
)
from packledger.eventstore.mapper import (
    EventMapper,
    StreamEvent,
    StreamSnapshot,
    decode_event,
    snapshot_tag,
)
from packledger.eventstore.store import LogRecorder, LogRow, Store, Watch

SNAPSHOT_EVERY = 100
CACHED_STREAMS = 2_000
"""Per process; a thin state of 10 versions is about 3 KB, so about 6 MB when full."""
STATE_LIMIT_BYTES = 512 * 1024
"""Of one stored event. The largest index line known, of `web-sys`, is 59 KB."""
DEADLINE_S = 5.0
PLACES = 5_000
"""Of events, read at once when all are looked at."""


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event in its place: its position in the log and its version in its stream, both ≥ 1.

    stream: 32 hex digits; tag and state: as they are stored, which is what the transparency log
    hashes. An event of an old tag is decoded into its successor: `tag` is still the old one.
    """

    position: int
    version: int
    event: Event
    stream: str
    tag: str
    state: bytes


class Loaded(msgspec.Struct, Generic[State], frozen=True):
    """A stream as it was at a version; version 0 and no state when it does not exist."""

    version: int
    state: State | None


class Log(Application[UUID]):
    """The registry's event log in a store, which it closes with itself.

    snapshot_key: seals snapshots and opens them; without one, none is read or taken.
    """

    name = "registry"
    is_snapshotting_enabled = True

    def __init__(
        self,
        store: Store,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        snapshot_key: bytes = b"",
    ) -> None:
        self._store, self._snapshot_key = store, snapshot_key
        self._clock_s, self._sleep = clock_s, sleep
        self._cache: OrderedDict[UUID, Loaded[Any]] = OrderedDict()
        self._cache_lock = threading.Lock()
        with disk_errors_as_refusals(), damage_as_refusal():
            super().__init__()

    def construct_env(self, name: str, env: Any = None) -> Environment:
        """Return the library's settings: ours alone, nothing from the process's environment."""
        return Environment(name, {"IS_SNAPSHOTTING_ENABLED": "y", **(env or {})})

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        """Return the factory of the recorders."""
        return self._store.factory(env)

    def construct_mapper(self) -> Mapper[UUID]:
        """Return the bridge to our events."""
        return EventMapper(self.construct_transcoder(), self._snapshot_key)

    def close(self) -> None:
        """Close every connection."""
        super().close()
        self.factory.close()
        self._store.close()

    def load(self, kind: Stream[State, E], name: str = "") -> Loaded[State]:
        """Return the state of the stream of a name, in any spelling.

        Never changed afterwards: safe to share between threads.

        Raises:
            Unavailable: the store cannot be read.
        """
        with disk_errors_as_refusals(), damage_as_refusal():
            return self._load(kind, kind.id(name))

    def _load(self, kind: Stream[State, E], stream: UUID) -> Loaded[State]:
        with self._cache_lock:
            start: Loaded[State] | None = self._cache.get(stream)
        if start is None:
            start = self._snapshot(kind, stream)
        tail = list(self._stream(stream, start.version))
        if not tail:
            self._remember(stream, start)
            return start
        version = start.version + len(tail)
        if tail[-1].originator_version != version:
            raise DamagedLog(f"the stream `{stream.hex}` lacks an event before version {version}")
        with misfits_as_damage(f"the stream `{stream.hex}`"):
            # those of another kind of stream, which it refuses, would be damage
            events = cast(list[E], [saved.event for saved in tail])
            loaded = Loaded(version, kind.fold(start.state, events))
        self._remember(stream, loaded)
        return loaded

    def _stream(self, stream: UUID, after: int) -> Iterator[StreamEvent]:
        return self.events.get(stream, gt=after)  # type: ignore[return-value]

    def _snapshot(self, kind: Stream[State, E], stream: UUID) -> Loaded[State]:
        assert self.snapshots is not None
        if not self._snapshot_key:
            return Loaded(0, None)
        try:
            with damage_as_refusal():
                newest = self.snapshots.recorder.select_events(stream, desc=True, limit=1)
            if not newest or newest[0].topic != snapshot_tag(kind):
                return Loaded(0, None)
            snapshot = self.mapper.to_domain_event(newest[0])
        except DamagedLog:  # it is only a snapshot
            return Loaded(0, None)
        assert isinstance(snapshot, StreamSnapshot)
        return Loaded(snapshot.originator_version, snapshot.state)

    def _remember(self, stream: UUID, loaded: Loaded[Any]) -> None:
        with self._cache_lock:
            known = self._cache.get(stream)
            if known is None or known.version <= loaded.version:
                self._cache[stream] = loaded
            self._cache.move_to_end(stream)
            if len(self._cache) > CACHED_STREAMS:
                self._cache.popitem(last=False)

    def execute(
        self, kind: Stream[State, E], name: str, decide: Decision[State, E]
    ) -> list[Recorded]:
        """Decide on a stream and append what was decided; at most `DEADLINE_S` of losing races.

        Raises:
            RegistryError: from `decide`; nothing was appended.
            Unavailable: the store cannot be written, or every attempt lost its race.
        """
        deadline_s = self._clock_s() + DEADLINE_S
        attempt = 0
        while True:
            loaded = self.load(kind, name)
            events = decide(loaded.state, loaded.version)
            try:
                return self._append(kind, name, loaded, events)
            except IntegrityError as error:
                attempt += 1
                if self._clock_s() > deadline_s:
                    raise Unavailable(
                        f"`{name}` is being changed by many at once; try again"
                    ) from error
                self._sleep(random.uniform(0, min(0.1, 0.002 * 2**attempt)))  # noqa: S311
            except PersistenceError as error:
                raise Unavailable(
                    f"the registry cannot write its event log now: {error}; try again later"
                ) from error

    def _append(
        self, kind: Stream[State, E], name: str, loaded: Loaded[State], events: Sequence[E]
    ) -> list[Recorded]:
        if not events:
            return []
        stream = kind.id(name)
        saved = [
            StreamEvent(stream, version, event)
            for version, event in enumerate(events, loaded.version + 1)
        ]
        rows = [self.mapper.to_stored_event(event) for event in saved]
        for row in rows:
            if len(row.state) > STATE_LIMIT_BYTES:
                raise TooLarge(
                    f"`{name}`: its metadata takes {len(row.state)} bytes, "
                    f"the limit is {STATE_LIMIT_BYTES}; shorten the manifest"
                )
        with damage_as_refusal():
            positions = self._recorder.insert_events(rows)
        assert positions is not None
        after = Loaded(loaded.version + len(events), kind.fold(loaded.state, events))
        self._remember(stream, after)
        if after.version // SNAPSHOT_EVERY > loaded.version // SNAPSHOT_EVERY:
            self._take_snapshot(kind, stream, after)
        return [
            Recorded(
                position, event.originator_version, event.event, stream.hex, row.topic, row.state
            )
            for position, event, row in zip(positions, saved, rows, strict=True)
        ]

    def _take_snapshot(self, kind: AnyStream, stream: UUID, loaded: Loaded[Any]) -> None:
        assert self.snapshots is not None
        if not self._snapshot_key:
            return
        try:
            tag = snapshot_tag(kind)
            self.snapshots.put([StreamSnapshot(stream, loaded.version, tag, loaded.state)])
        except PersistenceError:
            # The command is committed; a missing or doubled snapshot only makes a load slower.
            return

    def read(self, after: int, limit: int, until: int | None = None) -> list[Recorded]:
        """Return at most `limit` events with positions in (after, until], in order.

        Raises:
            UnknownEvent: a newer release wrote one of them.
            DamagedLog: one of them is missing, or cannot be read.
            Unavailable: the store cannot be read.
        """
        rows = self.read_rows(after, limit, until)
        check_page(rows, after)
        return list(map(recorded_of, rows))

    def read_rows(self, after: int, limit: int, until: int | None = None) -> list[LogRow]:
        """Return what is stored of at most `limit` events in (after, until], whatever it is.

        Raises:
            DamagedLog, Unavailable: the store cannot be read.
        """
        with disk_errors_as_refusals(), damage_as_refusal():
            return self._recorder.select_rows(after, limit, until)

    def places(self) -> Iterator[tuple[str, int, int]]:
        """Yield the (stream, version, position) of every event, in that order; whatever it is.

        Raises:
            DamagedLog: the store cannot be read, or its index is out of order.
            Unavailable: the store cannot be read.
        """
        last = ("0" * 32, 0, 0)
        while True:
            with disk_errors_as_refusals(), damage_as_refusal():
                page = self._recorder.select_places(last[0], last[1], PLACES)
            if not page:
                return
            if not _ascend([last, *page]):  # from there on it could lead back, for ever
                raise DamagedLog("its index of streams is out of order")
            yield from page
            last = page[-1]

    def damage(self) -> str:
        """Return what the database itself finds wrong with its files, empty when nothing.

        Raises:
            Unavailable: the store cannot be read.
        """
        with disk_errors_as_refusals(), damage_as_refusal():
            return self._recorder.damage()

    def read_stream(
        self,
        kind: AnyStream,
        name: str = "",
        until: int | None = None,
        newest: int | None = None,
    ) -> list[Recorded]:
        """Return the events of one stream up to a position, oldest first.

        newest: only so many of them, the last ones.

        Raises:
            UnknownEvent: a newer release wrote one of them.
            DamagedLog: one of them is missing, in another's place, or cannot be read.
            Unavailable: the store cannot be read.
        """
        stream = kind.id(name)
        with disk_errors_as_refusals(), damage_as_refusal():
            rows = self._recorder.select_stream_rows(stream, until, newest)
        recorded = list(map(recorded_of, rows))  # before: what is no number cannot be compared
        check_stream(rows, name, None if newest else 1)
        return recorded

    def stream(self, kind: AnyStream, name: str = "") -> list[Event]:
        """Return every event of one stream, oldest first.

        Raises:
            Unavailable: the store cannot be read.
        """
        return [recorded.event for recorded in self.read_stream(kind, name)]

    def rows_of_stream(self, stream: UUID) -> list[LogRow]:
        """Return what is stored of a stream, oldest first, whatever it is.

        Raises:
            DamagedLog, Unavailable: the store cannot be read.
        """
        with disk_errors_as_refusals(), damage_as_refusal():
            return self._recorder.select_stream_rows(stream, None, None)

    def last_position(self) -> int:
        """Return the position of the newest event, 0 for an empty log.

        Raises:
            Unavailable: the store cannot be read.
        """
        with disk_errors_as_refusals(), damage_as_refusal():
            return self._recorder.max_notification_id() or 0

    def watch(self) -> Watch:
        """Return a watch on appends by others; it belongs to the caller, who closes it."""
        with disk_errors_as_refusals(), damage_as_refusal():
            return self._store.watch()

    @property
    def _recorder(self) -> LogRecorder:
        return cast(LogRecorder, self.recorder)


def _ascend(places: Sequence[tuple[str, int, int]]) -> bool:
    """Return whether each is more than the one before, and can be compared with it at all."""
    try:
        return all(map(lt, places, islice(places, 1, None)))
    except TypeError:  # a damaged index has values of any type
        return False


def recorded_of(row: LogRow) -> Recorded:
    """Return the event that a row holds.

    Raises:
        UnknownEvent: a newer release wrote it.
        DamagedLog: it cannot be read.
    """
    position, stream, version, tag, state = row
    if type(stream) is not str or type(version) is not int:
        raise DamagedLog(f"the event at position {position} has no stream, or no number in it")
    return Recorded(position, version, decode_event(tag, state), stream, tag, state)
