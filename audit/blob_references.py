"""Which blobs the log names: by a replay of it into a temporary table, in constant memory."""

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.npm import NpmVersionPublished
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.log import Log, Recorded
from packledger.feeds.progress import Progress, no_progress

PAGE_EVENTS = 2_000
CACHE_KIB = 32 * 1024
"""Of the temporary table, which takes some 120 bytes on the disk for each blob that is named."""


DIGEST_BYTES = 32
FILE, README = "file", "readme"


class BlobReference(NamedTuple):
    """A version that names a blob.

    named_by: `cargo:NAME@VERSION` or `npm:NAME@VERSION`; what: `file` or `readme`; purged: the
    version's bytes are removed for good, so it does not need the blob.
    """

    digest: str
    named_by: str
    what: str
    purged: bool


class BlobReferences:
    """Every blob that versions name, unpublished ones too: past views need theirs. One thread's.

    position: of the last event that was read.
    """

    def __init__(self, log: Log) -> None:
        self._log, self.position = log, 0
        # The empty name: a temporary file, which is gone when it is closed.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_TABLES)

    def catch_up(self, progress: Progress = no_progress, until: int | None = None) -> None:
        """Read what the log has more, up to a position if one is given.

        Raises:
            UnknownEvent: a newer release wrote one of the events.
            DamagedLog: one of them is missing, cannot be read, or names no blob where it must.
            Unavailable: the store cannot be read.
        """
        last = self._log.last_position() if until is None else until
        while page := self._log.read(self.position, PAGE_EVENTS, until):
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT OR IGNORE INTO named VALUES (?, ?, ?)",
                [row for recorded in page for row in _named(recorded)],
            )
            purged = [_subject(one.event) for one in page if isinstance(one.event, BlobPurged)]
            self._db.executemany("INSERT OR IGNORE INTO purged VALUES (?)", [(s,) for s in purged])
            self._db.execute("COMMIT")
            self.position = page[-1].position
            progress(self.position, max(last, self.position))

    def needs(self, digest: str) -> bool:
        """Return whether a version needs a blob: one that is not purged names it."""
        return any(not one.purged for one in self.of(digest))

    def of(self, digest: str) -> list[BlobReference]:
        """Return the versions that name a blob."""
        rows = self._db.execute(f"{_SELECT} WHERE digest = ?", (bytes.fromhex(digest),))
        return [_reference(row) for row in rows]

    def __iter__(self) -> Iterator[BlobReference]:
        """Yield every reference in the order of digests."""
        for row in self._db.execute(f"{_SELECT} ORDER BY digest, subject, what"):
            yield _reference(row)

    def needed(self) -> Iterator[str]:
        """Yield every blob that a version needs, once, in order."""
        for (digest,) in self._db.execute(_NEEDED.format("DISTINCT digest")):
            yield digest.hex()

    def count_needed(self) -> int:
        """Return how many blobs versions need."""
        count: int = self._db.execute(_NEEDED.format("count(DISTINCT digest)")).fetchone()[0]
        return count

    def close(self) -> None:
        """Forget it."""
        self._db.close()


_TABLES = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA cache_size = -{CACHE_KIB};
    CREATE TABLE named (digest BLOB NOT NULL, subject TEXT NOT NULL, what TEXT NOT NULL,
        PRIMARY KEY (digest, subject, what)) WITHOUT ROWID;
    CREATE TABLE purged (subject TEXT PRIMARY KEY) WITHOUT ROWID
"""
_SELECT = (
    "SELECT digest, subject, what, purged.subject IS NOT NULL FROM named"
    " LEFT JOIN purged USING (subject)"
)


_NEEDED = "SELECT {} FROM named WHERE subject NOT IN (SELECT subject FROM purged) ORDER BY digest"


def _subject(event: BlobPurged) -> str:
    return f"{event.ecosystem}:{event.name}@{event.version}"


def _named(recorded: Recorded) -> Iterator[tuple[bytes, str, str]]:
    event = recorded.event
    if isinstance(event, CrateVersionPublished):
        file, subject = event.cksum, f"cargo:{event.name}@{event.version}"
    elif isinstance(event, NpmVersionPublished):
        file, subject = event.tarball, f"npm:{event.name}@{event.version}"
    else:
        return
    yield _digest(file, recorded), subject, FILE
    if event.readme:
        yield _digest(event.readme, recorded), subject, README


def _digest(hexadecimal: str, recorded: Recorded) -> bytes:
    try:
        digest = bytes.fromhex(hexadecimal)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise DamagedLog(f"the event at position {recorded.position} names a blob by no digest")
    return digest


def _reference(row: tuple[bytes, str, str, int]) -> BlobReference:
    digest, subject, what, purged = row
    return BlobReference(digest.hex(), subject, what, bool(purged))
