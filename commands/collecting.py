"""Collecting orphans: blobs that no event names, of uploads that were refused or died (ADR 0025).

Publishes go on meanwhile. A publish stores its blob, or makes the one that is there young, and then
appends the event that names it: so an old blob that the log does not name is named by nobody.
"""

from collections.abc import Iterator

import msgspec

from packledger.audit.blob_references import BlobReferences
from packledger.commands.registry import Registry

IN_FLIGHT_S = 120.0
"""Older than the blob of any publish whose event may still come. An append gives up after 35 s (5 s
of lost races, 30 s for the lock), and S3 makes an object young again only after 60 s."""


class Orphan(msgspec.Struct, frozen=True):
    """A blob that no version needs. removed: whether it was; purged: by an interrupted purge."""

    digest: str
    size_bytes: int
    age_s: int
    purged: bool
    removed: bool


def collect_orphans(
    registry: Registry, references: BlobReferences, min_age_s: float, *, dry_run: bool
) -> Iterator[Orphan]:
    """Remove orphans that are old enough and yield each, in the order of digests.

    references: read up to now; min_age_s: far more than an upload may take; blobs that a purge left
    need not be that old.

    Raises:
        Unavailable: a store cannot be used.
    """
    for blob in registry.blobs.stored():
        named_by = references.of(blob.digest)
        min_s = IN_FLIGHT_S if named_by else min_age_s
        if blob.age_s < min_s or references.needs(blob.digest):
            continue
        removed = False
        if not dry_run:
            # Somebody may have published the same bytes since the log was read.
            references.catch_up()
            if references.needs(blob.digest):
                continue
            removed = registry.blobs.remove(blob.digest, min_s)
        yield Orphan(blob.digest, blob.size_bytes, int(blob.age_s), bool(named_by), removed)
