"""A document from memory is answered like one from Falcon."""

import httpx
import pytest

from running_registry import RunningRegistry
from uploads import new_crate, npm_body

INSTALL = "application/vnd.npm.install-v1+json"
HIS_OWN = {"date", "x-request-id", "server", "connection"}
PATHS = ["/cargo/index/ho/tc/hotcrate", "/npm/hot", "/npm/@acme/hot", "/npm/@acme%2fhot"]
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
@pytest.mark.parametrize("path", PATHS)
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


def test_a_proxys_request_id_is_kept_and_others_differ(registry: RunningRegistry) -> None:
    given = {"x-request-id": "from-the-proxy"}
    assert registry.http.get("/npm/hot", headers=given).headers["x-request-id"] == "from-the-proxy"
    ids = {registry.http.get("/npm/hot").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


def _said(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in HIS_OWN}
