"""Whatever arrives is answered, never with a status from 500 on, and a refusal changes nothing.

What is attacked is read from the application (`routes.py`): a new route needs no line here, unless
it takes a body.
"""

import contextlib
import gzip
import json
import re
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasty import (
    credentials,
    headers,
    mutated_archive,
    mutated_bytes,
    mutated_json,
    targets,
    tokens,
)
from raw_http import Answer, exchange, request
from routes import Route, routes_of
from target import Target, assert_own_format
from uploads import crate, crate_body, npm_body, tar_gz, tarball

bounded = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY")
# Paths whose query means something, and other spellings of those that are routes.
VARIANTS = (
    "/cargo/api/v1/crates?q=vic&per_page=5&page=1",
    "/npm/-/v1/search?text=vic&size=20&from=0",
    "/npm/-/_view/starredByUser?key=%22alice%22",
    "/search?q=victim&ecosystem=npm&page=2",
    "/crates/victim?versions=all",
    "/packages/@scope/victim/v/1.0.0",
    "/npm/",
    "/npm/@scope%2fvictim",
    "/npm/@scope/victim/latest",
    "/npm/-/user/package/victim/star",
)
BODILESS = {
    Route("DELETE", "/cargo/api/v1/crates/victim/1.0.0/yank"),
    Route("PUT", "/cargo/api/v1/crates/victim/1.0.0/unyank"),
    Route("DELETE", "/npm/-/npm/v1/tokens/token/plk_x"),
    Route("DELETE", "/npm/-/package/victim/dist-tags/next"),
    Route("DELETE", "/npm/-/package/victim/owners/alice"),
    Route("DELETE", "/npm/-/user/token/plk_x"),
    Route("DELETE", "/npm/victim/-/victim-1.0.0.tgz/-rev/2-0"),
    Route("DELETE", "/npm/victim/-rev/2-0"),
}
CRATE = Route("PUT", "/cargo/api/v1/crates/new")
CHECKPOINT = Route("PUT", "/log/checkpoint")
NOTE = f"log.example.com\n1\n{'A' * 43}=\n\n\u2014 log.example.com {'A' * 92}\n".encode()
OWNERS, STAR = {"users": ["bob"]}, {"package": "victim"}
LOGIN = {
    "_id": "org.couchdb.user:alice",
    "name": "alice",
    "password": "password of alice",
    "type": "user",
    "roles": [],
    "date": "2026-11-21T00:00:00.000Z",
}
AUDIT = {"name": "x", "version": "1.0.0", "requires": {"victim": "^1.0.0"}, "dependencies": {}}
DOCUMENTS: dict[Route, Any] = {
    Route("PUT", "/npm/victim"): npm_body(
        {"name": "victim", "version": "9.9.9", "keywords": ["a"]}
    ),
    Route("PUT", "/npm/victim/-rev/2-0"): {
        "_id": "victim",
        "_rev": "2-0",
        "name": "victim",
        "dist-tags": {"latest": "1.1.0"},
        "versions": {
            "1.0.0": {"name": "victim", "version": "1.0.0", "deprecated": "old"},
            "1.1.0": {"name": "victim", "version": "1.1.0"},
        },
        "maintainers": [{"name": "alice", "email": ""}],
        "users": {"alice": True},
    },
    Route("PUT", "/cargo/api/v1/crates/victim/owners"): OWNERS,
    Route("DELETE", "/cargo/api/v1/crates/victim/owners"): OWNERS,
    Route("PUT", "/npm/-/package/victim/dist-tags/next"): "1.0.0",
    Route("POST", "/npm/-/package/victim/access"): {"access": "public"},
    Route("PUT", "/npm/-/package/victim/owners"): {"user": "bob"},
    Route("PUT", "/npm/-/user/org.couchdb.user:alice"): LOGIN,
    Route("PUT", "/npm/-/user/org.couchdb.user:alice/-rev/victim"): LOGIN,
    Route("POST", "/npm/-/npm/v1/tokens"): {
        "password": "password of alice",
        "readonly": True,
        "cidr_whitelist": [],
        "name": "x",
        "expires": 3,
        "packages": ["victim"],
        "scopes": ["@scope"],
    },
    Route("PUT", "/npm/-/user/v1/star"): STAR,
    Route("DELETE", "/npm/-/user/v1/star"): STAR,
    Route("POST", "/npm/-/npm/v1/security/advisories/bulk"): {"victim": ["1.0.0"]},
    Route("POST", "/npm/-/npm/v1/security/audits"): AUDIT,
    Route("POST", "/npm/-/npm/v1/security/audits/quick"): AUDIT,
}


def ask(target: Target, method: str, path: bytes, head: Any, body: bytes = b"") -> Answer | None:
    answer = target.ask(request(method, path, head, body))
    if answer is None or answer.status < 400 or method == "HEAD":
        return answer
    for_pages = answer.headers.get("content-type", "").startswith("text/")
    if path.startswith((b"/cargo/", b"/npm/")) and not for_pages:
        assert_own_format("/cargo/" if path.startswith(b"/cargo/") else "/npm/", answer)
    return answer


@pytest.fixture(scope="module")
def routes(target: Target) -> list[Route]:
    return routes_of(target.data)


@pytest.fixture(scope="module")
def paths(routes: list[Route]) -> tuple[str, ...]:
    return (*sorted({route.path for route in routes}), *VARIANTS)


def is_form(route: Route) -> bool:
    return route.method == "POST" and not route.path.startswith(("/cargo/", "/npm/"))


def test_every_route_that_takes_a_body_has_one_to_be_mutated(routes: list[Route]) -> None:
    changes = {one for one in routes if one.method not in {"GET", "HEAD"} and not is_form(one)}
    assert changes == {*DOCUMENTS, *BODILESS, CRATE, CHECKPOINT}, (
        "give DOCUMENTS a valid body of each"
    )


def test_every_route_is_reached_and_refuses_what_makes_no_sense(
    target: Target, routes: list[Route]
) -> None:
    """As nobody and as somebody who owns nothing."""
    bob = (b"Authorization", b"Bearer " + target.tokens["bob"].encode())
    kind = (b"Content-Type", b"application/json")
    for route in routes:
        for head, body in [([], b""), ([bob], b""), ([bob, kind], b"[]"), ([bob, kind], b"\xff")]:
            answer = ask(target, route.method, route.path.encode(), head, body)
            assert answer is not None
            assert b"this registry has no `" not in answer.body or route.path == "/static/victim"
            assert answer.status != 405, route


@bounded
@given(data=st.data())
def test_any_path_method_and_headers_are_answered(
    target: Target, paths: tuple[str, ...], data: st.DataObject
) -> None:
    method = data.draw(st.sampled_from(METHODS))
    head = data.draw(headers)
    if data.draw(st.booleans()):
        head = [(b"Authorization", data.draw(credentials(target.tokens))), *head]
    body = data.draw(st.binary(max_size=200)) if data.draw(st.booleans()) else b""
    ask(target, method, data.draw(targets(paths)), head, body)


def draw_number(data: st.DataObject) -> int:
    return data.draw(st.integers(0, 0xFFFF))


@bounded
@given(data=st.data())
def test_any_document_is_answered(target: Target, data: st.DataObject) -> None:
    method, path = route = data.draw(st.sampled_from(sorted(DOCUMENTS)))
    document = DOCUMENTS[route]
    whole = json.dumps(document).encode()
    body = data.draw(mutated_json(document) if isinstance(document, dict) else st.just(whole))
    if data.draw(st.integers(0, 3)) == 0:
        body = data.draw(mutated_bytes(body))
    head = [(b"Authorization", b"Bearer " + target.tokens["alice"].encode())]
    # From somewhere else each time, or every login would soon be one too many.
    head.append((b"X-Forwarded-For", b"2001:db8:%x:%x::1" % (draw_number(data), draw_number(data))))
    if data.draw(st.integers(0, 3)) == 0:
        body = gzip.compress(body)
        if data.draw(st.booleans()):
            body = data.draw(mutated_bytes(body))
        head.append((b"Content-Encoding", b"gzip"))
    ask(target, method, path.encode(), head, body)


fields = st.sampled_from(
    ("name", "password", "code", "label", "access", "scope", "packages", "days", "token_id", "x")
)
form_values = st.one_of(
    st.text(max_size=20).map(quote_plus),
    st.sampled_from(("%ff", "%00", "&", "a" * 999, "read", "7", "publish-new", "npm:*", "alice")),
)


def form_token(target: Target, page: bytes, cookie: bytes) -> str:
    """What the forms of a page must carry that somebody with this cookie sees."""
    answer = target.ask(request("GET", page, [(b"Cookie", cookie)]))
    assert answer is not None
    found = re.search(rb'name="form_token" value="([0-9a-f]{64})"', answer.body)
    assert found, answer
    return found[1].decode()


@bounded
@given(data=st.data())
def test_any_form_is_answered(
    target: Target, routes: list[Route], form_keys: dict[bytes, str], data: st.DataObject
) -> None:
    """Mostly with the token that a form must carry, or nothing behind it would be reached."""
    path = data.draw(st.sampled_from([one.path for one in routes if is_form(one)]))
    # Who signs out has no session afterwards.
    cookies = [one for one in form_keys if path != "/logout" or b"session" not in one]
    cookie = data.draw(st.sampled_from(cookies))
    pairs = data.draw(st.lists(st.tuples(fields, form_values), max_size=6))
    pairs.append(("form_token", form_keys[cookie]))
    body = "&".join(f"{name}={value}" for name, value in pairs).encode()
    head = [(b"Cookie", cookie), (b"Origin", target.url.encode())]
    if data.draw(st.integers(0, 2)) == 0:
        body = data.draw(mutated_bytes(body))
        head = [(b"Cookie", b"packledger-session=" + data.draw(tokens)), *data.draw(headers)]
    head.append((b"Content-Type", b"application/x-www-form-urlencoded"))
    ask(target, "POST", path.encode(), head, body)


@pytest.fixture(scope="module")
def form_keys(target: Target) -> dict[bytes, str]:
    """Cookies of somebody and of nobody, each with the token of its forms."""
    nobody = b"packledger-form=x"
    body = f"name=bob&password=password of bob&form_token={form_token(target, b'/login', nobody)}"
    head = [(b"Cookie", nobody), (b"Origin", target.url.encode())]
    head.append((b"Content-Type", b"application/x-www-form-urlencoded"))
    answer = target.ask(request("POST", b"/login", head, body.replace(" ", "+").encode()))
    assert answer is not None
    cookie = re.search(r"packledger-session=pls_\w+", answer.headers["set-cookie"])
    assert cookie, answer
    somebody = cookie[0].encode()
    return {
        somebody: form_token(target, b"/account", somebody),
        nobody: form_token(target, b"/login", nobody),
    }


@bounded
@given(data=st.data())
def test_any_crate_is_answered(target: Target, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, 10**9))
    metadata = {"name": "victim", "vers": f"2.0.{number}", "deps": [], "readme": "x"}
    packed = crate("victim", f"2.0.{number}")
    if data.draw(st.booleans()):
        packed = data.draw(mutated_archive(packed))
    if data.draw(st.booleans()):
        body = crate_body(data.draw(mutated_json(metadata)), packed)
    else:
        body = crate_body(metadata, packed)
    if data.draw(st.booleans()):
        body = data.draw(mutated_bytes(body))
    head = [(b"Authorization", target.tokens["alice"].encode())]
    ask(target, CRATE.method, CRATE.path.encode(), head, body)


@bounded
@given(data=st.data())
def test_any_checkpoint_is_answered(target: Target, data: st.DataObject) -> None:
    """As whoever comes: its signature alone decides. This registry has the key itself."""
    body = data.draw(st.one_of(st.just(NOTE), mutated_bytes(NOTE)))
    answer = ask(target, CHECKPOINT.method, CHECKPOINT.path.encode(), [], body)
    assert answer is None or answer.status >= 400


@bounded
@given(data=st.data())
def test_any_manifest_is_answered(target: Target, data: st.DataObject) -> None:
    """What a package.json or Cargo.toml says is the author's; it is refused, or served."""
    number = data.draw(st.integers(0, 10**9))
    manifest: dict[str, Any] = {
        "name": "victim",
        "version": f"3.0.{number}",
        "keywords": ["a", "b"],
        "dependencies": {"@scope/victim": "^1.0.0"},
        "bin": {"x": "./x.js"},
        "engines": {"node": ">=1"},
        "repository": {"type": "git", "url": "https://example.com/x.git"},
        "author": "A <a@example.com>",
        "funding": [{"url": "https://example.com"}],
        "exports": {".": {"import": "./index.js"}},
        "peerDependenciesMeta": {"x": {"optional": True}},
    }
    packed = tarball(manifest)
    said = {"name": manifest.pop("name"), "version": manifest.pop("version")}
    inside = data.draw(mutated_json(manifest))
    text = json.dumps(said)[:-1].encode()
    if inside.startswith(b"{") and len(inside) > 2:
        packed = tar_gz({"package/package.json": text + b"," + inside[1:], "package/x.js": b""})
    body = json.dumps(npm_body(said, packed)).encode()
    head = [(b"Authorization", b"Bearer " + target.tokens["alice"].encode())]
    ask(target, "PUT", b"/npm/victim", head, body)
    for path in (b"/npm/victim", b"/npm/-/v1/search?text=victim", b"/npm/victim/3.0.%d" % number):
        ask(target, "GET", path, [])
        ask(target, "GET", path, [(b"Accept", b"application/vnd.npm.install-v1+json")])


@settings(bounded, max_examples=40)
@given(data=st.data())
def test_any_bytes_are_answered_or_hung_up_on(
    target: Target, paths: tuple[str, ...], data: st.DataObject
) -> None:
    whole = request(
        data.draw(st.sampled_from(METHODS)),
        data.draw(targets(paths)),
        [(b"Connection", b"close"), *data.draw(headers)],
        data.draw(st.binary(max_size=100)),
    )
    cut = data.draw(mutated_bytes(whole))
    if b"\r\n\r\n" not in cut:
        cut += b"\r\n\r\n"
    with contextlib.suppress(TimeoutError):  # it waits for a body that its head announced
        target.ask(cut + b"\r\n" * 50, timeout_s=0.2)


def test_connections_that_ended_leave_nothing_in_memory(target: Target) -> None:
    """13 KB each stayed for ever: the parser's callbacks were a circle that nobody collected."""

    def come_and_go(times: int) -> int:
        for number in range(times):
            said = request("GET", b"/npm/nowhere-%d" % number, [(b"Connection", b"close")])
            assert exchange(target.port, said) is not None
        return target.memory_bytes()

    before_bytes = come_and_go(500)
    assert come_and_go(1_500) - before_bytes < 8 * 1024 * 1024


def test_after_all_that_everything_is_as_the_log_says_and_no_crate_has_changed(
    target: Target,
) -> None:
    target.cli("rebuild", "--check")
    answer = target.ask(request("GET", b"/cargo/crates/victim/1.0.0/download", []))
    assert answer is not None
    assert answer.body == crate("victim", "1.0.0")
    index = target.ask(request("GET", b"/cargo/index/vi/ct/victim", []))
    assert index is not None
    first = json.loads(index.body.splitlines()[0])
    assert (first["vers"], first["cksum"]) == ("1.0.0", sha256(answer.body).hexdigest())
