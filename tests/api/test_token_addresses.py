"""A token bound to addresses, as `npm token create --cidr` makes it, is refused from elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asked_hits import is_hit
from packledger.server.http.app import build_app
from packledger.server.settings.settings import Settings
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

StartRegistry = Callable[..., RunningRegistry]
TOKENS = "/npm/-/npm/v1/tokens"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """Its proxy is on loopback, so a client's address is what it says."""
    folder: Path = tmp_path_factory.mktemp("proxied")
    running = RunningRegistry(folder, proxies="127.0.0.1")
    running.start()
    running.add_user("alice")
    put, who = running.http.put, running.token()
    body = npm_body({"name": "near", "version": "1.0.0"})
    put("/npm/near", json=body, headers=who).raise_for_status()
    crate = new_crate("near", "1.0.0")
    put("/cargo/api/v1/crates/new", content=crate, headers=who).raise_for_status()
    yield running
    running.close()


def create(registry: RunningRegistry, *cidr: str) -> Any:
    wish = {"password": "password of alice", "name": "near", "cidr_whitelist": [*cidr]}
    headers = {"authorization": f"Bearer {registry.log_in('alice')}"}
    return registry.http.post(TOKENS, json=wish, headers=headers)


INSIDE = ["192.0.2.1", "192.0.2.255", "2001:db8::1", "::ffff:192.0.2.9", "10.0.0.1, 192.0.2.3"]
OUTSIDE = ["192.0.3.1", "2001:db9::1", "::ffff:192.0.3.9", "192.0.2.1, 10.0.0.1", "rubbish", ""]


def test_a_token_is_refused_from_elsewhere_wherever_it_is_used(proxied: RunningRegistry) -> None:
    made = create(proxied, "192.0.2.77/24", "2001:db8::/32").raise_for_status().json()
    assert made["cidr_whitelist"] == ["192.0.2.0/24", "2001:db8::/32"]
    bound = {"authorization": f"Bearer {made['token']}"}
    body = npm_body({"name": "near", "version": "2.0.0"})
    for path in (
        "/npm/-/whoami", "/npm/near", "/cargo/index/ne/ar/near", "/npm/near/-/near-1.0.0.tgz",
        "/cargo/api/v1/crates/near/owners", "/audit/events",
    ):  # fmt: skip
        for _ in range(2):
            for address in INSIDE:
                headers = {**bound, "x-forwarded-for": address}
                answer = proxied.http.get(path, headers=headers)
                assert answer.status_code == 200, (path, address, answer.text)
            for address in OUTSIDE:
                headers = {**bound, "x-forwarded-for": address}
                answer = proxied.http.get(path, headers=headers)
                assert answer.status_code == 403, (path, address)
                assert "may not be used from your address" in answer.text
    far = {**bound, "x-forwarded-for": "192.0.3.1"}
    assert proxied.http.put("/npm/near", json=body, headers=far).status_code == 403
    near = {**bound, "x-forwarded-for": "192.0.2.1"}
    assert proxied.http.put("/npm/near", json=body, headers=near).status_code == 201


def test_nobody_else_may_say_where_a_request_comes_from(start_registry: StartRegistry) -> None:
    registry = start_registry(proxies="203.0.113.9")
    secret = registry.cli("token", "create", "--user", "alice", "--cidr", "192.0.2.0/24").strip()
    headers = {"authorization": f"Bearer {secret}", "x-forwarded-for": "192.0.2.1"}
    assert registry.http.get("/npm/-/whoami", headers=headers).status_code == 403
    at_home = registry.cli("token", "create", "--user", "alice", "--cidr", "127.0.0.1").strip()
    headers["authorization"] = f"Bearer {at_home}"
    assert registry.http.get("/npm/-/whoami", headers=headers).status_code == 200


def test_ranges_are_listed(proxied: RunningRegistry) -> None:
    create(proxied, "198.51.100.0/24").raise_for_status()
    headers = {"authorization": f"Bearer {proxied.log_in('alice')}"}
    listed = proxied.http.get(TOKENS, headers=headers).json()["objects"]
    assert ["198.51.100.0/24"] in [one["cidr_whitelist"] for one in listed]
    assert "from 198.51.100.0/24" in proxied.cli("token", "list", "--user", "alice")


@pytest.mark.parametrize("wrong", ["300.0.0.0/8", "everywhere", "10.0.0.0/99", ""])
def test_a_range_that_is_none_makes_no_token(proxied: RunningRegistry, wrong: str) -> None:
    before = proxied.cli("token", "list", "--user", "alice").count("near")
    answer = create(proxied, "192.0.2.0/24", wrong)
    assert answer.status_code == 400
    assert "no range of addresses" in answer.json()["error"]
    assert proxied.cli("token", "list", "--user", "alice").count("near") == before
    said = proxied.cli("token", "create", "--user", "alice", "--cidr", wrong, fails=True)
    assert "no range of addresses" in said


def test_a_bound_token_is_never_answered_before_its_address_is_known(
    registry: RunningRegistry,
) -> None:
    body = npm_body({"name": "bound", "version": "1.0.0"})
    registry.http.put("/npm/bound", json=body, headers=registry.token()).raise_for_status()
    secret = registry.cli("token", "create", "--user", "alice", "--cidr", "192.0.2.0/24").strip()
    app: Any = build_app(Settings(data=str(registry.data), public_url=registry.url))
    target = b"/npm/bound/-/bound-1.0.0.tgz"
    assert is_hit(app, target)
    assert not is_hit(app, target, (b"authorization", b"Bearer " + secret.encode()))
