"""Nothing that grows with what is stored runs on the event loop.

Every route is asked about a registry of large documents, and each step of the loop is measured in
processor time of its thread: what other threads do meanwhile, or another program, is not in it.
"""

import asyncio
import gc
import json
import random
import time
from asyncio.events import Handle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from falcon import testing

from packledger.api.app import create_app
from packledger.commands import accounts
from packledger.commands.tokens import TokenWish, issue_token
from packledger.domain.accounts.permissions import LOGIN_SCOPES, OPERATOR
from packledger.domain.events.accounts import TokenIssued
from packledger.domain.events.cargo import CrateOwnerAdded, CrateRegistered, CrateVersionPublished
from packledger.domain.events.event import Event
from packledger.domain.events.npm import (
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmRegistered,
    NpmStarred,
    NpmVersionPublished,
)
from packledger.domain.streams import ACCOUNTS, CRATES, PACKAGES, AnyStream
from packledger.projections.packuments.fold import PACKUMENTS
from packledger.projections.packuments.reads import starred_by
from packledger.server.http.app import build_context
from routes import PACKAGE, routes_of
from small_registry import SmallRegistry, memory_folder

AT = "2026-11-20T00:00:00.000Z"
VERSIONS, OWNERS, STARRED, TOKENS = 1_500, 800, 3_000, 1_500
MOST_S = 0.008
"""An ordinary step takes 0.1 ms; a large document takes 20 ms and more to make."""
PAGE = {"accept": "text/html"}
SHORT = ["/", "/search?q=none", "/login", "/setup", "/cargo/me", "/none"]
"""Pages whose templates are compiled when they are first shown."""
LONG = [
    f"/npm/-/v1/search?text={PACKAGE}&size=250",
    f"/cargo/api/v1/crates?q={PACKAGE}&per_page=100",
    f"/search?q={PACKAGE}&ecosystem=npm",
    '/npm/-/_view/starredByUser?key="alice"',
    f"/crates/{PACKAGE}?versions=all",
    f"/packages/{PACKAGE}?versions=all",
    f"/npm/{PACKAGE}/9.9.9",
    f"/npm/-/package/{PACKAGE}/dist-tags",
    f"/npm/-/package/{PACKAGE}/owners",
    f"/as-of/NEWEST/npm/{PACKAGE}",
    f"/as-of/NEWEST/npm/{PACKAGE}/9.9.9",
    f"/as-of/NEWEST/npm/-/package/{PACKAGE}/dist-tags",
    f"/as-of/NEWEST/cargo/index/vi/ct/{PACKAGE}",
    "/audit/events?limit=1000",
]


def crate(version: str) -> Event:
    manifest = {"name": PACKAGE, "version": version, "description": "x" * 300, "deps": []}
    return CrateVersionPublished(
        at=AT, by="alice", name=PACKAGE, version=version, cksum="0" * 64, size_bytes=1,
        manifest=msgspec.Raw(msgspec.json.encode(manifest)),
    )  # fmt: skip


def package(name: str, version: str, **manifest: Any) -> Event:
    said = {"name": name, "version": version, "description": f"{PACKAGE} " * 30, **manifest}
    return NpmVersionPublished(
        at=AT, by="alice", name=name, version=version, tarball="0" * 64, size_bytes=1, shasum="0",
        integrity="sha512-x", file_count=1, unpacked_bytes=1, maintainers=("alice",),
        manifest=msgspec.Raw(msgspec.json.encode(said)),
    )  # fmt: skip


def tagged(name: str, tag: str, version: str) -> Event:
    return NpmDistTagSet(at=AT, by="alice", name=name, dist_tag=tag, version=version)


def fill(small: SmallRegistry) -> None:
    """Append to the log what would take many publishes."""
    owners = [f"owner-{number}" for number in range(OWNERS)]
    append(
        small, CRATES, PACKAGE,
        [CrateRegistered(at=AT, by="alice", name=PACKAGE, owner="alice"),
         *(CrateOwnerAdded(at=AT, by="alice", name=PACKAGE, owner=owner) for owner in owners),
         *(crate(f"1.0.{number}") for number in range(VERSIONS))],
    )  # fmt: skip
    some = random.Random(0)
    large = {f"{some.getrandbits(128):x}": f"^1.{number}.0" for number in range(9_000)}
    append(
        small, PACKAGES, PACKAGE,
        [NpmRegistered(at=AT, by="alice", name=PACKAGE, owner="alice"),
         *(NpmOwnerAdded(at=AT, by="alice", name=PACKAGE, owner=owner) for owner in owners),
         *(package(PACKAGE, f"1.0.{number}") for number in range(VERSIONS)),
         package(PACKAGE, "9.9.9", dependencies=large),
         *(tagged(PACKAGE, f"tag-{number}", f"1.0.{number}") for number in range(OWNERS)),
         tagged(PACKAGE, "latest", "9.9.9")],
    )  # fmt: skip
    for number in range(STARRED):
        name = f"{PACKAGE}-{number}"
        begun = [NpmRegistered(at=AT, by="alice", name=name, owner="alice")]
        if number < 300:
            keywords = [f"keyword-{one}" for one in range(30)]
            begun += [package(name, "1.0.0", keywords=keywords), tagged(name, "latest", "1.0.0")]  # type: ignore[list-item]
        append(small, PACKAGES, name, [*begun, NpmStarred(at=AT, by="alice", name=name)])
    append(
        small, ACCOUNTS, "alice",
        [TokenIssued(at=AT, by="alice", account="alice", token_id=f"id-{number}",
                     sha256=f"{number:064}", label="a machine") for number in range(TOKENS)],
    )  # fmt: skip


def append(small: SmallRegistry, kind: AnyStream, name: str, events: list[Any]) -> None:
    small.log.execute(kind, name, lambda state, version: events)


@pytest.fixture(scope="module")
def large() -> Iterator[tuple[SmallRegistry, str]]:
    with memory_folder() as folder:
        small = SmallRegistry(folder)
        small.registry.board.stop()
        accounts.register(small.registry, small.actor("alice"), "alice", "password of alice")
        fill(small)
        caller = small.caller("alice").proving(OPERATOR)
        wish = TokenWish(label="t", scopes=LOGIN_SCOPES)
        secret, _ = issue_token(small.registry, caller, "alice", wish)
        small.catch_up()
        yield small, secret
        small.close()


def served(app: Any) -> Any:
    """Falcon's tests give headers as what can be read once; servers give a list."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        if "headers" in scope:
            scope = {**scope, "headers": [(*one,) for one in scope["headers"]]}
        await app(scope, receive, send)

    return call


def steps(
    large: tuple[SmallRegistry, str], paths: list[str], body: bytes = b""
) -> Iterator[tuple[str, int, float]]:
    """Ask for each path on a fresh loop; its status, and the processor time of its longest step.

    body: to be sent there.
    """
    small, secret = large
    head = {"authorization": f"Bearer {secret}"}
    measured: list[float] = []
    run = Handle._run

    def timed(self: Handle) -> None:
        began_s = time.thread_time()
        run(self)
        measured.append(time.thread_time() - began_s)

    async def main() -> Any:
        app = served(create_app(build_context(small.settings)))
        async with testing.ASGIConductor(app) as conductor:
            for path in SHORT:
                await conductor.simulate_get(path, headers=PAGE)
            for path in paths:
                measured.clear()
                answer = await conductor.simulate_request(
                    "POST" if body else "GET", path, headers=head, body=body
                )
                yield path, answer.status_code, max(measured)

    async def collect() -> list[Any]:
        return [one async for one in main()]

    gc.collect()
    gc.freeze()
    gc.disable()
    Handle._run = timed  # type: ignore[method-assign]
    try:
        yield from asyncio.run(collect())
    finally:
        Handle._run = run  # type: ignore[method-assign]
        gc.enable()
        gc.unfreeze()


def test_no_route_holds_the_loop_however_much_there_is(large: tuple[SmallRegistry, str]) -> None:
    routes = routes_of(Path(large[0].settings.data))
    newest = str(large[0].log.last_position())
    long = [path.replace("NEWEST", newest) for path in LONG]
    paths = [*long, *(route.path for route in routes if route.method == "GET")]
    found = [*steps(large, paths)]
    answered = {path for path, status, _ in found if status == 200}
    assert answered >= {*long, "/npm/-/npm/v1/tokens", f"/npm/{PACKAGE}", "/"}, found
    slow = {path: round(longest_s, 4) for path, _, longest_s in found if longest_s > MOST_S}
    # What a machine was slow with once is asked for again.
    again = {path: longest_s for path, _, longest_s in steps(large, [*slow])}
    assert not {path for path, longest_s in again.items() if longest_s > MOST_S}, (slow, again)


def test_a_large_body_does_not_hold_the_loop(large: tuple[SmallRegistry, str]) -> None:
    names = (f'"{number:x}":["1.0.0"]' for number in range(200_000))
    body = f"{{{','.join(names)}}}".encode()
    # The least of several: another process beside it makes the same step half as long again.
    found = [*steps(large, ["/npm/-/npm/v1/security/advisories/bulk"] * 8, body)]
    assert {status for _, status, _ in found} == {200}
    assert min(longest_s for _, _, longest_s in found) < MOST_S, found


def test_stars_are_looked_up_and_not_searched_for(large: tuple[SmallRegistry, str]) -> None:
    small, _ = large
    db = small.reader(PACKUMENTS).db()
    assert len(starred_by(db, "alice")) == STARRED
    steps_taken = 0

    def count() -> int:
        nonlocal steps_taken
        steps_taken += 100
        return 0

    db.set_progress_handler(count, 100)
    assert starred_by(db, "bob") == []
    db.set_progress_handler(None, 0)
    assert steps_taken < STARRED, "a step for each package is too much"
    assert json.dumps(starred_by(db, "alice")[:1]) == f'["{PACKAGE}-0"]'
