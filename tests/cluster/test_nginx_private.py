"""nginx in front of a private registry: nothing without a token, nor with one revoked lately."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cargo_client
import npm_client
from fronted_registry import FrontedRegistry
from npm_client import NpmClient, npm_project
from npm_verbs import install
from packledger.api.access.gate import KEPT_S
from packledger.api.mounts import MAY_READ_AT
from raw_http import exchange, request
from respelled import BEFORE, PLAIN, respelled

INDEX = "/cargo/index/hi/dd/hidden"
DOCUMENTS = ("/cargo/index/config.json", INDEX, "/npm/hidden", "/npm/@acme%2fhidden")


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontedRegistry]:
    running = FrontedRegistry(tmp_path_factory.mktemp("hidden"), private=True)
    try:
        running.start()
        for name in ("alice", "bob"):
            running.add_user(name)
        cargo_client.published(running, "hidden", "1.0.0")
        for name in ("hidden", "@acme/hidden"):
            npm_client.published(running, name, "1.0.0")
        running.wait_for("cargo/index/hi/dd/hidden.gz", "npm/@acme/hidden.abbreviated.json.gz")
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize(
    "authorization", ["", "plk_unknown", "Bearer plk_unknown", "Basic YWxpY2U6d3Jvbmc=", "Digest x"]
)
def test_without_a_token_every_answer_is_the_apps_refusal(
    hidden: FrontedRegistry, path: str, authorization: str
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    ours, theirs = (one.get(path, headers=headers) for one in (hidden.http, hidden.direct))
    assert (ours.status_code, ours.content) == (401, theirs.content)
    assert ours.headers["www-authenticate"] == theirs.headers["www-authenticate"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_with_a_token_documents_come_from_the_tree(hidden: FrontedRegistry, path: str) -> None:
    for headers in (hidden.token(), {"authorization": hidden.tokens["alice"]}):
        hidden.http.get(path, headers=headers)
        before = len(hidden.tap.exchanges)
        answer = hidden.http.get(path, headers=headers)
        assert answer.content == hidden.direct.get(path, headers=headers).content
        assert "x-request-id" not in answer.headers, "the app answered"
        asked = {exchange.path for exchange in hidden.tap.exchanges[before:]}
        assert asked <= {MAY_READ_AT}


def test_a_yes_is_kept_for_one_token_alone(hidden: FrontedRegistry) -> None:
    assert hidden.http.get(INDEX, headers=hidden.token()).status_code == 200
    assert hidden.http.get(INDEX).status_code == 401
    assert hidden.http.get(INDEX, headers={"authorization": "Bearer plk_other"}).status_code == 401
    # One token for all paths: an install asks for hundreds.
    before = len(hidden.tap.exchanges)
    for path in DOCUMENTS * 5:
        assert hidden.http.get(path, headers=hidden.token()).status_code == 200
    assert len(hidden.tap.exchanges) - before <= 2


def test_a_revoked_token_is_refused_soon(hidden: FrontedRegistry) -> None:
    secret = hidden.cli("token", "create", "--user", "bob", "--name", "short").strip()
    headers = {"authorization": f"Bearer {secret}"}
    assert hidden.http.get(INDEX, headers=headers).status_code == 200
    listed = hidden.cli("token", "list", "--user", "bob")
    (line,) = [one for one in listed.splitlines() if "short" in one]
    hidden.cli("token", "revoke", line.split()[0])
    revoked_s = time.monotonic()
    while hidden.http.get(INDEX, headers=headers).status_code == 200:
        assert time.monotonic() - revoked_s < KEPT_S + 1, "a revoked token still reads"
        time.sleep(0.1)


def test_the_question_itself_is_for_nginx_alone(hidden: FrontedRegistry) -> None:
    assert hidden.http.get(MAY_READ_AT, headers=hidden.token()).status_code == 404
    assert hidden.direct.get(MAY_READ_AT).status_code == 403
    answer = hidden.direct.get(MAY_READ_AT, headers=hidden.token())
    assert (answer.status_code, answer.content) == (204, b"")


def test_passwords_are_left_to_the_app_and_counted_once(hidden: FrontedRegistry) -> None:
    answer = hidden.http.get("/npm/hidden", auth=("alice", "password of alice"))
    assert answer.status_code == 200
    assert "x-request-id" in answer.headers, "nginx answered, who knows no passwords"
    for _ in range(9):
        assert hidden.http.get("/npm/hidden", auth=("bob", "wrong")).status_code == 401
    assert hidden.http.get("/npm/hidden", auth=("bob", "password of bob")).status_code == 200


def assert_closed(hidden: FrontedRegistry, target: str) -> None:
    answer = exchange(hidden.nginx.port, request("GET", target.encode(), []))
    assert answer is not None, target
    assert answer.status in {400, 401, 404}, (target, answer)
    assert b"1.0.0" not in answer.body.replace(target.encode(), b""), (target, answer)


@pytest.mark.parametrize("path", [*DOCUMENTS, "/cargo/crates/hidden/1.0.0/download"])
def test_no_other_beginning_opens_a_document(hidden: FrontedRegistry, path: str) -> None:
    for before in BEFORE:
        assert_closed(hidden, before + path)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(target=st.sampled_from(DOCUMENTS).flatmap(respelled))
def test_no_spelling_opens_a_document(hidden: FrontedRegistry, target: str) -> None:
    assert_closed(hidden, target)


def test_nginx_and_the_app_refuse_the_same_paths(hidden: FrontedRegistry) -> None:
    """What nginx lets through the app may answer: it was read in one way only."""
    for path in (*PLAIN, "/npm//x", "/npm/a%2fb", "/npm/%5c", "/npm/x/..", "/npm/@a%2f..", "//"):
        told = request("GET", path.encode(), [(b"Authorization", hidden.tokens["alice"].encode())])
        answers = [exchange(port, told) for port in (hidden.nginx.port, hidden.port)]
        refused = [answer is not None and answer.status == 400 for answer in answers]
        assert refused == [path not in PLAIN] * 2, (path, answers)


@pytest.mark.client
def test_npm_installs_with_a_token_and_not_without(hidden: FrontedRegistry, tmp_path: Path) -> None:
    manifest = {"name": "app", "version": "1.0.0", "dependencies": {"@acme/hidden": "*"}}
    app = npm_project(tmp_path / "app", manifest)
    npm = NpmClient("npm", tmp_path / "home", hidden)
    assert "401" in install(npm, app, fails=True).stderr
    npm.sign_in(hidden.tokens["alice"])
    install(npm, app)
    assert (app / "node_modules" / "@acme" / "hidden").is_dir()
