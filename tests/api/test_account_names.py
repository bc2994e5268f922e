"""An account is one whatever the case of its name: registered, found, shown as it was written."""

import base64
from itertools import product

import httpx
import pytest

from running_registry import RunningRegistry
from uploads import new_crate, npm_body
from visitor import Visitor

SPELLINGS = ["Grace", "grace", "GRACE", "gRACE"]


@pytest.fixture(scope="module", autouse=True)
def grace(registry: RunningRegistry) -> None:
    registry.add_user("Grace")


def log_in(registry: RunningRegistry, name: str, password: str) -> httpx.Response:
    user = f"org.couchdb.user:{name}"
    login = {"_id": user, "name": name, "password": password}
    return registry.http.put(f"/npm/-/user/{user}", json=login)


def basic(name: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"authorization": f"Basic {encoded}"}


def whoami(registry: RunningRegistry, headers: dict[str, str]) -> str:
    answer = registry.http.get("/npm/-/whoami", headers=headers).raise_for_status()
    return str(answer.json()["username"])


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_finds_the_account_and_shows_it_as_it_was_written(
    registry: RunningRegistry, name: str
) -> None:
    answer = log_in(registry, name, "password of Grace").raise_for_status()
    assert "'Grace'" in answer.json()["ok"]
    assert whoami(registry, {"authorization": f"Bearer {answer.json()['token']}"}) == "Grace"
    assert whoami(registry, basic(name, "password of Grace")) == "Grace"
    user = registry.http.get(f"/npm/-/user/org.couchdb.user:{name}").raise_for_status()
    assert user.json()["name"] == "Grace"
    secret = registry.cli("token", "create", "--user", name, "--name", f"for {name}").strip()
    assert whoami(registry, {"authorization": f"Bearer {secret}"}) == "Grace"
    assert f"for {name}" in registry.cli("token", "list", "--user", "grace")
    assert "session_begun" not in registry.cli("history", f"user:{name}", "--until", "1")
    assert registry.cli("history", f"user:{name}") == registry.cli("history", "user:Grace")
    visitor = Visitor(registry)
    visitor.post("/login", name=name, password="password of Grace")
    assert "<h1>Grace</h1>" in visitor.get("/account").text
    visitor.close()


def test_no_account_has_a_twin(registry: RunningRegistry) -> None:
    for name in SPELLINGS:
        said = registry.cli(
            "user", "add", name, "--password-stdin", stdin="another, long\n", fails=True
        )
        assert "`Grace` is taken" in said
        assert log_in(registry, name, "another, long").status_code == 401
    assert registry.cli("user", "list").lower().count("grace") == 1
    assert log_in(registry, "ALICE", "password of alice").status_code == 201
    assert whoami(registry, basic("Alice", "password of alice")) == "alice", "as it always was"
    # A letter that becomes a k when it is made small is none.
    assert log_in(registry, "\u212aate", "password of Kate").status_code == 400


def test_wrong_passwords_count_for_the_account_however_it_is_spelt(
    registry: RunningRegistry,
) -> None:
    registry.add_user("Ida")
    spellings = ["".join(one) for one in product("iI", "dD", "aA")] * 2
    statuses = [log_in(registry, name, "not this one").status_code for name in spellings]
    assert statuses == [401] * 10 + [429] * 6


def test_owners_are_found_by_any_spelling(registry: RunningRegistry) -> None:
    who, put = registry.token(), registry.http.put
    crate = new_crate("spelt", "1.0.0")
    put("/cargo/api/v1/crates/new", content=crate, headers=who).raise_for_status()
    put("/npm/spelt", json=npm_body({"name": "spelt", "version": "1.0.0"}), headers=who)
    owners = "/cargo/api/v1/crates/spelt/owners"

    def logins() -> list[str]:
        users = registry.http.get(owners, headers=who).json()["users"]
        return [one["login"] for one in users]

    put(owners, json={"users": ["GRACE"]}, headers=who).raise_for_status()
    put(owners, json={"users": ["grace", "Grace"]}, headers=who).raise_for_status()
    assert logins() == ["alice", "Grace"]
    hers = {"authorization": f"Bearer {registry.tokens['Grace']}"}
    next_one = new_crate("spelt", "1.1.0")
    put("/cargo/api/v1/crates/new", content=next_one, headers=hers).raise_for_status()
    gone = {"users": ["gRACE"]}
    registry.http.request("DELETE", owners, json=gone, headers=who).raise_for_status()
    assert logins() == ["alice"]

    def maintainers() -> list[str]:
        return [one["name"] for one in registry.http.get("/npm/spelt").json()["maintainers"]]

    def set_to(*names: str) -> None:
        rev = registry.http.get("/npm/spelt").json()["_rev"]
        body = {"_id": "spelt", "_rev": rev, "maintainers": [{"name": name} for name in names]}
        put(f"/npm/spelt/-rev/{rev}", json=body, headers=who).raise_for_status()

    set_to("ALICE", "GRACE", "grace")
    assert maintainers() == ["alice", "Grace"]
    body = npm_body({"name": "spelt", "version": "1.1.0"})
    put("/npm/spelt", json=body, headers=hers).raise_for_status()
    set_to("Alice")
    assert maintainers() == ["alice"]
    star = {"package": "spelt"}
    put("/npm/-/user/v1/star", json=star, headers=hers).raise_for_status()
    for name in SPELLINGS:
        assert registry.http.get(f"/npm/-/user/{name}/stars").json() == ["spelt"]


def test_an_account_is_administered_by_any_spelling(registry: RunningRegistry) -> None:
    registry.add_user("Hugo")
    token = {"authorization": f"Bearer {registry.tokens['Hugo']}"}
    registry.cli("user", "password", "HUGO", "--password-stdin", stdin="another, long\n")
    assert log_in(registry, "hugo", "another, long").status_code == 201
    assert whoami(registry, token) == "Hugo"
    registry.cli("user", "disable", "hugo")
    assert registry.http.get("/npm/-/whoami", headers=token).status_code == 401
    assert log_in(registry, "Hugo", "another, long").status_code == 401
    registry.cli("user", "enable", "hUGO")
    assert log_in(registry, "Hugo", "another, long").status_code == 201
    assert registry.http.get("/npm/-/whoami", headers=token).status_code == 401, "it has ended"
    assert "Traceback" not in registry.log.read_text()
    assert "faults: none" in registry.cli("verify") or "no fault" in registry.cli("verify")


def test_roles_change_at_once_and_the_last_administrator_stays(registry: RunningRegistry) -> None:
    crate = new_crate("of-alice", "1.0.0")
    put = registry.http.put
    put("/cargo/api/v1/crates/new", content=crate, headers=registry.token()).raise_for_status()
    yank = "/cargo/api/v1/crates/of-alice/1.0.0/yank"

    def may() -> bool:
        return registry.http.delete(yank, headers=registry.token("bob")).status_code == 200

    assert not may()
    assert "BOB is admin now" in registry.cli("user", "role", "BOB", "admin")
    assert "was admin already" in registry.cli("user", "role", "bob", "admin")
    assert may()
    for command in (["role", "bob", "user"], ["disable", "Bob"]):
        said = registry.cli("user", *command, fails=True)
        assert "last administrator" in said
    assert may(), "refused as a whole"
    registry.cli("user", "role", "Grace", "admin")
    registry.cli("user", "role", "bob", "user")
    assert not may()
    registry.cli("user", "disable", "Grace", "--yes")
    registry.cli("user", "enable", "grace")
    registry.cli("user", "role", "Grace", "user", "--yes")
    assert "Invalid value" in registry.cli("user", "role", "bob", "owner", fails=True)
    assert "no account `nobody`" in registry.cli("user", "role", "nobody", "admin", fails=True)
