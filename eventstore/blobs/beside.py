"""Storing a small blob while an upload becomes one.

Each waits two times for the disk, or once for a server. Side by side they wait as long as one: a
file system makes what is synced at once durable with one write of its journal.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from packledger.eventstore.blobs.store import BlobWriter

AT_ONCE = 8
"""Threads, made when they are needed; a command that finds none waits for its turn."""


class Beside:
    """put: stores a small blob durably and returns its digest."""

    def __init__(self, put: Callable[[bytes], str]) -> None:
        self._put = put
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="blob")

    def commit(self, writer: BlobWriter, content: bytes) -> tuple[str, str]:
        """Return the digests of the upload and of the small blob, both durable.

        Raises:
            Unavailable: one of them could not be stored; the other one may be an orphan.
        """
        small = self._threads.submit(self._put, content)
        try:
            digest = writer.commit()
        finally:
            wait([small])  # nothing goes on when the command has failed
        return digest, small.result()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
