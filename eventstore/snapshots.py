"""All snapshots of a store at once: for whoever compares them, or removes them."""

from collections.abc import Iterator
from typing import cast

from packledger.eventstore.blobs.store import disk_errors_as_refusals
from packledger.eventstore.damaged_log import DamagedLog, damage_as_refusal
from packledger.eventstore.log import Log
from packledger.eventstore.store import SnapshotRecorder, SnapshotRow

PAGE = 20
"""One of a large package is 100 KB."""


def stored_snapshots(log: Log) -> Iterator[SnapshotRow]:
    """Yield what is stored of every snapshot, in the order of streams, whatever it is.

    Raises:
        DamagedLog, Unavailable: the store cannot be read.
    """
    stream, version = "", 0
    while True:
        with disk_errors_as_refusals(), damage_as_refusal():
            page = _recorder(log).select_snapshots(stream, version, PAGE)
        if not page:
            return
        yield from page
        after = page[-1][:2]
        if after <= (stream, version):
            raise DamagedLog("its snapshots are out of order")
        stream, version = after


def remove_snapshots(log: Log) -> int:
    """Remove every snapshot, which only makes loads slower; return how many there were.

    Raises:
        DamagedLog, Unavailable: the store cannot be written.
    """
    with disk_errors_as_refusals(), damage_as_refusal():
        return _recorder(log).delete_snapshots()


def _recorder(log: Log) -> SnapshotRecorder:
    assert log.snapshots is not None
    return cast(SnapshotRecorder, log.snapshots.recorder)
