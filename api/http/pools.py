"""Threads for one slow kind of work, and how much of it may wait.

asyncio's own threads are for what is quick: index files, tiles, pieces of bodies. Whatever may take
long has threads of its own, so that nothing else waits for it, and a queue that ends: a request
that would wait for long is refused at once, and its client asks again.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore
from typing import Any, TypeVar

from packledger.domain.errors import TooMany

Result = TypeVar("Result")
RETRY_AFTER_S = 2


class Pool:
    """what: the work in words, for a refusal; threads: at once; waiting: that many more."""

    def __init__(self, what: str, threads: int, waiting: int) -> None:
        self._what = what
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=what.replace(" ", "-"))
        self._places = Semaphore(threads + waiting)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do the work in a thread and return its result.

        Raises:
            TooMany: as much of it as may wait is waiting.
        """
        if not self._places.acquire(blocking=False):
            raise TooMany(f"this registry has too many {self._what} to do just now", RETRY_AFTER_S)
        future = self._executor.submit(work)
        # Not when the request ends: a client that leaves does not stop a thread.
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: "Future[Any]") -> None:
        self._places.release()
