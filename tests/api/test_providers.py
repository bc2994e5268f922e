"""An identity provider beside the registry's own, over HTTP."""

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from policy_server import PolicyServer
from running_registry import RunningRegistry

PROGRAM = Path(__file__).parents[1] / "support" / "asking_registry.py"
Headers = dict[str, str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    server = PolicyServer()
    flags = ("--policy-port", str(server.port), "--waits-s", "0.5")
    running = RunningRegistry(
        tmp_path_factory.mktemp("directory"), command=(sys.executable, str(PROGRAM), *flags)
    )
    running.start()
    running.add_user("alice")
    yield running
    running.close()
    server.close()


def bearer(secret: str) -> Headers:
    return {"authorization": f"Bearer {secret}"}


def basic(name: str, password: str) -> Headers:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.mark.parametrize("credential", [bearer("dir-carl"), basic("dir-carl", "whatever")])
def test_who_is_known_elsewhere_is_let_in(running: RunningRegistry, credential: Headers) -> None:
    said = running.http.get("/npm/-/whoami", headers=credential)
    assert said.json() == {"username": "dir-carl"}


def test_the_registrys_own_credentials_go_on_and_are_told_nobody(
    running: RunningRegistry,
) -> None:
    """The directory fails, and with it the request, when it hears of one of ours."""
    for credential in (running.token("alice"), basic("alice", "password of alice")):
        said = running.http.get("/npm/-/whoami", headers=credential)
        assert said.json() == {"username": "alice"}


@pytest.mark.parametrize(
    ("credential", "status", "sentence"),
    [
        (bearer("dir-refused"), 401, "the directory does not let you in"),
        (basic("dir-refused", "x"), 401, "the directory does not let you in"),
        (bearer("plk_unknown"), 401, "the token is not valid"),
        (basic("alice", "wrong password"), 401, "password"),
        (basic("nobody", "wrong password"), 401, "password"),
        ({"authorization": "Basic ???"}, 401, "not base64"),
        (bearer("dir-broken"), 503, "try again"),
        (bearer("dir-silent"), 503, "try again"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    running: RunningRegistry, credential: Headers, status: int, sentence: str
) -> None:
    npm = running.http.get("/npm/-/whoami", headers=credential)
    cargo = running.http.get("/cargo/api/v1/crates/demo/owners", headers=credential)
    assert npm.status_code == cargo.status_code == status
    assert sentence in npm.json()["error"]
    assert sentence in cargo.json()["errors"][0]["detail"]


def test_no_page_takes_a_directorys_token_for_a_session(running: RunningRegistry) -> None:
    cookie = {"cookie": "packledger-session=dir-carl"}
    answer = running.http.get("/account", headers=cookie)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login"
