"""Tokens that users make for themselves, with npm and pnpm, and what each may do.

Source: https://github.com/npm/cli (`lib/commands/token.js`)
"""

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cargo_client import put_crate
from npm_client import NpmClient, packument, published
from packledger.commands import tokens
from packledger.commands.tokens import TokenWish
from packledger.domain.accounts.permissions import OPERATOR, Identity
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
SECRET = re.compile(r"plk_[A-Za-z0-9]{40}")
FINE = {200, 201}


@pytest.fixture
def npm(registry: RunningRegistry, client_as: ClientAs) -> NpmClient:
    """Alice's npm, after `npm login`."""
    client = client_as("npm", "alice")
    client.sign_in(registry.log_in("alice"))
    return client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def put(registry: RunningRegistry, secret: str, name: str, version: str = "1.0.0") -> Any:
    """The answer to a raw publish."""
    body = npm_body({"name": name, "version": version})
    return registry.http.put(f"/npm/{name.replace('/', '%2f')}", json=body, headers=bearer(secret))


def whoami(registry: RunningRegistry, secret: str) -> int:
    return registry.http.get("/npm/-/whoami", headers=bearer(secret)).status_code


def created(registry: RunningRegistry, *options: str) -> str:
    return registry.cli("token", "create", "--user", "alice", *options).strip()


def test_npm_creates_lists_and_revokes_a_token_by_the_start_of_its_id(
    registry: RunningRegistry, npm: NpmClient
) -> None:
    password = ["--password", "password of alice"]
    wish = ["--name", "for-ci", "--expires", "1", "--packages", "tokened"]
    said = npm("token", "create", *wish, *password).text
    (secret,) = SECRET.findall(said)
    assert whoami(registry, secret) == 200
    assert put(registry, secret, "tokened").status_code in FINE
    other = put(registry, secret, "not-tokened")
    assert other.status_code == 403
    assert "not for the package `not-tokened`" in other.json()["error"]

    shown = npm("token", "list").stdout
    assert not SECRET.search(shown)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    (line,) = [one for one in shown.splitlines() if "for-ci" in one]
    assert today in line
    match = re.search(r"with id (\w{6})", line)
    assert match is not None
    npm("token", "revoke", match[1])
    assert "for-ci" not in npm("token", "list").stdout
    assert whoami(registry, secret) == 401
    assert put(registry, secret, "tokened", "2.0.0").status_code == 401


def test_a_token_needs_the_password_and_limits_that_can_be_kept(
    registry: RunningRegistry, npm: NpmClient
) -> None:
    before = npm("token", "list").stdout
    said = npm("token", "create", "--password", "not this one, though long", fails=True).text
    assert "password" in said
    password = ["--password", "password of alice"]
    for limit in (["--orgs", "acme"],
                  ["--packages-and-scopes-permission", "no-access"]):  # fmt: skip
        said = npm("token", "create", *limit, *password, fails=True).text
        assert "this registry" in said or "not known here" in said, said
    assert npm("token", "list").stdout == before


def test_a_token_for_a_scope_is_for_that_scope(registry: RunningRegistry, npm: NpmClient) -> None:
    said = npm("token", "create", "--scopes", "@mine", "--password", "password of alice").text
    (secret,) = SECRET.findall(said)
    assert put(registry, secret, "@mine/thing").status_code in FINE
    for name in ("@mine-too/thing", "@other/thing", "mine"):
        assert put(registry, secret, name).status_code == 403, name
    crate = put_crate(registry, new_crate("mine", "1.0.0"), Authorization=f"Bearer {secret}")
    assert crate.status_code == 403


@pytest.mark.parametrize(
    ("packages", "status"),
    [(50 * ["one"], 200), (51 * ["one"], 400), (["o" * 252], 200), (["o" * 253], 400)],
)
def test_the_packages_of_a_token_are_bounded_however_it_is_made(
    registry: RunningRegistry, packages: list[str], status: int
) -> None:
    """Every change that a token makes looks at all of them. npm's have `npm:` before the name."""
    wish = {"password": "password of alice", "packages": packages}
    answer = registry.http.post("/npm/-/npm/v1/tokens", json=wish, headers=registry.token())
    assert answer.status_code == status, answer.text
    options = [part for one in packages for part in ("--package", f"npm:{one}")]
    refused = status != 200
    said = registry.cli("token", "create", "--user", "alice", *options, fails=refused)
    assert ("is limited to" in said) == refused


def test_no_token_is_listed_as_two(registry: RunningRegistry) -> None:
    """Whoever makes one names it and its packages."""
    registry.add_user("lena")
    forged = "\n0123456789ab  of-the-operator"
    wish = {"password": "password of lena", "name": forged, "packages": [forged]}
    answer = registry.http.post(
        "/npm/-/npm/v1/tokens", json=wish, headers=bearer(registry.log_in("lena"))
    )
    ids = [row.split()[0] for row in registry.cli("token", "list", "--user", "lena").splitlines()]
    assert answer.raise_for_status().json()["key"] in ids
    assert len(ids) == 3, "of the account, of the login, and the one with the name"
    assert "0123456789ab" not in ids


def test_pnpm_lists_tokens_and_comes_to_an_end(
    registry: RunningRegistry, client_as: ClientAs
) -> None:
    pnpm = client_as("pnpm", "bob")
    pnpm.sign_in(registry.log_in("bob"))
    registry.tap.clear()
    shown = pnpm("token", "list").stdout
    assert "with id" in shown
    assert not SECRET.search(shown)
    assert registry.tap.said() == ["GET /npm/-/npm/v1/tokens 200"]


def test_a_read_only_token_reads_and_changes_nothing(registry: RunningRegistry) -> None:
    published(registry, "only-read", "1.0.0")
    secret = created(registry, "--read-only")
    headers = bearer(secret)
    http = registry.http
    assert whoami(registry, secret) == 200
    assert http.get("/npm/only-read", headers=headers).status_code == 200
    rev = packument(registry, "only-read")["_rev"]
    tag = "/npm/-/package/only-read/dist-tags/next"
    version = "/cargo/api/v1/crates/read-crate/1.0.0"
    assert put_crate(registry, new_crate("read-crate", "1.0.0")).status_code == 200
    answers = [
        put(registry, secret, "only-read", "1.1.0"),
        put(registry, secret, "only-new"),
        http.put(tag, json="1.0.0", headers=headers),
        http.delete(f"/npm/only-read/-rev/{rev}", headers=headers),
        http.put("/npm/-/user/v1/star", json={"package": "only-read"}, headers=headers),
        put_crate(registry, new_crate("read-crate", "2.0.0"), Authorization=f"Bearer {secret}"),
        http.delete(f"{version}/yank", headers=headers),
        http.put(
            "/cargo/api/v1/crates/read-crate/owners", json={"users": ["bob"]}, headers=headers
        ),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert all("may only read" in answer.text for answer in answers)
    assert packument(registry, "only-read")["_rev"] == rev


def test_a_scope_allows_its_own_kind_of_change_and_no_other(registry: RunningRegistry) -> None:
    published(registry, "by-scope", "1.0.0")
    update, new = (
        created(registry, "--scope", "publish-update"),
        created(registry, "--scope", "publish-new"),
    )
    assert put(registry, update, "by-scope", "1.1.0").status_code in FINE
    assert put(registry, new, "by-scope-new").status_code in FINE
    for secret, name, lacks in [
        (update, "by-scope-other", "publish-new"), (new, "by-scope", "publish-update"),
    ]:  # fmt: skip
        answer = put(registry, secret, name, "1.2.0")
        assert answer.status_code == 403
        assert f"lacks the scope `{lacks}`" in answer.json()["error"]
    tag = "/npm/-/package/by-scope/dist-tags/next"
    assert registry.http.put(tag, json="1.0.0", headers=bearer(new)).status_code == 403


def test_a_token_for_crates_is_not_for_npm_packages_of_the_same_name(
    registry: RunningRegistry,
) -> None:
    secret = created(registry, "--package", "cargo:twin-*")
    crate = put_crate(registry, new_crate("twin-a", "1.0.0"), Authorization=f"Bearer {secret}")
    assert crate.status_code == 200, crate.text
    assert put(registry, secret, "twin-a").status_code == 403
    other = put_crate(registry, new_crate("other-a", "1.0.0"), Authorization=f"Bearer {secret}")
    assert other.status_code == 403


def test_an_expired_token_is_refused_for_reading_and_writing(registry: RunningRegistry) -> None:
    """Issued on the data directory two days ago, for one day."""
    settings = Settings(data=str(registry.data), public_url=registry.url)
    opened = wiring.open_registry(settings, create=False)
    try:
        then = datetime.now(UTC) - timedelta(days=2)
        earlier = dataclasses.replace(opened, now=lambda: then)
        caller = earlier.caller(Identity("alice")).proving(OPERATOR)
        expired, valid = (
            tokens.issue_token(earlier, caller, "alice", TokenWish(expires_days=days))[0]
            for days in (1, 3)
        )
    finally:
        wiring.close_registry(opened)
    assert whoami(registry, valid) == 200
    answer = registry.http.get("/npm/-/whoami", headers=bearer(expired))
    assert answer.status_code == 401
    assert "expired on" in answer.json()["error"]
    assert put(registry, expired, "too-late").status_code == 401
    crate = put_crate(registry, new_crate("too-late", "1.0.0"), Authorization=expired)
    assert crate.status_code in {401, 403}
    assert "expired on" in crate.text


def test_a_token_ends_with_its_account_or_by_the_operators_word(registry: RunningRegistry) -> None:
    disabled, revoked = registry.add_user("dora"), registry.add_user("emil")
    for secret in (disabled, revoked):
        assert whoami(registry, secret) == 200
    registry.cli("user", "disable", "dora")
    (listed,) = registry.cli("token", "list", "--user", "emil").splitlines()
    registry.cli("token", "revoke", listed.split()[0])
    for secret in (disabled, revoked):
        assert whoami(registry, secret) == 401
        assert put(registry, secret, "after-the-end").status_code == 401
    login = {"_id": "org.couchdb.user:dora", "name": "dora", "password": "password of dora"}
    answer = registry.http.put("/npm/-/user/org.couchdb.user:dora", json=login)
    assert answer.status_code == 401
    assert "disabled" in answer.json()["error"]
