"""The table of prefixes: every route has a row, and whatever has none is closed where all is."""

import re
import string
from collections.abc import Iterator
from typing import Any

import falcon.inspect
import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from packledger.api.access.settings import AccessSettings
from packledger.api.http.errors import body_of
from packledger.api.mounts import (
    ELSEWHERE,
    MOUNTS,
    Access,
    ErrorFormat,
    Mount,
    MountTable,
    mount_of,
)
from packledger.server.http.app import build_app
from packledger.server.settings.settings import Settings
from raw_http import exchange, request
from routes import NOTHING, Route, routes_of
from running_registry import RunningRegistry

HTML = {"accept": "text/html"}
NOWHERE = (
    "/metrics", "/api/v1/crates", "/docs/x", "/docs", "/internal", "/internal/x", "/favicon.ico",
    "/robots.txt", "/cargo/x", "/cargo", "/npmx", "/logs", "/auditx", "/as-of", "/as-of/9",
    "/as-of/9/docs", "/.well-known/x", "/healthz", "/health/x", "/search/x", "/crates",
    "/account/x", "/internal/may-read/x",
)  # fmt: skip
ROWS = [row.prefix for row in MOUNTS.rows]
SEGMENTS = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=12)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(tmp_path_factory.mktemp("closed"), private=True)
    running.start()
    running.add_user("alice")
    yield running
    running.close()


@pytest.fixture(scope="module")
def app(closed: RunningRegistry) -> Any:
    access = AccessSettings(private=True)
    where = Settings(data=str(closed.data), public_url="http://127.0.0.1:1", access=access)
    return build_app(where)


def is_refused(row: Mount, answer: httpx.Response) -> bool:
    if row.access is Access.VISITOR:
        return answer.status_code == 303 and answer.headers["location"] == "/login"
    return answer.status_code == (404 if row.access is Access.OPEN else 401)


def test_every_route_and_sink_of_the_application_has_a_row(app: Any) -> None:
    templates = [route.path for route in falcon.inspect.inspect_routes(app)]
    sinks = [sink.prefix for sink in falcon.inspect.inspect_sinks(app)]
    assert len(templates) > 30
    assert sinks.count(NOTHING) == 1
    for template in templates:
        assert MOUNTS.find(template) is not None, template


def test_every_row_has_a_route(closed: RunningRegistry, app: Any) -> None:
    """A row without one would open a prefix for whoever adds something below it later."""
    routes = [*routes_of(closed.data), Route("GET", "/npm")]
    begun = {mount_of(path).prefix for _, path in routes}
    assert begun | {"/as-of"} == {*ROWS}


def test_a_route_or_sink_below_no_row_cannot_be_added(app: Any) -> None:
    for adding in (app.add_route, lambda at, what: app.add_sink(what, at)):
        for at in ("/metrics", "/api/v1/crates", "/{anything}", "/cargos/{name}"):
            with pytest.raises(ValueError, match=f"`{re.escape(at)}` begins like no row"):
                adding(at, object())


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_what_nothing_answers_is_closed_to_strangers(
    closed: RunningRegistry, method: str, path: str
) -> None:
    assert is_refused(mount_of(path), closed.http.request(method, path)), path
    known = closed.http.request(method, path, headers=closed.token())
    assert known.status_code == (303 if mount_of(path).access is Access.VISITOR else 404)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=PATHS)
def test_every_unknown_prefix_is_closed_to_strangers(closed: RunningRegistry, path: str) -> None:
    if mount_of(path) is ELSEWHERE:
        answer = exchange(closed.port, request("GET", path.encode(), []))
        assert answer is not None
        assert answer.status == 401, path
        assert b'"error"' in answer.body


def test_every_route_that_is_not_open_refuses_strangers(closed: RunningRegistry) -> None:
    for method, path in routes_of(closed.data):
        if mount_of(path).access is Access.OPEN or path.startswith("/npm/-/"):
            continue
        answer = closed.http.request(method, path)
        # Who writes is asked for a credential whatever the row says; npm's own openings are tested
        # in test_credential_kinds.
        assert is_refused(mount_of(path), answer), (method, path, answer)


@pytest.mark.parametrize("path", ["/cargo/x", "/as-of/9/cargo/x", "//cargo/x", "/cargo/me/x"])
def test_cargo_is_refused_in_its_own_format(closed: RunningRegistry, path: str) -> None:
    answer = exchange(closed.port, request("GET", path.encode(), []))
    assert answer is not None
    assert answer.status >= 400
    assert b'{"errors":[{"detail":' in answer.body


@pytest.mark.parametrize("row", MOUNTS.rows, ids=lambda row: row.prefix)
def test_a_refusal_has_the_form_of_its_row(row: Mount) -> None:
    path = row.prefix.replace("*", "9")
    named = (
        b'{"errors":[{"detail":"no"}]}' if row.errors is ErrorFormat.CARGO else b'{"error":"no"}'
    )
    assert body_of(path, "no") == named


@pytest.mark.parametrize("row", MOUNTS.rows, ids=lambda row: row.prefix)
def test_a_browser_is_refused_with_a_page_where_people_ask(
    registry: RunningRegistry, row: Mount
) -> None:
    path = row.prefix.replace("*", "9")
    answer = registry.http.request("PATCH", path, headers=HTML)
    assert answer.status_code in {400, 401, 404, 405}
    assert answer.text.startswith("<!doctype html>") is row.people, answer.text[:200]
    plain = registry.http.request("PATCH", path)
    assert plain.headers["content-type"] == "application/json"


def test_a_browser_that_is_nobody_is_told_so_with_a_page(closed: RunningRegistry) -> None:
    answer = closed.http.get("/metrics", headers=HTML)
    assert answer.status_code == 401
    assert answer.text.startswith("<!doctype html>")
    assert "www-authenticate" not in answer.headers


@given(rows=st.sets(st.lists(SEGMENTS, max_size=3).map(tuple), max_size=6), path=PATHS)
@example(rows={("a",), ("a", "*")}, path="/a/b/c")
def test_the_row_of_a_path_is_its_longest_prefix(rows: set[tuple[str, ...]], path: str) -> None:
    table = MountTable(Mount("/" + "/".join(row), ErrorFormat.PLAIN) for row in rows)
    asked = tuple(path.split("/")[1:])
    fitting = [
        row
        for row in (row or ("",) for row in rows)
        if len(row) <= len(asked)
        and all(one in {"*", part} for one, part in zip(row, asked, strict=False))
    ]
    found = table.find(path)
    assert (found is None) is (not fitting)
    if found is not None:
        longest = max(fitting, key=len)
        assert len(found.prefix.split("/")) - 1 == len(longest)
