"""Counts downloads while serving and hands the counts to the log now and then."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from packledger.commands.download_counting import DownloadCounter


class Counting:
    """Falcon middleware that begins and ends with the process. A killed one loses one period."""

    def __init__(self, counter: DownloadCounter, period_s: float) -> None:
        self._counter, self._period_s = counter, period_s
        self._task: asyncio.Task[None] | None = None

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Begin to flush periodically."""
        self._task = asyncio.create_task(self._flush_periodically())

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """Flush what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._counter.flush)

    async def _flush_periodically(self) -> None:
        while True:
            await asyncio.sleep(self._period_s)
            await asyncio.to_thread(self._counter.flush)
