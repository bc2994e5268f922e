"""Owners with npm and yarn 1, stars with pnpm and as npm sent them until version 11.

Source: https://github.com/npm/cli/blob/v11.0.0/lib/commands/owner.js, star.js, stars.js
"""

from collections.abc import Callable

import pytest

from npm_client import NpmClient, packument, published, put_package
from running_registry import RunningRegistry
from uploads import npm_body

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
NPM_ASKS = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"


def owners(registry: RunningRegistry, name: str) -> list[str]:
    return [one["name"] for one in packument(registry, name)["maintainers"]]


def publish_as(registry: RunningRegistry, user: str, name: str, version: str) -> int:
    return put_package(registry, npm_body({"name": name, "version": version}), user).status_code


@pytest.mark.parametrize("name", ["shared", "@acme/shared"])
def test_npm_adds_lists_and_removes_owners_but_not_the_last(
    registry: RunningRegistry, npm: NpmClient, name: str
) -> None:
    published(registry, name, "1.0.0")
    assert publish_as(registry, "bob", name, "1.1.0") == 403
    npm("owner", "add", "bob", name)
    assert npm("owner", "ls", name).stdout.split() == [
        *("alice", "<alice@noreply.invalid>"),
        *("bob", "<bob@noreply.invalid>"),
    ]
    assert publish_as(registry, "bob", name, "1.1.0") == 201

    npm("owner", "rm", "bob", name)
    assert owners(registry, name) == ["alice"]
    assert publish_as(registry, "bob", name, "1.2.0") == 403

    said = npm("owner", "add", "nobody-here", name, fails=True).text
    assert "E404" in said
    assert "there is no account `nobody-here`" in said
    npm("owner", "rm", "alice", name, fails=True)
    rev = packument(registry, name)["_rev"]
    url = f"/npm/{name.replace('/', '%2f')}/-rev/{rev}"
    nobody = registry.http.put(url, json={"maintainers": []}, headers=registry.token())
    assert nobody.status_code in {400, 403, 409}, "not by hand either"
    assert owners(registry, name) == ["alice"]


@pytest.mark.parametrize("name", ["pnpm-shared", "@acme/pnpm-shared"])
def test_pnpm_adds_lists_and_removes_owners_but_not_the_last(
    registry: RunningRegistry, pnpm: NpmClient, name: str
) -> None:
    """pnpm names the package first."""
    published(registry, name, "1.0.0")
    pnpm("owner", "add", name, "bob")
    listed = pnpm("owner", "ls", name).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["alice", "bob"]
    assert publish_as(registry, "bob", name, "1.1.0") == 201
    escaped = name.replace("/", "%2f")
    asked = registry.http.get(f"/npm/-/package/{escaped}/owners").json()
    assert asked == packument(registry, name)["maintainers"]

    pnpm("owner", "rm", name, "bob")
    assert owners(registry, name) == ["alice"]
    for words in (("add", name, "nobody-here"), ("rm", name, "bob"), ("rm", name, "alice")):
        pnpm("owner", *words, fails=True)
        assert owners(registry, name) == ["alice"]


def test_who_may_change_one_owner(registry: RunningRegistry) -> None:
    published(registry, "one-owner", "1.0.0")
    url, body = "/npm/-/package/one-owner/owners", {"user": "bob"}
    limited = [
        registry.cli("token", "create", "--user", "alice", *options).strip()
        for options in (["--read-only"], ["--package", "npm:other"], ["--scope", "publish-new"])
    ]
    headers = [{"authorization": f"Bearer {token}"} for token in limited]
    for refused, status in [({}, 401), (registry.token("bob"), 403), *((h, 403) for h in headers)]:
        assert registry.http.put(url, json=body, headers=refused).status_code == status
        assert registry.http.delete(f"{url}/alice", headers=refused).status_code == status
    alice = registry.token()
    assert registry.http.put(url, json={"user": 1}, headers=alice).status_code == 400
    assert registry.http.put(url, content=b"", headers=alice).status_code == 400
    assert registry.http.delete(url, headers=alice).status_code == 404
    for path in ("/npm/-/package/no-package/owners", "/npm/-/package/@a/owners"):
        assert registry.http.get(path).status_code in {400, 404}
        assert registry.http.put(path, json=body, headers=alice).status_code in {400, 404}
    assert owners(registry, "one-owner") == ["alice"]
    for _ in range(2):
        assert registry.http.put(url, json=body, headers=alice).status_code == 201
    assert owners(registry, "one-owner") == ["alice", "bob"]
    assert registry.http.delete(f"{url}/bob", headers=alice).status_code == 200


def test_only_owners_change_owners_and_only_to_accounts(registry: RunningRegistry) -> None:
    published(registry, "guarded", "1.0.0")
    for user, wanted, status in [("bob", ["alice", "bob"], 403), ("alice", ["alice", "x"], 404)]:
        url = f"/npm/guarded/-rev/{packument(registry, 'guarded')['_rev']}"
        body = {"_id": "guarded", "maintainers": [{"name": name, "email": ""} for name in wanted]}
        answer = registry.http.put(url, json=body, headers=registry.token(user))
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]
    assert owners(registry, "guarded") == ["alice"]


def test_yarn_1_adds_an_owner_without_having_read_them_and_loses_nobody(
    registry: RunningRegistry, client_as: ClientAs
) -> None:
    """It reads the form without owners and sends only the new one, at the revision `undefined`.

    Scoped names it takes for invalid ones.
    """
    name = "yarns"
    published(registry, name, "1.0.0")
    yarn = client_as("yarn1", "alice")
    registry.tap.clear()
    yarn("owner", "add", "bob", name)
    assert [one for one in registry.tap.said() if "/-rev/undefined 201" in one]
    assert owners(registry, name) == ["alice", "bob"]
    shown = yarn("owner", "list", name).text
    assert "info alice" in shown
    assert "info bob" in shown
    said = yarn("owner", "add", "nobody-here", name, fails=True).text
    assert "there is no account `nobody-here`" in said

    # It cannot remove one: it sends an empty list, whoever is meant.
    said = yarn("owner", "remove", "bob", name, fails=True).text
    assert "use `npm owner rm`" in said
    assert owners(registry, name) == ["alice", "bob"]


def test_owners_at_an_old_revision_are_refused(registry: RunningRegistry) -> None:
    published(registry, "late", "1.0.0")
    stale = packument(registry, "late")["_rev"]
    published(registry, "late", "1.1.0")
    body = {"_id": "late", "_rev": stale, "maintainers": [{"name": "bob", "email": ""}]}
    answer = registry.http.put(f"/npm/late/-rev/{stale}", json=body, headers=registry.token())
    assert answer.status_code == 409
    assert "has changed since" in answer.json()["error"]
    assert owners(registry, "late") == ["alice"]


def test_pnpm_stars_lists_and_takes_back(registry: RunningRegistry, client_as: ClientAs) -> None:
    for name in ("bright", "@acme/bright"):
        published(registry, name, "1.0.0")
    alice, bob = client_as("pnpm", "alice"), client_as("pnpm", "bob")
    assert alice("stars").stdout.split() == []
    for name in ("bright", "@acme/bright"):
        alice("star", name)
        alice("star", name)
        assert packument(registry, name)["users"] == {"alice": True}
    assert alice("stars").stdout.split() == ["@acme/bright", "bright"]
    assert bob("stars", "alice").stdout.split() == ["@acme/bright", "bright"]
    assert bob("stars").stdout.split() == []
    alice("unstar", "bright")
    assert alice("stars").stdout.split() == ["@acme/bright"]
    assert packument(registry, "bright").get("users", {}) == {}
    assert "not found" in alice("stars", "nobody-here", fails=True).text
    alice("star", "never-published", fails=True)
    client_as("pnpm", "")("star", "bright", fails=True)


def test_a_star_as_npm_11_sends_it(registry: RunningRegistry) -> None:
    """npm 12 has no such command any more: GET with `write=true`, PUT, GET a view."""
    published(registry, "npm-starred", "1.0.0")
    headers = {**registry.token("bob"), "Accept": NPM_ASKS}
    for users, starred in [({"bob": True}, ["npm-starred"]), ({}, [])]:
        document = registry.http.get("/npm/npm-starred?write=true", headers=headers).json()
        body = {"_id": document["_id"], "_rev": document["_rev"], "users": users}
        answer = registry.http.put("/npm/npm-starred", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        view = registry.http.get('/npm/-/_view/starredByUser?key="bob"', headers=headers).json()
        assert [row["value"] for row in view["rows"]] == starred
    assert owners(registry, "npm-starred") == ["alice"]


@pytest.mark.parametrize("change", ["deprecation", "star", "version", "package"])
def test_nothing_is_lost_to_a_change_of_what_was_read_before(
    registry: RunningRegistry, change: str
) -> None:
    """Whether the revision is in the path or only in the body, as npm sends deprecations."""
    name, http, headers = f"moved-{change}", registry.http, registry.token()
    published(registry, name, "1.0.0")
    document = packument(registry, name)
    stale = document["_rev"]
    published(registry, name, "1.1.0")
    before = packument(registry, name)
    if change == "deprecation":
        document["versions"]["1.0.0"]["deprecated"] = "old"
        answer = http.put(f"/npm/{name}", json=document, headers=headers)
    elif change == "star":
        body = {"_id": name, "_rev": stale, "users": {"alice": True}}
        answer = http.put(f"/npm/{name}", json=body, headers=headers)
    elif change == "version":
        document["versions"] = {}
        answer = http.put(f"/npm/{name}/-rev/{stale}", json=document, headers=headers)
    else:
        answer = http.delete(f"/npm/{name}/-rev/{stale}", headers=headers)
    assert answer.status_code == 409, answer.text
    assert "read it again" in answer.json()["error"]
    assert packument(registry, name) == before
