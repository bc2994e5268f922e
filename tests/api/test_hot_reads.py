"""A document from memory is answered like one from Falcon."""

import json
import re
from typing import NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.server.http.hits import KEPT
from raw_http import Ears, connection, read_answer, send
from respelled import respelled
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

INSTALL = "application/vnd.npm.install-v1+json"
HIS_OWN = {"date", "x-request-id", "server", "connection"}
EACH_TIME = {"date", "x-request-id"}
HOTS = [b"/npm/hot", b"/npm/hot/-/hot-1.0.0.tgz"]
PATHS = ["/cargo/index/ho/tc/hotcrate", "/npm/hot", "/npm/@acme/hot", "/npm/@acme%2fhot"]
FILES = [
    "/cargo/crates/HotCrate/1.0.0/download",
    "/cargo/crates/hotcrate/1.0.0/download",
    "/npm/hot/-/hot-1.0.0.tgz",
    "/npm/@acme/hot/-/hot-1.0.0.tgz",
    "/npm/@acme%2fhot/-/hot-1.0.0.tgz",
]
NO_FILES = [
    "/cargo/crates/HotCrate/2.0.0/download",
    "/cargo/crates/HotCrate/1.0.0",
    "/cargo/crates/HotCrate/1.0.0/download/",
    "/cargo/crates/%48otCrate/1.0.0/download",
    "/npm/hot/-/hot-2.0.0.tgz",
    "/npm/hot/-/other-1.0.0.tgz",
    "/npm/hot/-/@acme/hot-1.0.0.tgz",
    "/npm/h%6ft/-/hot-1.0.0.tgz",
    "/npm/@acme/hot/-/",
    "/npm//-/hot-1.0.0.tgz",
]
ASKED: list[dict[str, str]] = [
    {"accept-encoding": "identity"},
    {"accept-encoding": "gzip"},
    {"accept-encoding": "gzip;q=0"},
    {"accept-encoding": "br, gzip;q=0.5"},
    {"accept": INSTALL},
    {"accept": f"{INSTALL}; q=1.0, application/json; q=0.8, */*"},
    {"accept": f"application/json, {INSTALL};q=0.1"},
    {"if-none-match": "*"},
    {"if-none-match": '"another"'},
    {"range": "bytes=0-3"},
    {"range": "bytes=5-"},
    {"range": "bytes=-7"},
    {"range": "bytes=99999999-"},
    {"range": "bytes=0-1,3-4"},
    {"range": "bytes=5-", "if-range": '"another"'},
    {"range": "bytes=5-", "if-none-match": "*"},
]


@pytest.fixture(scope="module", autouse=True)
def published(registry: RunningRegistry) -> None:
    who = registry.token()
    put = registry.http.put
    put("/cargo/api/v1/crates/new", content=new_crate("HotCrate", "1.0.0"), headers=who)
    for name in ("hot", "@acme/hot"):
        body = npm_body({"name": name, "version": "1.0.0"})
        put("/npm/" + name.replace("/", "%2f"), json=body, headers=who).raise_for_status()


def through_falcon(registry: RunningRegistry, path: str, asked: dict[str, str]) -> httpx.Response:
    # A query, even an empty one that means nothing, is not an ordinary hit.
    return registry.http.get(path + "?falcon", headers=asked)


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("path", PATHS + FILES + NO_FILES)
def test_a_hit_is_answered_as_falcon_answers(
    registry: RunningRegistry, path: str, asked: dict[str, str]
) -> None:
    expected = through_falcon(registry, path, asked)
    for _ in range(3):  # whichever worker, cold or warm
        answer = registry.http.get(path, headers=asked)
        assert answer.status_code == expected.status_code
        assert answer.content == expected.content
        assert _said(answer) == _said(expected)


@pytest.mark.parametrize("path", PATHS)
def test_the_etag_of_a_hit_gives_304(registry: RunningRegistry, path: str) -> None:
    etag = registry.http.get(path).headers["etag"]
    answer = registry.http.get(path, headers={"if-none-match": etag})
    expected = through_falcon(registry, path, {"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert _said(answer) == _said(expected)


def test_another_path_to_the_same_crate_is_no_hit(registry: RunningRegistry) -> None:
    for _ in range(4):
        assert registry.http.get("/cargo/index/ho/tc/hotcrate").status_code == 200
        assert registry.http.get("/cargo/index/xx/yy/hotcrate").status_code == 404
        assert registry.http.get("/cargo/index/hotcrate").status_code == 404


def test_a_proxys_request_id_stands_behind_ours(registry: RunningRegistry) -> None:
    """By either path; and a client that gives one of ours gets another."""
    get, hot = registry.http.get, "/npm/hot"
    for path in (hot, f"{hot}?falcon"):
        ids = [get(path).headers["x-request-id"] for _ in range(5)]
        for named in ("from-the-proxy", ids[0]):
            whole = get(path, headers={"x-request-id": named}).headers["x-request-id"]
            ours, _, theirs = whole.partition("~")
            assert theirs == named
            assert ours not in ids
        for forged in (f"{ids[0]}~x", "a b", "x" * 65, "\xff".encode("latin-1")):
            ids += [get(path, headers={"x-request-id": forged}).headers["x-request-id"]]
        assert len({*ids}) == len(ids)
        assert not [one for one in ids if not re.fullmatch("[0-9a-f]{10}-[0-9a-f]+", one)]


def test_what_is_recorded_says_which_id_is_whose(registry: RunningRegistry) -> None:
    """Who publishes under the id of another's request is recorded under an id of ours as well."""
    body, headers = npm_body({"name": "whose", "version": "1.0.0"}), registry.token()
    put = registry.http.put("/npm/whose", json=body, headers=headers)
    first = put.headers["x-request-id"]
    named = headers | {"x-request-id": first}
    again = npm_body({"name": "whose", "version": "1.0.1"})
    assert registry.http.put("/npm/whose", json=again, headers=named).status_code == 201
    lines = registry.http.get("/audit/npm/whose", headers=headers).text.splitlines()
    recorded = [json.loads(line)["request"] for line in lines]
    assert recorded[0] == first
    assert recorded[-1].endswith(f"~{first}")
    assert recorded[-1].split("~")[0] != first


def _said(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in HIS_OWN}


HIT = b"GET /npm/hot HTTP/1.1\r\nHost: x\r\n"


class Said(NamedTuple):
    """An answer without what differs each time."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(port: int, *pieces: bytes, answers: int = 1) -> list[Said | None]:
    """What is answered on one connection; None where it ended."""
    heard: list[Said | None] = []
    method = "HEAD" if pieces[0].startswith(b"HEAD") else "GET"
    with connection(port) as peer, Ears(peer) as ears:
        for piece in pieces:
            send(peer, piece)
        for _ in range(answers):
            answer = read_answer(ears, method)
            if answer is None:
                return [*heard, None]
            headers = {key: value for key, value in answer.headers.items() if key not in EACH_TIME}
            heard.append(Said(answer.status, headers, answer.body))
    return heard


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b"Connection: close\r\n",
        b"Connection: Keep-Alive\r\n",
        b"Connection: keep-alive, x\r\n",
        b"Expect: 100-continue\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 18446744073709551616\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X_Forwarded_Proto: https\r\n",
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n",
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Protocol: https\r\nX-Forwarded-Ssl: on\r\n",
        b"If-None-Match: *\r\nIf-None-Match: *\r\n",
        b"Accept-Encoding: gzip\r\nAccept-Encoding: gzip;q=0\r\n",
        b"Host: y\r\n",
        b"Range: bytes=0-1\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
    ],
)
@pytest.mark.parametrize("line", [b"GET %s HTTP/1.1", b"GET %s HTTP/1.0", b"HEAD %s HTTP/1.1"])
@pytest.mark.parametrize("hot", HOTS)
def test_what_is_no_ordinary_request_is_answered_as_falcon_answers(
    registry: RunningRegistry, hot: bytes, line: bytes, more: bytes
) -> None:
    if line.startswith(b"HEAD"):
        more += b"Connection: close\r\n"
    requests = (
        line % path + b"\r\nHost: x\r\n" + more + b"\r\n" for path in (hot, hot + b"?falcon")
    )
    hit, expected = (exchange(registry.port, one, one, answers=2) for one in requests)
    assert hit == expected


@settings(max_examples=150, deadline=None)
@given(target=st.sampled_from([*PATHS, *FILES]).flatmap(respelled))
def test_no_spelling_is_answered_otherwise_than_by_falcon(
    registry: RunningRegistry, target: str
) -> None:
    """So what Falcon refuses, since it can be read in two ways, is no hit either."""
    line = b"GET %s HTTP/1.1\r\nHost: x\r\n" % target.encode()
    hit, expected = (
        exchange(registry.port, line + more + b"\r\n")
        for more in (b"", b"Connection: keep-alive, x\r\n")
    )
    assert hit == expected


@pytest.mark.parametrize(
    "said",
    [
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Protocol: https\r\n",
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Protocol: ssl\r\n",
        b"X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: on\r\n",
        b"X-Forwarded-Proto: https, http\r\n",
    ],
)
@pytest.mark.parametrize("hot", [*HOTS, b"/health"])
def test_what_proxies_say_of_the_scheme_is_nobodys_business(
    registry: RunningRegistry, hot: bytes, said: bytes
) -> None:
    (answer,) = exchange(registry.port, b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (hot, said))
    assert answer is not None
    assert answer.status == 200


def test_pipelined_requests_are_answered_in_their_order(registry: RunningRegistry) -> None:
    paths = [
        b"/npm/hot",
        b"/npm/nothing",
        b"/cargo/crates/HotCrate/1.0.0/download",
        b"/cargo/index/ho/tc/hotcrate",
        b"/npm/hot/-/hot-1.0.0.tgz",
        b"/npm/hot",
        b"/npm/-/ping",
    ]
    asked = [HIT.replace(HOTS[0], path) + b"\r\n" for path in paths]
    expected = [exchange(registry.port, one)[0] for one in asked] * 5
    together = b"".join(asked) * 5
    for cut in (0, 1, 70, len(asked[0]), 333):
        pieces = (together[:cut], together[cut:])
        assert exchange(registry.port, *pieces, answers=len(expected)) == expected


@pytest.mark.parametrize("path", [*HOTS, b"/cargo/index/ho/tc/hotcrate"])
def test_wherever_the_network_divides_it_a_hit_is_the_same(
    registry: RunningRegistry, path: bytes
) -> None:
    asked = HIT.replace(HOTS[0], path) + b"Accept-Encoding: gzip\r\n\r\n"
    expected = exchange(registry.port, asked)
    for cut in range(1, len(asked)):
        assert exchange(registry.port, asked[:cut], asked[cut:]) == expected, cut


def test_what_the_headers_asked_of_one_document_they_ask_of_each(
    registry: RunningRegistry,
) -> None:
    etag = registry.http.get("/npm/hot").headers["etag"].encode()
    block = b" HTTP/1.1\r\nHost: x\r\nIf-None-Match: " + etag + b"\r\n\r\n"
    paths = [b"/npm/hot", b"/npm/@acme/hot", b"/cargo/index/ho/tc/hotcrate", b"/npm/hot"] * 3
    said = exchange(registry.port, *(b"GET " + path + block for path in paths), answers=len(paths))
    assert [one.status for one in said if one] == [304, 200, 200, 304] * 3


def test_more_headers_than_are_remembered_are_answered_alike(registry: RunningRegistry) -> None:
    expected = exchange(registry.port, HIT + b"\r\n")[0]
    with connection(registry.port) as peer, Ears(peer) as ears:
        for number in [*range(KEPT + 10), *range(10)]:
            send(peer, HIT + b"X-Run: %d\r\n\r\n" % number)
            answer = read_answer(ears)
            assert answer is not None
            assert expected is not None
            assert (answer.status, answer.body) == (expected.status, expected.body)


def test_thousands_of_pipelined_hits_are_all_answered(registry: RunningRegistry) -> None:
    said = exchange(registry.port, (HIT + b"\r\n") * 2_000, answers=2_000)
    assert {one.status for one in said if one} == {200}
    assert len(said) == 2_000


def test_a_purged_file_is_no_hit_any_more(registry: RunningRegistry) -> None:
    body, path = npm_body({"name": "gone", "version": "1.0.0"}), "/npm/gone/-/gone-1.0.0.tgz"
    registry.http.put("/npm/gone", json=body, headers=registry.token()).raise_for_status()
    assert {registry.http.get(path).status_code for _ in range(3)} == {200}
    registry.cli("purge", "npm:gone@1.0.0", "--reason", "a secret", "--yes")
    for _ in range(3):
        answer = registry.http.get(path)
        assert "a secret" in answer.text
        assert answer.status_code == through_falcon(registry, path, {}).status_code >= 400
