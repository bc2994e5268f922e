"""Whatever arrives is answered, never with a status from 500 on, and a refusal changes nothing."""

import base64
import contextlib
import gzip
import json
from typing import Any
from urllib.parse import quote_plus

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_http import exchange, request
from target import Target, assert_own_format
from uploads import crate, crate_body, npm_body, tar_gz, tarball

bounded = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY")
PATHS = (
    "/",
    "/health",
    "/cargo/me",
    "/cargo/index/config.json",
    "/cargo/index/vi/ct/victim",
    "/cargo/api/v1/crates",
    "/cargo/api/v1/crates?q=vic&per_page=5&page=1",
    "/cargo/api/v1/crates/new",
    "/cargo/api/v1/crates/victim/owners",
    "/cargo/api/v1/crates/victim/1.0.0/yank",
    "/cargo/api/v1/crates/victim/1.0.0/unyank",
    "/cargo/crates/victim/1.0.0/download",
    "/npm/",
    "/npm/victim",
    "/npm/@scope%2fvictim",
    "/npm/@scope/victim/1.0.0",
    "/npm/victim/latest",
    "/npm/victim/-/victim-1.0.0.tgz",
    "/npm/victim/-rev/1-0",
    "/npm/victim/-/victim-1.0.0.tgz/-rev/2-0",
    "/npm/-/package/victim/dist-tags",
    "/npm/-/package/victim/dist-tags/next",
    "/npm/-/ping",
    "/npm/-/whoami",
    "/npm/-/v1/search?text=vic&size=20&from=0",
    "/npm/-/v1/login",
    "/npm/-/user/org.couchdb.user:alice",
    "/npm/-/user/org.couchdb.user:alice/-rev/1",
    "/npm/-/user/token/plk_x",
    "/npm/-/npm/v1/tokens",
    "/npm/-/npm/v1/tokens/token/abc",
    "/npm/-/npm/v1/security/advisories/bulk",
    "/npm/-/npm/v1/security/audits/quick",
    "/npm/-/_view/starredByUser?key=%22alice%22",
    "/npm/-/user/v1/star",
    "/crates/victim",
    "/packages/victim",
    "/search?q=victim",
    "/login",
    "/setup",
    "/account",
)
NASTY = (
    b"%2e%2e", b"..", b".", b"%00", b"%ff", b"%", b"%zz", b"%2f", b"%5c", b"%252e", b"", b"//",
    b"%0d%0aX-Injected:%20yes", b"\xff\xfe", b"%ed%a0%80", b"%f0%9f%92%a9", b"@", b"@scope",
    b"__proto__", b"constructor", b"-", b"-rev", b"a" * 300, b"%C4%B0", b"victim;x=1", b"1e999",
    b"'%20OR%201=1--", b"*", b"~", b"-1", b"99999999999999999999", b"plk_", b"latest",
)  # fmt: skip

tokens = st.binary(max_size=60).filter(lambda text: not set(text) & set(b"\0\r\n"))


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    """A path of ours, some of its segments replaced by something nasty."""
    path, question, query = draw(st.sampled_from(PATHS)).encode().partition(b"?")
    parts = path.split(b"/")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(1, len(parts)))
        nasty = draw(st.sampled_from(NASTY) | st.binary(min_size=1, max_size=8).map(quoted))
        if draw(st.booleans()):
            parts.insert(at, nasty)
        else:
            parts[min(at, len(parts) - 1)] = nasty
    if draw(st.booleans()):
        question = b"?"
        query += draw(st.sampled_from(NASTY) | st.binary(max_size=20).map(quoted))
    return b"/".join(parts) + question + query


def quoted(raw: bytes) -> bytes:
    return b"".join(b"%%%02x" % byte for byte in raw)


def credentials(target: Target) -> st.SearchStrategy[bytes]:
    """Mostly a good one: what it guards is worth reaching."""
    good = b"Bearer " + target.tokens["alice"].encode()
    return st.one_of(
        st.just(good),
        st.just(good),
        st.just(target.tokens["bob"].encode()),
        tokens,
        tokens.map(lambda text: b"Bearer " + text),
        tokens.map(lambda text: b"Basic " + base64.b64encode(text)),
        st.just(b"Basic " + base64.b64encode(b"alice:wrong")),
        st.just(b"Basic \xff"),
    )


headers = st.lists(
    st.one_of(
        st.tuples(st.just(b"Accept"), tokens),
        st.tuples(
            st.just(b"Accept"),
            st.sampled_from(
                (
                    b"application/vnd.npm.install-v1+json; q=1.0, application/json; q=nan",
                    b"application/vnd.npm.install-v1+json;q=1e999,*/*",
                    b"text/html",
                    b"," * 3000,
                )
            ),
        ),
        st.tuples(st.just(b"If-None-Match"), tokens | st.sampled_from((b"*", b"W/", b'",,,"'))),
        st.tuples(st.just(b"Accept-Encoding"), tokens | st.just(b"gzip;q=x, *;q=0")),
        st.tuples(
            st.just(b"Content-Encoding"),
            tokens | st.sampled_from((b"gzip", b"x-gzip", b"GZIP", b"br", b"gzip, gzip")),
        ),
        st.tuples(st.just(b"Content-Type"), tokens | st.just(b"text/html; charset=\xff")),
        st.tuples(st.just(b"Cookie"), tokens | st.just(b'packledger-session="\xff; =;;')),
        st.tuples(st.just(b"Range"), st.sampled_from((b"bytes=0-", b"bytes=9-1", b"x", b"\xff"))),
        st.tuples(st.just(b"X-Request-Id"), tokens),
        st.tuples(st.just(b"X-Forwarded-For"), tokens),
        st.tuples(st.just(b"Origin"), tokens),
        st.tuples(st.just(b"Referer"), tokens),
        st.tuples(st.just(b"If-Modified-Since"), tokens),
        st.tuples(st.just(b"Date"), tokens),
    ),
    max_size=4,
)


class Literal:
    """JSON that no encoder would write, put in the place of a value."""

    def __init__(self, text: str) -> None:
        self.text = text


LITERALS = (
    '"\\ud800"', '"\\ud83d\\ude00"', "1e400", "-0", "NaN", "99999999999999999999999", '"\\u0000"',
    "[" * 5000 + "]" * 5000, '{"a":' * 2000 + "1" + "}" * 2000, '"' + "x" * 70_000 + '"', "",
    '{"__proto__":{"x":1}}', "1.0000000000000000000001", "tru", '"\t"', '"\\x"', "{}", "[]", '""',
)  # fmt: skip
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(("__proto__", "constructor", "victim", "1.0.0", "latest", "../../x", "*", "")),
    st.lists(st.text(max_size=5) | st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=8), st.text(max_size=5) | st.none(), max_size=3),
    st.sampled_from(LITERALS).map(Literal),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += places(inner, (*at, number))
    return found


def text_of(value: Any) -> str:
    if isinstance(value, Literal):
        return value.text
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)}:{text_of(one)}" for key, one in value.items())
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


@st.composite
def mutated_json(draw: st.DrawFn, document: Any) -> bytes:
    """A document with some values replaced, removed, renamed or added."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(document)[1:] or [("x",)]))
        inside = document
        for step in way:
            inside = inside[step]
        kind = draw(st.sampled_from(("replace", "replace", "remove", "add")))
        if kind == "replace":
            inside[last] = draw(values)
        elif kind == "remove":
            del inside[last]
        elif isinstance(inside, dict):
            inside[draw(st.text(max_size=10) | st.just("__proto__"))] = draw(values)
        if not places(document)[1:] or not isinstance(document, dict):
            break
        if any(isinstance(one, Literal) for one in inside_values(document)):
            break
    return text_of(document).encode("utf-8", "surrogatepass")


def inside_values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [deep for inner in value.values() for deep in [inner, *inside_values(inner)]]
    if isinstance(value, list):
        return [deep for inner in value for deep in [inner, *inside_values(inner)]]
    return []


@st.composite
def mutated_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes with some flipped, cut, doubled or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(("flip", "cut", "insert", "double", "zero")))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 2000))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=30))
        elif kind == "double":
            data[at:at] = data[at : at + 500]
        else:
            data[at : at + 4] = bytes(4)
    return bytes(data)


DOCUMENTS: dict[str, tuple[str, Any]] = {
    "/npm/victim": ("PUT", npm_body({"name": "victim", "version": "9.9.9", "keywords": ["a"]})),
    "/npm/victim/-rev/2-0": (
        "PUT",
        {
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
    ),
    "/cargo/api/v1/crates/victim/owners": ("PUT", {"users": ["bob"]}),
    "/npm/-/package/victim/dist-tags/next": ("PUT", "1.0.0"),
    "/npm/-/user/org.couchdb.user:alice": (
        "PUT",
        {
            "_id": "org.couchdb.user:alice",
            "name": "alice",
            "password": "password of alice",
            "type": "user",
            "roles": [],
            "date": "2026-11-21T00:00:00.000Z",
        },
    ),
    "/npm/-/npm/v1/tokens": (
        "POST",
        {
            "password": "password of alice",
            "readonly": True,
            "cidr_whitelist": [],
            "name": "x",
            "expires": 3,
            "packages": ["victim"],
            "scopes": ["@scope"],
        },
    ),
    "/npm/-/user/v1/star": ("PUT", {"package": "victim"}),
    "/npm/-/npm/v1/security/advisories/bulk": ("POST", {"victim": ["1.0.0"]}),
    "/npm/-/npm/v1/security/audits/quick": (
        "POST",
        {"name": "x", "version": "1.0.0", "requires": {"victim": "^1.0.0"}, "dependencies": {}},
    ),
}


def ask(target: Target, method: str, path: bytes, head: Any, body: bytes = b"") -> None:
    answer = target.ask(request(method, path, head, body))
    if answer is None or answer.status < 400 or method == "HEAD":
        return
    for_pages = answer.headers.get("content-type", "").startswith("text/")
    if path.startswith((b"/cargo/", b"/npm/")) and not for_pages:
        assert_own_format("/cargo/" if path.startswith(b"/cargo/") else "/npm/", answer)


@bounded
@given(data=st.data())
def test_any_path_method_and_headers_are_answered(target: Target, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(METHODS))
    head = data.draw(headers)
    if data.draw(st.booleans()):
        head = [(b"Authorization", data.draw(credentials(target))), *head]
    body = data.draw(st.binary(max_size=200)) if data.draw(st.booleans()) else b""
    ask(target, method, data.draw(targets()), head, body)


def draw_number(data: st.DataObject) -> int:
    return data.draw(st.integers(0, 0xFFFF))


@bounded
@given(data=st.data())
def test_any_document_is_answered(target: Target, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(DOCUMENTS)))
    method, document = DOCUMENTS[path]
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


FORMS = ("/login", "/logout", "/setup", "/account/tokens", "/account/tokens/revoke", "/search")
fields = st.sampled_from(("form_token", "name", "password", "code", "id", "scopes", "expires", "q"))
form_values = st.text(max_size=20).map(quote_plus) | st.sampled_from(("%ff", "%00", "&", "a" * 999))


@bounded
@given(data=st.data())
def test_any_form_is_answered(target: Target, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(fields, form_values), max_size=6))
    body = "&".join(f"{name}={value}" for name, value in pairs).encode()
    if data.draw(st.booleans()):
        body = data.draw(mutated_bytes(body))
    session = data.draw(tokens | st.just(target.tokens["bob"].encode()))
    head = [
        (b"Content-Type", b"application/x-www-form-urlencoded"),
        (b"Cookie", b"packledger-session=" + session + b"; packledger-form=x"),
        (b"Origin", data.draw(tokens | st.just(target.url.encode()))),
        *data.draw(headers),
    ]
    ask(target, "POST", data.draw(st.sampled_from(FORMS)).encode(), head, body)


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
    ask(target, "PUT", b"/cargo/api/v1/crates/new", head, body)


@st.composite
def mutated_archive(draw: st.DrawFn, packed: bytes) -> bytes:
    """A gzipped tar whose tar was changed, or whose gzip was."""
    if draw(st.booleans()):
        return draw(mutated_bytes(packed))
    return gzip.compress(draw(mutated_bytes(gzip.decompress(packed))), mtime=0)


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
def test_any_bytes_are_answered_or_hung_up_on(target: Target, data: st.DataObject) -> None:
    whole = request(
        data.draw(st.sampled_from(METHODS)),
        data.draw(targets()),
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
