"""A token that is not accepted is refused where none is needed, too; a good one stays fast."""

from typing import Any

import pytest

from asked_hits import is_hit
from packledger.server.http.app import build_app
from packledger.server.settings.settings import Settings
from routes import PACKAGE, routes_of
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

OF_CLIENTS = ("/cargo/", "/npm/", "/as-of/", "/log/", "/audit/")
FOR_ANYBODY = {"/npm/-/ping", "/cargo/me"}
UNKNOWN = "plk_" + "x" * 40
HOT = ["/npm/victim", "/cargo/index/vi/ct/victim", "/npm/victim/-/victim-1.0.0.tgz",
       "/cargo/crates/victim/1.0.0/download"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def published(registry: RunningRegistry) -> None:
    put, who = registry.http.put, registry.token()
    body = npm_body({"name": PACKAGE, "version": "1.0.0"})
    put(f"/npm/{PACKAGE}", json=body, headers=who).raise_for_status()
    crate = new_crate(PACKAGE, "1.0.0")
    put("/cargo/api/v1/crates/new", content=crate, headers=who).raise_for_status()


def reads(registry: RunningRegistry) -> list[str]:
    found = {one.path for one in routes_of(registry.data) if one.method == "GET"}
    return sorted(path for path in found if path.startswith(OF_CLIENTS))


def sentence(answer: Any) -> str:
    body = answer.json()
    return str(body["errors"][0]["detail"] if "errors" in body else body["error"])


@pytest.mark.parametrize("given", [f"Bearer {UNKNOWN}", UNKNOWN, "Digest abc", "Bearer x y"])
def test_no_read_takes_a_token_that_is_not_accepted(registry: RunningRegistry, given: str) -> None:
    for path in {*reads(registry), *HOT} - FOR_ANYBODY:
        for _ in range(3):  # whichever worker, cold or warm
            answer = registry.http.get(path, headers={"authorization": given})
            assert answer.status_code == 401, f"{path} {answer.text}"
            assert len(sentence(answer)) > 20
            assert "www-authenticate" in answer.headers


def test_a_token_that_has_ended_is_refused_at_once(registry: RunningRegistry) -> None:
    secret = registry.cli("token", "create", "--user", "alice", "--name", "short").strip()
    headers = {"authorization": f"Bearer {secret}"}
    for path in HOT * 3:
        assert registry.http.get(path, headers=headers).status_code == 200
    (line,) = [
        one
        for one in registry.cli("token", "list", "--user", "alice").splitlines()
        if "short" in one
    ]
    registry.cli("token", "revoke", line.split()[0])
    for path in HOT * 3:
        answer = registry.http.get(path, headers=headers)
        assert answer.status_code == 401
        assert "revoked" in sentence(answer)


def test_who_gives_none_or_a_password_reads_as_before(registry: RunningRegistry) -> None:
    """A password is not looked at where none is needed: that is slow, and counts wrong ones."""
    basic = {"authorization": "Basic bm9ib2R5Ong="}
    for path in HOT + sorted(FOR_ANYBODY):
        for headers in ({}, basic):
            assert registry.http.get(path, headers=headers).status_code == 200, path
    for path in FOR_ANYBODY:
        bad = {"authorization": f"Bearer {UNKNOWN}"}
        assert registry.http.get(path, headers=bad).status_code == 200, path


def test_a_good_token_is_answered_in_the_connection(registry: RunningRegistry) -> None:
    """As fast as without one: nothing of it needs more than memory."""
    app: Any = build_app(Settings(data=str(registry.data), public_url=registry.url))
    target = f"/npm/{PACKAGE}/-/{PACKAGE}-1.0.0.tgz".encode()
    good, bad = registry.tokens["alice"], UNKNOWN
    assert is_hit(app, target)
    for secret in (good.encode(), b"Bearer " + good.encode()):
        assert is_hit(app, target, (b"authorization", secret))
    for secret in (bad.encode(), b"Bearer " + bad.encode(), b"", b"\xff", b"Digest a"):
        assert not is_hit(app, target, (b"authorization", secret))
