"""A private registry is closed, however a path is spelled, and whatever is added to it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_server import AsgiServer
from cargo_client import put_crate
from packledger.api.access.settings import AccessSettings
from packledger.api.http.errors import ErrorAnswers
from packledger.api.http.middleware import PrivateReads, RequestIds, Requests
from packledger.api.http.routing import Mounts
from packledger.api.mounts import Access, ErrorFormat, Mount, MountTable
from packledger.api.npm.root import NpmRoot
from packledger.api.web.site import Site
from packledger.server.http.app import build_context
from packledger.server.settings.settings import Settings
from raw_http import exchange, request
from respelled import respelled
from routes import Route, routes_of
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

SPELLED = (
    "//cargo/index/hi/dd/hidden",
    "/%2fcargo/index/hi/dd/hidden",
    "///cargo/index/hi/dd/hidden",
    "//cargo/crates/hidden/1.0.0/download",
    "//cargo/api/v1/crates?q=hidden",
    "//npm/hidden",
    "//log/checkpoint",
    "//log/tile/entries/000",
    "//audit/receipt/3",
    "//as-of/9/cargo/index/hi/dd/hidden",
    "/as-of/9//cargo/index/hi/dd/hidden",
    "/npm/-/ping/../../hidden",
    "/npm/-/ping%2f..%2f..%2fhidden",
    "/npm/-/user/token/x%2f..%2f..%2f..%2f..%2fhidden",
    "//crates/hidden",
    "/%2fpackages/hidden",
    "//search?q=hidden",
    "http://registry/cargo/index/hi/dd/hidden",
    "http://registry//cargo/index/hi/dd/hidden",
)
BEFORE_A_TOKEN = ("/health", "/login", "/logout", "/setup", "/cargo/me", "/npm/-/ping")
FORMS = ("/npm/-/user/token/", "/npm/-/user/org.couchdb.user:", "/npm/-/v1/login", "/static/")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(tmp_path_factory.mktemp("closed"), private=True)
    try:
        running.start()
        running.add_user("alice")
        assert put_crate(running, new_crate("hidden", "1.0.0")).status_code == 200
        for name in ("hidden", "victim", "@acme/hidden"):
            body, path = npm_body({"name": name, "version": "1.0.0"}), name.replace("/", "%2f")
            put = running.http.put(f"/npm/{path}", json=body, headers=running.token())
            put.raise_for_status()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def routes(closed: RunningRegistry) -> list[Route]:
    return [*routes_of(closed.data), Route("GET", "/npm/@acme%2fhidden")]


def assert_closed(closed: RunningRegistry, method: str, target: str) -> None:
    answer = exchange(closed.port, request(method, target.encode(), []))
    assert answer is not None, (method, target)
    to_the_form = answer.status == 303 and answer.headers["location"] in {"/login", "/"}
    assert answer.status in {400, 401, 404} or to_the_form, (method, target, answer)
    assert "etag" not in answer.headers, (method, target, answer)
    assert len(answer.body) < 200 + 3 * len(target) or b"<!doctype" in answer.body


@pytest.mark.parametrize("target", SPELLED)
def test_no_other_spelling_opens_a_private_registry(closed: RunningRegistry, target: str) -> None:
    assert_closed(closed, "GET", target)
    assert_closed(closed, "HEAD", target)


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_spelling_of_any_route_opens_it(
    closed: RunningRegistry, routes: list[Route], data: st.DataObject
) -> None:
    method, path = data.draw(st.sampled_from(routes))
    target = data.draw(respelled(path))
    meant = unquote(target.partition("?")[0]).casefold().removeprefix("http://registry").rstrip("/")
    if meant in BEFORE_A_TOKEN or meant.startswith(FORMS):
        return
    assert_closed(closed, method, target)


def test_whoever_has_a_token_is_refused_other_spellings_in_words(closed: RunningRegistry) -> None:
    head = [(b"Authorization", closed.tokens["alice"].encode())]
    for target in (one for one in SPELLED if not one.startswith("http://registry/c")):
        answer = exchange(closed.port, request("GET", target.encode(), head))
        assert answer is not None
        assert answer.status == 400, target
        assert b"the path" in answer.body
        assert (b'"errors"' in answer.body) == ("cargo/" in target), target


class _Everything:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.text = "hidden"


async def _sink(req: Any, resp: Any, **params: Any) -> None:
    resp.text = "hidden"


def test_a_route_or_sink_that_names_no_access_is_closed(closed: RunningRegistry) -> None:
    where = Settings(
        data=str(closed.data), public_url="http://127.0.0.1:1", access=AccessSettings(private=True)
    )
    context = build_context(where)
    site = Site(context)
    gate = PrivateReads(context.authenticator, site.sessions, "/login")
    table = MountTable(Mount(at, ErrorFormat.PLAIN) for at in ("/new", "/deep", "/open"))
    app = Mounts([Requests(RequestIds())], gate, NpmRoot(""), table)
    app.bodies = context.bodies
    ErrorAnswers(context.registry.public_url, site.answer_error).install(app)
    app.add_route("/new", _Everything())
    app.add_sink(_sink, "/deep")
    app.add_route("/open", _Everything(), access=Access.OPEN)
    server = AsgiServer(app)
    try:
        told = {path: httpx.get(server.url + path) for path in ("/new", "/deep/er", "/open")}
        bearer = closed.token()
        known = {path: httpx.get(server.url + path, headers=bearer) for path in ("/new", "/deep")}
    finally:
        server.close()
    assert told.pop("/open").text == "hidden"
    for path, answer in {**told, **known}.items():
        assert answer.status_code == 403, path
        assert "nothing says who may use it" in answer.text


def test_health_tells_a_stranger_the_status_alone(closed: RunningRegistry) -> None:
    assert closed.http.get("/health").json() == {"status": "ok"}
    unknown = {"Authorization": "Bearer plk_unknown"}
    assert closed.http.get("/health", headers=unknown).json() == {"status": "ok"}
    assert closed.http.get("/health", headers=closed.token()).json()["position"] > 0
