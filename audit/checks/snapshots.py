"""Compare every snapshot with a fold of its stream.

Those with a seal of another key are compared, too: nobody believes them, but somebody wrote them.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from uuid import UUID

from packledger.audit.checks.faults import Fault
from packledger.domain.streams import evolve
from packledger.eventstore.damaged_log import MISFITS, DamagedLog
from packledger.eventstore.log import Log, recorded_of
from packledger.eventstore.mapper import (
    UnknownEvent,
    is_snapshot_tag,
    snapshot_body,
    unsealed,
)
from packledger.eventstore.snapshots import stored_snapshots
from packledger.eventstore.store import LogRow

AFFECTS = "who may publish what, if it were believed"
MEND = "packledger repair snapshots"


def verify_snapshots(log: Log) -> Iterator[Fault]:
    """Yield the snapshots that are not what their streams fold to; one stream in memory at a time.

    Snapshots of another release, which nobody reads, are left out, and those of downloads, on which
    nothing is ever decided.
    """
    ours = (row for row in stored_snapshots(log) if is_snapshot_tag(row[2]))
    for stream, rows in groupby(ours, key=lambda row: row[0]):
        wanted = {version: state for _, version, _, state in rows}
        for version in _differing(_rows_of(log, stream), wanted):
            what = f"the snapshot of the stream `{stream}` at version {version}"
            yield Fault(f"{what} is not what its events give", AFFECTS, MEND)


def _rows_of(log: Log, stream: str) -> list[LogRow]:
    try:
        return log.rows_of_stream(UUID(stream))
    except (ValueError, AttributeError):
        return []  # there is no such stream


def _differing(rows: list[LogRow], wanted: dict[int, bytes]) -> Iterator[int]:
    """Yield the versions whose snapshot differs. wanted: version → what is stored."""
    state: Any = None
    left = dict(wanted)
    try:
        for row in rows:
            if not left:
                return
            one = recorded_of(row)
            state = evolve(state, one.event)
            stored = left.pop(one.version, None)
            if stored is not None and unsealed(stored) != snapshot_body(state):
                yield one.version
    except (DamagedLog, UnknownEvent, *MISFITS):
        return  # that is told by others
    yield from left
