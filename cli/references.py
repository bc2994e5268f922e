"""Which blobs the log names, read with progress."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from packledger.audit.blob_references import BlobReferences
from packledger.cli.progress import Show
from packledger.eventstore.log import Log


@contextmanager
def read_references(log: Log, show: Show) -> Iterator[BlobReferences]:
    """Give every blob that the log names up to now."""
    with closing(BlobReferences(log)) as references:
        references.catch_up(lambda done, total: show("replaying the log", done, total))
        yield references
