"""Slow kinds of work have pools of their own: nothing else waits for a search."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from falcon import testing

from packledger.api.app import create_app
from packledger.api.context import Context
from packledger.api.http.pools import Pool
from packledger.server.http.app import build_context
from small_registry import SmallRegistry, memory_folder

SEARCHES = ["/npm/-/v1/search?text=demo", "/cargo/api/v1/crates?q=demo", "/search?q=demo"]


@pytest.fixture(scope="module")
def registry() -> Iterator[SmallRegistry]:
    with memory_folder() as folder:
        small = SmallRegistry(folder)
        small.publish_crate("alice", "demo", "1.0.0")
        small.publish_npm("alice", "demo", "1.0.0")
        small.catch_up()
        yield small
        small.close()


@pytest.fixture
def context(registry: SmallRegistry) -> Context:
    return build_context(registry.settings)


@asynccontextmanager
async def filled(pool: Pool) -> Any:
    """Have as much work in a pool as it takes, until the block ends."""
    go_on = threading.Event()
    work: list[asyncio.Future[bool]] = []
    try:
        while not (work and work[-1].done()):
            work.append(asyncio.ensure_future(pool.run(go_on.wait)))
            await asyncio.sleep(0)
        yield
    finally:
        go_on.set()
        await asyncio.gather(*work, return_exceptions=True)


def answers(context: Context, pool: Pool, paths: list[str]) -> list[Any]:
    """What is answered while a pool is full."""

    async def main() -> list[Any]:
        async with testing.ASGIConductor(create_app(context)) as conductor, filled(pool):
            return [await conductor.simulate_get(path) for path in paths]

    return asyncio.run(main())


def test_searches_beyond_the_queue_are_refused_in_their_clients_format(context: Context) -> None:
    npm, cargo, page = answers(context, context.searches, SEARCHES)
    assert {one.status_code for one in (npm, cargo, page)} == {429}
    assert all(int(one.headers["retry-after"]) > 0 for one in (npm, cargo, page))
    assert "too many searches" in npm.json["error"]
    assert "too many searches" in cargo.json["errors"][0]["detail"]
    assert "too many searches" in page.text


def test_nothing_else_waits_for_searches(context: Context) -> None:
    paths = ["/cargo/index/de/mo/demo", "/npm/demo", "/npm/demo/1.0.0", "/crates/demo", "/"]
    assert {one.status_code for one in answers(context, context.searches, paths)} == {200}
