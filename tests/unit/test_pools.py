"""A pool does so much at once, has so much wait, and refuses the rest."""

import asyncio
import threading

import pytest

from packledger.api.http.pools import Pool
from packledger.domain.errors import TooMany


def test_what_would_wait_for_long_is_refused_and_the_rest_is_done() -> None:
    async def main() -> None:
        pool, go_on = Pool("things", threads=2, waiting=3), threading.Event()
        begun = [asyncio.ensure_future(pool.run(go_on.wait)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany, match="too many things to do") as refused:
            await pool.run(lambda: None)
        assert refused.value.retry_after_s > 0
        go_on.set()
        assert await asyncio.gather(*begun) == [True] * 5
        assert await pool.run(lambda: 7) == 7

    asyncio.run(main())


def test_a_request_that_ends_frees_its_place_only_when_its_work_is_over() -> None:
    async def main() -> None:
        pool, go_on, began = Pool("things", 1, 1), threading.Event(), threading.Event()

        def work() -> None:
            began.set()
            go_on.wait()

        running, waiting = (asyncio.ensure_future(pool.run(work)) for _ in range(2))
        await asyncio.to_thread(began.wait)
        running.cancel()
        waiting.cancel()
        await asyncio.wait([running, waiting])
        # The thread still works for the first; the second had not begun.
        third = asyncio.ensure_future(pool.run(lambda: 3))
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await pool.run(lambda: 4)
        go_on.set()
        assert await third == 3

    asyncio.run(main())


def test_a_failure_frees_its_place_too() -> None:
    async def main() -> None:
        pool = Pool("things", 1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await pool.run(lambda: 1 // 0)

    asyncio.run(main())
