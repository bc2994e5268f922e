"""What may arrive: strategies for paths, headers, and bodies that are nearly right."""

import base64
import gzip
import json
from typing import Any

from hypothesis import strategies as st

NASTY = (
    b"%2e%2e", b"..", b".", b"%00", b"%ff", b"%", b"%zz", b"%2f", b"%5c", b"%252e", b"", b"//",
    b"%0d%0aX-Injected:%20yes", b"\xff\xfe", b"%ed%a0%80", b"%f0%9f%92%a9", b"@", b"@scope",
    b"__proto__", b"constructor", b"-", b"-rev", b"a" * 300, b"%C4%B0", b"victim;x=1", b"1e999",
    b"'%20OR%201=1--", b"*", b"~", b"-1", b"99999999999999999999", b"plk_", b"latest",
)  # fmt: skip

tokens = st.binary(max_size=60).filter(lambda text: not set(text) & set(b"\0\r\n"))


@st.composite
def targets(draw: st.DrawFn, paths: tuple[str, ...]) -> bytes:
    """A path of ours, some of its segments replaced by something nasty."""
    path, question, query = draw(st.sampled_from(paths)).encode().partition(b"?")
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


def credentials(tokens_of: dict[str, str]) -> st.SearchStrategy[bytes]:
    """Mostly a good one: what it guards is worth reaching."""
    good = b"Bearer " + tokens_of["alice"].encode()
    return st.one_of(
        st.just(good),
        st.just(good),
        st.just(tokens_of["bob"].encode()),
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


@st.composite
def mutated_archive(draw: st.DrawFn, packed: bytes) -> bytes:
    """A gzipped tar whose tar was changed, or whose gzip was."""
    if draw(st.booleans()):
        return draw(mutated_bytes(packed))
    return gzip.compress(draw(mutated_bytes(gzip.decompress(packed))), mtime=0)
