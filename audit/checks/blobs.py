"""Read every blob that the log names, and compare it with its digest."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

from packledger.audit.blob_references import BlobReference, BlobReferences
from packledger.audit.checks.faults import Fault
from packledger.eventstore.blobs.store import BlobStore, DamagedBlob, MissingBlob
from packledger.feeds.progress import Progress

PIECE_BYTES = 1024 * 1024
THREADS = 4
"""Hashing lets go of the interpreter, and a bucket answers several at once."""
WAITING = 32
REPAIR = "packledger repair blobs --from DIR|URL"
SHOWN_VERSIONS = 5


def damage_of_blob(blobs: BlobStore, digest: str) -> str:
    """Return what is wrong with a blob, empty when nothing is.

    Raises:
        Unavailable: the store cannot be asked.
    """
    found = hashlib.sha256()
    try:
        with blobs.open(digest) as file:
            while piece := file.read(PIECE_BYTES):
                found.update(piece)
    except MissingBlob:
        return "is missing"
    except (DamagedBlob, OSError):
        return "is damaged"
    return "" if found.hexdigest() == digest else "is damaged"


class BlobCheck:
    """Looks at all blobs; at what was found there when it ended. checked: how many were read."""

    def __init__(self, references: BlobReferences, blobs: BlobStore) -> None:
        self._references, self._blobs = references, blobs
        self.checked = self.orphans = 0

    def run(self, progress: Progress) -> Iterator[Fault]:
        """Yield the blobs that versions need and that are missing or damaged; count the others.

        Raises:
            Unavailable: the store cannot be asked.
        """
        total = sum(1 for _ in self._needed())
        for digest, named_by, damage in self._looked_at():
            self.checked += 1
            progress(self.checked, total)
            if damage:
                yield Fault(f"the blob `{digest}` {damage}", named_by, REPAIR)

    def damaged(self) -> Iterator[tuple[str, str]]:
        """Yield (digest, what needs it) of every blob that is missing or damaged."""
        return ((digest, named_by) for digest, named_by, damage in self._looked_at() if damage)

    def count_orphans(self) -> None:
        """Count what nothing names: harmless, `packledger gc` removes it by age."""
        self.orphans = sum(not self._references.of(one.digest) for one in self._blobs.stored())

    def _needed(self) -> Iterator[tuple[str, str]]:
        """Yield (digest, what needs it) of each blob that is needed."""
        for digest, found in groupby(self._references, key=lambda one: one.digest):
            needing = [one for one in found if not one.purged]
            if needing:
                yield digest, _said(needing)

    def _looked_at(self) -> Iterator[tuple[str, str, str]]:
        waiting: deque[tuple[str, str, Future[str]]] = deque()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="blobs") as pool:
            for digest, named_by in self._needed():
                future = pool.submit(damage_of_blob, self._blobs, digest)
                waiting.append((digest, named_by, future))
                if len(waiting) >= WAITING:
                    yield _ended(waiting.popleft())
            while waiting:
                yield _ended(waiting.popleft())


def _ended(one: tuple[str, str, Future[str]]) -> tuple[str, str, str]:
    digest, named_by, future = one
    return digest, named_by, future.result()


def _said(needing: list[BlobReference]) -> str:
    names = list(dict.fromkeys(_name(one) for one in needing))
    more = f", and {len(names) - SHOWN_VERSIONS} more" if len(names) > SHOWN_VERSIONS else ""
    return ", ".join(names[:SHOWN_VERSIONS]) + more


def _name(one: BlobReference) -> str:
    return one.named_by if one.what == "file" else f"the README of {one.named_by}"
