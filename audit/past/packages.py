"""The registry as it was after a position: a package's own events, folded as they were then.

The same projections that make the live documents fold the stream in memory, so a past document is
what was served, but for its URLs. Nothing is kept: a crate of 500 versions takes some 10 ms.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from packledger.domain.errors import Invalid
from packledger.domain.events.event import encode
from packledger.domain.events.registry import RegistryConfigured
from packledger.domain.streams import CRATES, PACKAGES
from packledger.domain.times import rfc3339
from packledger.eventstore.blobs.store import BlobStore
from packledger.eventstore.damaged_log import misfits_as_damage
from packledger.eventstore.log import Log, Recorded
from packledger.projections.log_tiles.merkle import TILE_WIDTH
from packledger.projections.packuments import fold as packuments
from packledger.projections.packuments.fold import Packuments
from packledger.projections.packuments.reads import (
    Tarball,
    abbreviated_of,
    full_of,
    head_of,
    tarball_of,
    version_of,
)
from packledger.projections.projection import Fold
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import (
    CrateFile,
    SparseIndex,
    crate_file_of,
    index_file_of,
    name_of,
)

PAGE_EVENTS = 500


class Moments:
    """Finds the position that a moment means. Safe to share between threads.

    now: the clock; last_not_later: as `log_tiles.last_not_later`, so that not the whole log is
    read.
    """

    def __init__(
        self,
        log: Log,
        now: Callable[[], datetime],
        last_not_later: Callable[[str], tuple[int, int]],
    ) -> None:
        self._log, self._now, self._last_not_later = log, now, last_not_later

    def position(self, moment: str) -> int:
        """Return the last position that belongs to a moment's past.

        A time means the last position whose event is not later, whatever clocks did (ADR 0042).
        moment: a position, a date (its beginning, UTC) or an RFC 3339 time.

        Raises:
            Invalid: none of these, or in the future.
        """
        if _POSITION.fullmatch(moment):
            position, last = int(moment), self._log.last_position()
            if position > last:
                raise Invalid(f"position `{moment}` is in the future: the log has {last} events")
            return position
        time = _time_of(moment)
        if time > (now := self._now()):
            raise Invalid(
                f"`{moment}` is in the future, here it is {rfc3339(now)}; ask for a moment that "
                "has passed"
            )
        at = rfc3339(time)
        tile, rest = self._last_not_later(at)
        return self._last(at, rest, None) or self._last(at, tile, tile + TILE_WIDTH)

    def _last(self, at: str, after: int, until: int | None) -> int:
        """Return the last position in (after, until] that is not later than a time, 0 for none."""
        last = 0
        while page := self._log.read(after, PAGE_EVENTS, until):
            after = page[-1].position
            last = next((one.position for one in reversed(page) if one.event.at <= at), last)
        return last


_POSITION = re.compile(r"[0-9]{1,18}")
_TIME = re.compile(r"[0-9][0-9T:.+-]*Z?")


def _time_of(moment: str) -> datetime:
    try:
        time = datetime.fromisoformat(moment) if _TIME.fullmatch(moment) else None
        if time is not None:
            # An offset may lead out of the years that there are.
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Invalid(
        f"`{moment}` is no moment: give a position in the log, or a time such as "
        "`2026-11-21T06:00:00Z`"
    )


class PastCrate:
    """A crate's index file and files as they were after a position.

    key: the name in lower case, as index paths are.
    """

    def __init__(self, log: Log, key: str, position: int) -> None:
        self._key = key
        with misfits_as_damage(f"the crate `{key}`"):
            self._db = _folded(SparseIndex(), log.read_stream(CRATES, key, position))
        # what is gone today is gone for all of the past
        today = log.load(CRATES, key).state
        for version, reason in (today.purged if today else {}).items():
            sparse_index.set_purged(self._db, key, version, reason)

    def index_file(self) -> bytes | None:
        """Return the index file, None if the crate had no version yet."""
        return index_file_of(self._db, self._key)

    def name(self) -> str | None:
        """Return the crate's own name, None if it did not exist yet."""
        return name_of(self._db, self._key)

    def file(self, version: str) -> CrateFile | None:
        """Return where a version's bytes are, None if it was not published yet."""
        return crate_file_of(self._db, self._key, version)

    def close(self) -> None:
        """Forget it."""
        self._db.close()


class PastPackage:
    """An npm package's documents as they were after a position.

    base_url: what its tarballs' URLs begin with instead of the public URL, without a slash.
    """

    def __init__(self, log: Log, name: str, position: int, base_url: str) -> None:
        self._name = name
        configured = RegistryConfigured(at="", public_url=base_url)
        events = log.read_stream(PACKAGES, name, position)
        with misfits_as_damage(f"the package `{name}`"):
            self._db = _folded(Packuments(), [_first(configured), *events])
        today = log.load(PACKAGES, name).state  # as of a crate
        for version, reason in (today.purged if today else {}).items():
            packuments.set_purged(self._db, name, version, reason)

    def full(self, blobs: BlobStore | None) -> bytes | None:
        """Return the full packument as `full_of` does, None if the package did not exist yet."""
        return full_of(self._db, self._name, blobs)

    def abbreviated(self) -> bytes | None:
        """Return the abbreviated packument, None if the package did not exist yet."""
        return abbreviated_of(self._db, self._name)

    def dist_tags(self) -> dict[str, str] | None:
        """Return the dist-tags, None if the package did not exist yet."""
        head = head_of(self._db, self._name)
        return None if head is None else head.dist_tags

    def version(self, version: str) -> bytes | None:
        """Return a version object, None if the version was not there."""
        return version_of(self._db, self._name, version)

    def tarball(self, version: str) -> Tarball | None:
        """Return where a version's tarball is, None if the version was not there."""
        return tarball_of(self._db, self._name, version)

    def close(self) -> None:
        """Forget it."""
        self._db.close()


def _first(event: RegistryConfigured) -> Recorded:
    """Return an event that is not in the log, before all that are."""
    return Recorded(0, 1, event, "", "", encode(event))


def _folded(projection: Fold, events: Sequence[Recorded]) -> sqlite3.Connection:
    """Return a projection's tables of just these events, in memory."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.executescript(f"{projection.tables};{projection.indexes}")
    db.execute("BEGIN")
    projection.apply(db, events)
    projection.flush(db)
    db.execute("COMMIT")
    return db
