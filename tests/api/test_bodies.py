"""Rights come before bodies, and what bodies hold is bounded."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packledger.api.app import create_app
from packledger.api.context import Context
from packledger.api.http.bodies import MAX_RATIO
from packledger.api.http.body_budget import AUDITS, DISK, MEMORY
from packledger.commands import accounts
from packledger.commands.tokens import TokenWish, issue_token
from packledger.domain.accounts.permissions import OPERATOR
from packledger.server.http.app import build_context
from routes import PACKAGE, Route, routes_of
from small_registry import SmallRegistry, memory_folder
from uploads import new_crate

MIB = 1024 * 1024
BULK = "/npm/-/npm/v1/security/advisories/bulk"
OPEN = {"/login", "/setup", "/npm/-/user/org.couchdb.user:alice"}
"""What somebody without any right may send a body to: a password, a code of the first start."""


@pytest.fixture(scope="module")
def registry() -> Iterator[SmallRegistry]:
    with memory_folder() as folder:
        small = SmallRegistry(folder)
        small.registry.board.stop()
        for name in ("alice", "bob"):
            accounts.register(small.registry, small.actor(name), name, f"password of {name}")
        small.publish_npm("alice", PACKAGE, "1.0.0")
        small.publish_crate("alice", PACKAGE, "1.0.0")
        small.catch_up()
        yield small
        small.close()


@pytest.fixture(scope="module")
def context(registry: SmallRegistry) -> Context:
    return build_context(registry.settings)


@pytest.fixture(scope="module")
def routes(registry: SmallRegistry) -> list[Route]:
    found = routes_of(Path(registry.settings.data))
    return [one for one in found if one.method in {"PUT", "POST", "DELETE", "PATCH"}]


def token(registry: SmallRegistry, account: str, **limits: Any) -> str:
    caller, wish = registry.registry.caller(OPERATOR), TokenWish(label="t", **limits)
    secret, _ = issue_token(registry.registry, caller, account, wish)
    registry.catch_up()
    return secret


class Asked:
    """One request, whose client waits to be asked for its body."""

    def __init__(self, method: str, path: str, headers: dict[str, str]) -> None:
        self.pieces: list[bytes] = []
        self.status, self.bodies_asked_for, self.answer = 0, 0, b""
        self.headers: dict[str, str] = {}
        path, _, query = path.partition("?")
        self.scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "root_path": "", "query_string": query.encode(),
            "headers": [(b"host", b"registry"), (b"expect", b"100-continue"),
                        *((name.lower().encode(), value.encode())
                          for name, value in headers.items())],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip

    async def receive(self) -> dict[str, Any]:
        self.bodies_asked_for += 1
        piece = self.pieces.pop(0) if self.pieces else b""
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.answer += message.get("body", b"")


def ask(
    context: Context, method: str, path: str, *pieces: bytes, said: str = "", **headers: str
) -> Asked:
    """Send a body in pieces. said: a token."""
    if said:
        headers["authorization"] = f"Bearer {said}"
    asked = Asked(method, path, headers)
    asked.pieces = [*pieces]
    asyncio.run(create_app(context)(asked.scope, asked.receive, asked.send))
    return asked


SAYS_WHAT = {f"/npm/{PACKAGE}", f"/npm/{PACKAGE}/-rev/2-0"}


def is_body_of_anybody(route: Route) -> bool:
    return route.path in OPEN or "/security/" in route.path or "/org.couchdb.user" in route.path


def test_nobody_is_asked_for_a_body_who_may_not_send_it(
    registry: SmallRegistry, context: Context, routes: list[Route]
) -> None:
    read_only = token(registry, "bob", read_only=True)
    other = token(registry, "bob", packages=["something-else"], scopes=["yank"])
    checked = 0
    for method, path in routes:
        if is_body_of_anybody(Route(method, path)):
            continue
        checked += 1
        length = {"content-length": "10"}
        kinds = {"nobody": "", "read-only": read_only, "for something else": other}
        for who, said in kinds.items():
            # A page knows its visitor by a cookie, and a token may show who holds it its limits.
            if who != "nobody" and not path.startswith(("/cargo/", "/npm/")):
                continue
            if who != "nobody" and ("/tokens" in path or "/user/token/" in path):
                continue  # a password counts there, or the token itself
            if who == "for something else" and path in {*SAYS_WHAT, "/npm/-/user/v1/star"}:
                continue  # its body says what it changes; what is large is refused, below
            asked = ask(context, method, path, b"x" * 10, said=said, **length)
            assert asked.bodies_asked_for == 0, (who, method, path, asked.status)
            # Who logs out with a token that has ended is logged out.
            ended = "/user/token/" in path and asked.status == 200
            assert ended or asked.status in {303, 401, 403, 404}, (who, method, path, asked.status)
    assert checked > 10


def test_only_who_may_publish_sends_a_tarball(registry: SmallRegistry, context: Context) -> None:
    length = {"content-length": str(100 * MIB)}
    for limits in ({}, {"packages": ["other"]}, {"scopes": ["yank"]}):
        asked = ask(
            context, "PUT", f"/npm/{PACKAGE}", said=token(registry, "bob", **limits), **length
        )
        assert (asked.status, asked.bodies_asked_for) == (403, 0), limits
    asked = ask(context, "PUT", f"/npm/{PACKAGE}", b"{}", said=token(registry, "alice"), **length)
    assert asked.bodies_asked_for > 0


def test_a_crate_is_refused_by_its_metadata_before_it_has_arrived(
    registry: SmallRegistry, context: Context
) -> None:
    whole = new_crate(PACKAGE, "2.0.0")
    head = whole[: 8 + int.from_bytes(whole[:4], "little")]
    head = head[:-4] + (30 * MIB).to_bytes(4, "little")
    rest = [bytes(MIB)] * 30
    asked = ask(
        context, "PUT", "/cargo/api/v1/crates/new", head, *rest, said=token(registry, "bob")
    )
    assert asked.status == 403
    assert b"not an owner" in asked.answer
    assert context.bodies.held(DISK) == 0


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "br", "deflate", "gzip, gzip"])
def test_only_audits_may_be_packed(
    registry: SmallRegistry, context: Context, routes: list[Route], encoding: str
) -> None:
    said = token(registry, "alice")
    for method, path in routes:
        packed = gzip.compress(b'{"name": "x"}')
        asked = ask(context, method, path, packed, said=said, **{"content-encoding": encoding})
        if "/security/" in path and encoding in {"gzip", "x-gzip"}:
            assert asked.status == 200, (path, asked.answer)
        elif asked.bodies_asked_for:
            assert asked.status in {400, 403, 404}, (method, path, asked.answer)


def test_gzip_may_not_make_much_of_little(context: Context) -> None:
    honest = json.dumps({f"package-{n}": [f"{n}.{n % 7}.0"] for n in range(50_000)}).encode()
    packed = {"content-encoding": "gzip"}
    assert ask(context, "POST", BULK, gzip.compress(honest), **packed).status == 200
    bomb = gzip.compress(b'{"a": "%b"}' % bytes(b" " * 3 * MIB))
    assert len(bomb) * MAX_RATIO < 3 * MIB
    asked = ask(context, "POST", BULK, bomb, **packed)
    assert asked.status == 413
    assert b"without gzip" in asked.answer


def test_a_full_budget_is_told_in_the_clients_format(
    registry: SmallRegistry, context: Context
) -> None:
    said = token(registry, "alice")
    for kind, method, path, body in [
        (AUDITS, "POST", BULK, b"{}"),
        (MEMORY, "PUT", f"/npm/-/package/{PACKAGE}/dist-tags/next", b'"1.0.0"'),
        (DISK, "PUT", f"/npm/{PACKAGE}", b"x" * 2 * MIB),
        (DISK, "PUT", "/cargo/api/v1/crates/new", b"x" * 8),
    ]:
        with context.bodies.hold(kind) as held:
            held.add(context.bodies.limits[kind])
            asked = ask(context, method, path, body, said=said)
        assert asked.status == 429, (path, asked.answer)
        assert int(asked.headers["retry-after"]) > 0
        answer = json.loads(asked.answer)
        told = answer["errors"][0]["detail"] if "/cargo/" in path else answer["error"]
        assert "receives too much" in told
        assert [context.bodies.held(one) for one in (MEMORY, AUDITS, DISK)] == [0, 0, 0]


def test_an_upload_goes_to_the_disk_when_memory_is_full(
    registry: SmallRegistry, context: Context
) -> None:
    said = token(registry, "alice")
    with context.bodies.hold(MEMORY) as held:
        held.add(context.bodies.limits[MEMORY])
        asked = ask(context, "PUT", f"/npm/{PACKAGE}", b"{}", said=said)
    assert asked.status == 400
    assert b"the body changes nothing" in asked.answer
