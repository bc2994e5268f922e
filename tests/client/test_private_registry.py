"""A private registry with all six clients: everything needs a token, and no token leaks.

Source: https://doc.rust-lang.org/cargo/reference/registry-authentication.html
"""

import base64
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from cargo_client import Cargo, consumer, library, put_crate
from leaks import MAKERS, SECRET, assert_nothing_leaked
from npm_client import NpmClient, npm_project, published
from npm_verbs import ALL, install, publish, whoami
from raw_http import exchange
from routes import routes_of
from running_registry import RunningRegistry
from terminal import converse
from uploads import new_crate
from visitor import Visitor

pytestmark = pytest.mark.client

WHOLE = re.compile(r"plk_[A-Za-z0-9]{40}")
UNKNOWN = "plk_" + "x" * 40


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A private registry that logs all it can, with a crate and two packages.

    Whatever the tests did with it, no token may have leaked.
    """
    folder = tmp_path_factory.mktemp("private")
    running = RunningRegistry(folder, private=True, log_level="debug")
    running.tap.keeping = True
    try:
        running.start()
        for name in ("alice", "bob"):
            running.add_user(name)
        assert put_crate(running, new_crate("hidden", "1.0.0")).status_code == 200
        for name in ("hidden", "@acme/hidden"):
            published(running, name, "1.0.0")
        yield running
        assert_nothing_leaked(running)
    finally:
        running.close()


def app(folder: Path) -> Path:
    needs = {"hidden": "*", "@acme/hidden": "*"}
    manifest = {"name": "app", "version": "1.0.0", "license": "MIT", "dependencies": needs}
    return npm_project(folder, manifest)


CLOSED = [
    "/cargo/index/config.json", "/cargo/index/hi/dd/hidden", "/cargo/index/no/ne/none",
    "/cargo/crates/hidden/1.0.0/download", "/cargo/api/v1/crates?q=hidden",
    "/cargo/api/v1/crates/hidden/owners", "/npm/hidden", "/npm/@acme%2fhidden",
    "/npm/@acme/hidden", "/npm/hidden/latest", "/npm/hidden/-/hidden-1.0.0.tgz", "/npm/none",
    "/npm/-/package/hidden/dist-tags", "/npm/-/v1/search?text=hidden", "/npm/-/whoami",
    "/npm/-/npm/v1/tokens", '/npm/-/_view/starredByUser?key="alice"', "/npm/-/user/alice/stars",
    "/npm/-/user/org.couchdb.user:alice", "/npm/", "/npm/-/no-such-path",
]  # fmt: skip


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_is_read_without_a_valid_token(private: RunningRegistry, path: str) -> None:
    scheme = "Cargo" if path.startswith("/cargo") else "Bearer"
    for headers in ({}, {"Authorization": f"Bearer {UNKNOWN}"}, {"Authorization": UNKNOWN}):
        for method in ("GET", "HEAD"):
            answer = private.http.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].split()[0] == scheme
            assert "ETag" not in answer.headers
            assert b"hidden" not in answer.content
    allowed = private.http.get(path, headers=private.token("bob"))
    assert allowed.status_code != 401
    assert "public" not in allowed.headers.get("Cache-Control", "")


def test_whatever_is_answered_needs_a_token_unless_it_comes_before_one(
    private: RunningRegistry,
) -> None:
    """Asked of every route that the application has."""
    for method, path in routes_of(private.data):
        answer = private.http.request(method, path, headers={"Accept": "*/*"})
        said = f"{method} {path} {answer.status_code} {answer.text}"
        sent_away = answer.status_code == 303 and answer.headers["Location"] in {"/login", "/"}
        closed = answer.status_code in {401, 403} or sent_away
        assert closed or path in PAGES_BEFORE_A_TOKEN or f"{method} {path}" in BEFORE_A_TOKEN, said


BEFORE_A_TOKEN = {
    "GET /cargo/me",
    "HEAD /cargo/me",
    "GET /npm/-/ping",
    "DELETE /npm/-/user/token/plk_x",
    # They want a password.
    "PUT /npm/-/user/org.couchdb.user:alice",
    "PUT /npm/-/user/org.couchdb.user:alice/-rev/victim",
}
PAGES_BEFORE_A_TOKEN = {"/health", "/login", "/setup", "/static/victim"}


def test_a_stranger_does_not_learn_which_accounts_there_are(private: RunningRegistry) -> None:
    answers = []
    for name in ("alice", "nobody-here"):
        body = {"_id": f"org.couchdb.user:{name}", "name": name, "password": "not this one"}
        answers.append(private.http.put(f"/npm/-/user/org.couchdb.user:{name}", json=body))
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].content == answers[1].content
    assert answers[0].headers["WWW-Authenticate"] == answers[1].headers["WWW-Authenticate"]
    assert "nobody-here" not in private.cli("user", "list")


def test_a_token_that_has_ended_can_be_put_away(private: RunningRegistry, tmp_path: Path) -> None:
    """npm removes it from its file only when the registry agrees."""
    npm = NpmClient("npm", tmp_path / "home", private)
    npm.sign_in(UNKNOWN)
    npm("logout")
    assert UNKNOWN not in npm.npmrc.read_text()
    alices = f"/npm/-/user/token/{private.tokens['alice']}"
    assert private.http.delete(alices).status_code == 401
    assert private.http.delete(alices, headers=private.token("bob")).status_code == 403
    assert private.http.get("/npm/-/whoami", headers=private.token()).status_code == 200


def test_only_what_must_come_before_a_token_is_open(private: RunningRegistry) -> None:
    assert private.http.get("/npm/-/ping").json() == {}
    assert private.http.post("/npm/-/v1/login", json={}).status_code == 404
    assert private.http.get("/cargo/me").status_code == 200
    audit = private.http.post("/npm/-/npm/v1/security/advisories/bulk", json={"hidden": ["1.0.0"]})
    assert audit.status_code == 401
    for page in ("/", "/search?q=hidden", "/packages/npm/hidden"):
        answer = private.http.get(page, headers={"Accept": "text/html"})
        assert "hidden" not in answer.text.replace('type="hidden"', ""), page


def ledger(private: RunningRegistry, home: Path, token: str, **configuration: str) -> Cargo:
    """A cargo that is told how to find a token, as one of a private registry must be."""
    cargo = Cargo(home, private, home.with_name("target"))
    cargo.env["CARGO_REGISTRIES_LEDGER_TOKEN"] = token
    provider = configuration.get("provider", "cargo:token")
    cargo.env["CARGO_REGISTRIES_LEDGER_CREDENTIAL_PROVIDER"] = provider
    return cargo


@pytest.mark.parametrize("form", ["{}", "Bearer {}"])
def test_cargo_asks_once_without_its_token_and_then_always_with_it(
    private: RunningRegistry, tmp_path: Path, form: str
) -> None:
    token = form.format(private.tokens["bob"])
    cargo = ledger(private, tmp_path / "home", token)
    project = consumer(tmp_path / "app", 'hidden = { version = "1", registry = "ledger" }\n')
    with private.tap.listening() as exchanges:
        cargo("fetch", cwd=project)
        assert private.tap.said() == [
            "GET /cargo/index/config.json 401",
            "GET /cargo/index/config.json 200",
            "GET /cargo/index/hi/dd/hidden 200",
            "GET /cargo/crates/hidden/1.0.0/download 200",
        ]
        login = f'Cargo login_url="{private.url}/cargo/me"'
        assert exchanges[0].answer_headers["www-authenticate"] == login
        assert {one.headers.get("authorization") for one in exchanges[1:]} == {token}
    config = private.http.get("/cargo/index/config.json", headers=private.token()).json()
    assert config["auth-required"] is True
    with private.tap.listening() as exchanges:
        cargo("update", cwd=project)
        assert all("authorization" in one.headers for one in exchanges)


def test_cargo_publishes_searches_and_says_that_its_token_is_rejected(
    private: RunningRegistry, tmp_path: Path
) -> None:
    to_ledger = ("--registry", "ledger")
    cargo = ledger(private, tmp_path / "home", private.tokens["alice"])
    folder = library(tmp_path / "lib", f"kept-{len(str(tmp_path))}", "0.1.0")
    cargo("publish", "--allow-dirty", "--no-verify", *to_ledger, cwd=folder)
    assert "kept-" in cargo("search", "kept", *to_ledger, cwd=tmp_path).stdout
    stranger = ledger(private, tmp_path / "other", UNKNOWN)
    project = consumer(tmp_path / "app", 'hidden = { version = "1", registry = "ledger" }\n')
    assert "token rejected for `ledger`" in stranger("fetch", cwd=project, fails=True).text
    stranger("search", "kept", *to_ledger, cwd=tmp_path, fails=True)


def shown_settings(private: RunningRegistry) -> list[str]:
    """The lines to be pasted, as the start page shows them to who has signed in."""
    alice = Visitor(private).sign_in("alice")
    try:
        page = alice.get("/").text
    finally:
        alice.close()
    return [unescape(one) for one in re.findall(r'<pre class="take"[^>]*><code>(.*?)<', page, re.S)]


def test_cargo_gets_in_with_what_the_page_says_and_login_names_the_page(
    private: RunningRegistry, tmp_path: Path
) -> None:
    """In a private registry cargo learns the page's URL from the refusal."""
    (settings,) = [one for one in shown_settings(private) if "[registries." in one]
    cargo = Cargo(tmp_path / "home", private, tmp_path / "target")
    (cargo.home / "config.toml").write_text(settings)
    to_it = ["--registry", "packledger"]
    answers = [("paste the token", private.tokens["bob"])]
    said = converse(["cargo", "login", *to_it], answers, cwd=tmp_path, env=cargo.env)
    assert said.code == 0, said.text
    assert f"{private.url}/cargo/me" in said.text
    project = consumer(tmp_path / "app", 'hidden = { version = "1", registry = "packledger" }\n')
    cargo("fetch", cwd=project)


@pytest.mark.parametrize("command", ALL)
def test_each_client_publishes_and_installs_with_a_token_and_not_without(
    private: RunningRegistry, tmp_path: Path, command: str
) -> None:
    """The yarns send it with unscoped names only if told so: `always-auth`."""
    client = NpmClient(command, tmp_path / "in", private, "alice", always_auth=True)
    nobody = NpmClient(command, tmp_path / "out", private, always_auth=True)
    project = app(tmp_path / "app")
    said = install(nobody, project, fails=True).text
    assert any(word in said for word in ("401", "needs a token", "auth")), said
    assert not list((project / "node_modules").glob("*/package.json"))
    install(client, project)
    for name in ("hidden", "@acme/hidden"):
        assert (project / "node_modules" / name / "index.js").exists()
    for name in (f"in-{command}", f"@acme/in-{command}"):
        folder = npm_project(tmp_path / name, {"name": name, "version": "1.0.0", "license": "MIT"})
        publish(nobody, folder, fails=True)
        publish(client, folder)
        answer = private.http.get(f"/npm/{name.replace('/', '%2f')}", headers=private.token("bob"))
        assert answer.status_code == 200
    if command != "yarn1":
        assert "alice" in whoami(client).text


def test_a_read_only_token_installs_and_does_not_publish(
    private: RunningRegistry, tmp_path: Path
) -> None:
    secret = private.cli("token", "create", "--user", "bob", "--read-only").strip()
    client = NpmClient("npm", tmp_path / "home", private)
    client.sign_in(secret)
    install(client, app(tmp_path / "app"))
    folder = npm_project(tmp_path / "p", {"name": "reader", "version": "1.0.0"})
    said = publish(client, folder, fails=True).text
    assert "E403" in said
    assert "may only read" in said
    cargo = ledger(private, tmp_path / "cargo", secret)
    project = consumer(tmp_path / "crate", 'hidden = { version = "1", registry = "ledger" }\n')
    cargo("fetch", cwd=project)


def test_a_token_reaches_no_log_no_event_no_read_model_no_later_answer_and_no_error(
    private: RunningRegistry,
) -> None:
    """Misplaced in every way that people find; ten letters of one count as a leak."""
    http, headers = private.http, private.token()
    made = http.post(
        "/npm/-/npm/v1/tokens", json={"password": "password of alice", "name": "x"}, headers=headers
    )
    secret = made.json()["token"]
    login = {"_id": "org.couchdb.user:bob", "name": "bob", "password": "password of bob"}
    session = http.put("/npm/-/user/org.couchdb.user:bob", json=login).json()["token"]
    assert SECRET.match(session.encode())
    basic = [f"{secret}:{secret}", f"alice:{secret}", f"{secret}:"]
    misplaced = [
        {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"} for pair in basic
    ] + [{"Authorization": f"Digest {secret}"}, {"Authorization": f"Bearer {secret}{secret}"}]
    owners = {"maintainers": [{"name": secret, "email": ""}]}
    user = {"_id": f"org.couchdb.user:{secret}", "name": secret, "password": secret}
    answers = [
        http.get("/npm/-/npm/v1/tokens", headers=headers),
        *(http.get("/npm/-/whoami", headers=wrong) for wrong in misplaced),
        *(http.get("/cargo/index/config.json", headers=wrong) for wrong in misplaced),
        http.get(f"/npm/hidden?token={secret}", headers={"X-Token": secret}),
        http.get(f"/npm/{secret}", headers=headers),
        http.get(f"/npm/hidden/{secret}", headers=headers),
        http.get(f"/npm/-/{secret}", headers=headers),
        http.get(f"/npm/-/user/{secret}/stars", headers=headers),
        http.get(f"/cargo/index/pl/k_/{secret}", headers=headers),
        http.get(f"/cargo/api/v1/crates/{secret}/owners", headers=headers),
        http.get(f"/cargo/crates/{secret}/1.0.0/download", headers=headers),
        http.get(f"/{secret}"),
        http.put(f"/npm/{secret}", content=secret, headers=headers),
        http.put(f"/npm/-/package/hidden/dist-tags/{secret}", json=secret, headers=headers),
        http.put("/npm/hidden/-rev/undefined", json=owners, headers=headers),
        http.put(f"/npm/-/user/org.couchdb.user:{secret}", json=user),
        http.put("/cargo/api/v1/crates/new", content=secret, headers=headers),
        http.delete(f"/npm/-/npm/v1/tokens/token/{secret}", headers=headers),
        http.delete(f"/npm/-/npm/v1/tokens/token/{secret}", headers=headers),
        http.delete(f"/npm/-/user/token/{session}", headers={"Authorization": f"Bearer {session}"}),
        http.get("/npm/-/whoami", headers={"Authorization": f"Bearer {secret}"}),
    ]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        shown = str(dict(answer.headers)).encode() + answer.content
        assert not SECRET.search(shown), f"{answer.request.method}: {answer.text}"
    assert answers[-1].status_code == 401

    for command in (["token", "list", "--user", "alice", "--json"], ["history", "--json"]):
        said = private.cli(*command)
        assert "token" in said
        assert not SECRET.search(said.encode()), command
    seen = [answer for asked, answer in private.tap.answers() if MAKERS.match(str(asked))]
    assert any(SECRET.search(answer) for answer in seen), "a leak would be seen"
    assert_nothing_leaked(private)


def test_pages_show_a_token_once_and_hold_none_otherwise(private: RunningRegistry) -> None:
    alice = Visitor(private).sign_in("alice")
    try:
        form = {"label": "by page", "days": "7", "access": "write", "packages": ""}
        page = alice.post("/account/tokens", "/account", **form).text
        (secret,) = WHOLE.findall(page)
        answers = [alice.get(path) for path in ("/account", "/", "/cargo/me", f"/crates/{secret}")]
        alice.http.cookies.clear()
        alice.http.cookies.set("packledger-session", secret + "x")
        answers.append(alice.get("/account"))
        answers.append(alice.post("/login", name=secret, password=secret))
    finally:
        alice.close()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 303, 403]


GARBAGE = {
    "a request line": "GET /npm/{0} {0}\r\n\r\n",
    "another version": "GET / HTTP/9.9\r\nAuthorization: Bearer {0}\r\n\r\n",
    "a header without a colon": "GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {0}\r\n\r\n",
    "a header's name": "GET / HTTP/1.1\r\nHost: x\r\n{0} : x\r\n\r\n",
    "a length": "PUT /npm/x HTTP/1.1\r\nHost: x\r\nContent-Length: {0}\r\n\r\n",
    "an encoding": "PUT /npm/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {0}\r\n\r\n",
    "an id": "GET /npm/x HTTP/1.1\r\nHost: x\r\nX-Request-Id: {0}\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_cannot_be_read_is_not_repeated(private: RunningRegistry, said: str) -> None:
    answer = exchange(private.port, said.format(private.tokens["alice"]).encode())
    assert answer is not None
    assert not SECRET.search(str(answer).encode())
    assert not SECRET.search(private.log.read_bytes())


def test_a_second_home_with_the_token_of_another_sees_the_same(
    private: RunningRegistry, tmp_path: Path
) -> None:
    """A document read with one token is not served from a cache to nobody afterwards."""
    npm = NpmClient("npm", tmp_path / "home", private, "bob")
    install(npm, app(tmp_path / "one"))
    npm.sign_in("")
    shutil.rmtree(tmp_path / "one" / "node_modules")
    install(npm, app(tmp_path / "two"), fails=True)
    answer = httpx.get(f"{private.npm}hidden", headers=private.token("bob"))
    assert answer.headers["Cache-Control"].startswith(("no-cache", "private"))
