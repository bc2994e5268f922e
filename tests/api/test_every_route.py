"""What HTTP asks of every route, whatever it is about."""

import httpx
import pytest

from raw_http import Answer, exchange, request
from routes import Route, routes_of
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

EACH_TIME = {"date", "x-request-id", "set-cookie", "connection", "transfer-encoding"}
ABSOLUTE = (
    "/npm/victim",
    "/npm/victim/-/victim-1.0.0.tgz",
    "/cargo/index/vi/ct/victim",
    "/cargo/crates/victim/1.0.0/download",
    "/cargo/api/v1/crates?q=victim",
    "/health",
    "/npm/nothing-here",
)


@pytest.fixture(scope="module", autouse=True)
def published(registry: RunningRegistry) -> None:
    who, put = registry.token(), registry.http.put
    crate = new_crate("victim", "1.0.0")
    put("/cargo/api/v1/crates/new", content=crate, headers=who).raise_for_status()
    put("/npm/victim", json=npm_body({"name": "victim", "version": "1.0.0"}), headers=who)


@pytest.fixture(scope="module")
def reads(registry: RunningRegistry) -> list[str]:
    found = [path for method, path in routes_of(registry.data) if method == "GET"]
    return [*found, "/npm/-/v1/search?text=victim", "/search?q=victim", "/audit/receipt/3"]


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name: text for name, text in answer.headers.items() if name not in EACH_TIME}


def test_head_is_answered_wherever_get_is_and_like_it(
    registry: RunningRegistry, reads: list[str]
) -> None:
    well = set()
    for path in reads:
        got = registry.http.get(path, headers=registry.token())
        head = registry.http.head(path, headers=registry.token())
        assert head.status_code == got.status_code, path
        assert head.content == b"", path
        if "transfer-encoding" in got.headers:
            assert "content-length" not in head.headers, path
        assert headers_of(head) == headers_of(got), path
        well |= {path} if got.status_code == 200 else set()
    assert len(well) > 30, well


def test_every_resource_that_answers_get_answers_head(registry: RunningRegistry) -> None:
    routes = routes_of(registry.data)
    for method, path in routes:
        if method == "GET" and not path.startswith(("/npm/", "/as-of/9/npm/")):
            assert Route("HEAD", path) in routes


def told(registry: RunningRegistry, target: str, host: bytes = b"registry") -> Answer | None:
    said = request("GET", target.encode(), []).replace(b"Host: registry", b"Host: " + host)
    return exchange(registry.port, said)


@pytest.mark.parametrize("path", ABSOLUTE)
@pytest.mark.parametrize("before", ["http://registry", "HTTP://registry:80", "https://registry"])
def test_an_absolute_target_means_the_same(
    registry: RunningRegistry, path: str, before: str
) -> None:
    """Asked thrice: the first may come before a document is in memory."""
    for _ in range(3):
        answer, expected = told(registry, before + path), told(registry, path)
        assert answer is not None
        assert expected is not None
        assert (answer.status, answer.body) == (expected.status, expected.body)


@pytest.mark.parametrize("target", ["http://registry", "http://registry?x=1"])
def test_an_absolute_target_without_a_path_is_the_start_page(
    registry: RunningRegistry, target: str
) -> None:
    answer = told(registry, target)
    assert answer is not None
    assert answer.status == 200
    assert b"<!doctype html>" in answer.body


@pytest.mark.parametrize(
    "target", ["http://", "http:///npm/victim", "http://a@b/npm/victim", "ftp://x/npm/victim", "*"]
)
def test_what_is_no_target_is_refused(registry: RunningRegistry, target: str) -> None:
    answer = told(registry, target)
    assert answer is not None
    assert answer.status == 400


def test_the_host_of_an_absolute_target_is_the_one_that_counts(registry: RunningRegistry) -> None:
    """A form's origin is compared with the host: a proxy may have left another in the header."""
    sent = b"form_token=x"
    for target, host, status in [
        (b"http://there:1/login", b"here:1", b"form was sent by another site"),
        (b"http://here:1/login", b"there:1", b"form is from an older page"),
    ]:
        head = [(b"Origin", b"http://here:1"), (b"Accept", b"text/html")]
        head.append((b"Content-Type", b"application/x-www-form-urlencoded"))
        said = request("POST", target, head, sent).replace(b"Host: registry", b"Host: " + host)
        answer = exchange(registry.port, said)
        assert answer is not None
        assert status in answer.body
