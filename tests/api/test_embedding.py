"""The example of docs/EMBEDDING.md, run as it stands there."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from packledger.api.access.providers import Credential, Kind
from packledger.domain.accounts.actions import Action, Package
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.caller import Caller
from running_registry import RunningRegistry
from sealed_registry import BLOCKS
from uploads import new_crate, npm_body

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "embedded_registry.py"
ANNA, BEN = ({"Authorization": f"Bearer token-of-{name}"} for name in ("anna", "ben"))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(
        tmp_path_factory.mktemp("embedded"), command=(sys.executable, str(EXAMPLE))
    )
    running.start()
    running.add_user("carl")
    yield running
    running.close()


def publish_npm(registry: RunningRegistry, name: str, who: dict[str, str]) -> int:
    body = npm_body({"name": name, "version": "1.0.0"})
    path = "/npm/" + name.replace("/", "%2f")
    return registry.http.put(path, json=body, headers=who).status_code


def publish_crate(registry: RunningRegistry, name: str, who: dict[str, str]) -> int:
    body = new_crate(name, "1.0.0")
    return registry.http.put("/cargo/api/v1/crates/new", content=body, headers=who).status_code


def test_the_programs_token_is_an_identity(embedded: RunningRegistry) -> None:
    said = embedded.http.get("/npm/-/whoami", headers=ANNA)
    assert said.json() == {"username": "anna"}


def test_the_registrys_own_tokens_go_on_working(embedded: RunningRegistry) -> None:
    said = embedded.http.get("/npm/-/whoami", headers=embedded.token("carl"))
    assert said.json() == {"username": "carl"}
    unknown = {"Authorization": "Bearer token-of-nobody"}
    assert embedded.http.get("/npm/-/whoami", headers=unknown).status_code == 401


def test_a_read_only_identity_publishes_nothing(embedded: RunningRegistry) -> None:
    assert publish_crate(embedded, "from-ben", BEN) == 403
    assert publish_npm(embedded, "from-ben", BEN) == 403


def test_publishing_is_asked_of_the_hook(embedded: RunningRegistry) -> None:
    assert publish_npm(embedded, "@platform/by-carl", embedded.token("carl")) == 403
    assert publish_npm(embedded, "@platform/by-anna", ANNA) == 201


def test_unpublishing_and_yanking_are_asked_of_the_hook(embedded: RunningRegistry) -> None:
    assert publish_npm(embedded, "kept", ANNA) == 201
    rev = embedded.http.get("/npm/kept").json()["_rev"]
    assert embedded.http.delete(f"/npm/kept/-rev/{rev}", headers=ANNA).status_code == 403
    assert publish_crate(embedded, "kept", ANNA) == 200
    yank = "/cargo/api/v1/crates/kept/1.0.0/yank"
    assert embedded.http.delete(yank, headers=ANNA).status_code == 403


def test_what_a_caller_may_not_see_does_not_exist_for_him(embedded: RunningRegistry) -> None:
    assert publish_npm(embedded, "secret-npm", ANNA) == 201
    assert publish_crate(embedded, "secret-crate", ANNA) == 200
    index, search = "/cargo/index/se/cr/secret-crate", "/npm/-/v1/search?text=secret"
    tarball_url = "/npm/secret-npm/-/secret-npm-1.0.0.tgz"
    download = "/cargo/crates/secret-crate/1.0.0/download"
    for path in (index, download, "/npm/secret-npm", "/npm/secret-npm/1.0.0", tarball_url):
        assert embedded.http.get(path, headers=ANNA).status_code == 200, path
        assert embedded.http.get(path).status_code in {401, 404}, path
    assert embedded.http.get(index).status_code == 404
    assert embedded.http.get(search).json()["total"] == 0
    assert embedded.http.get(search, headers=ANNA).json()["total"] == 1


def test_no_other_spelling_shows_what_a_caller_may_not_see(embedded: RunningRegistry) -> None:
    assert publish_npm(embedded, "secret-spelt", ANNA) == 201
    assert publish_crate(embedded, "secret-spelt-too", ANNA) == 200
    assert publish_crate(embedded, "Secret-capital", ANNA) == 200
    position = embedded.http.get("/health").json()["position"]
    capital = "cargo/index/se/cr/secret-capital"
    for path in (f"/{capital}", f"/as-of/{position}/{capital}"):
        answer = embedded.http.get(path, headers=BEN)
        assert answer.status_code == 200, "its own name, which the rule is about, is another"
    for path in (
        "/cargo/crates/SECRET-spelt-too/1.0.0/download",
        "/audit/cargo/secret-spelt-too",
        "/audit/cargo/SECRET_spelt_too",
        "/audit/npm/SECRET-spelt",
        "/crates/SECRET-spelt-too",
        f"/as-of/{position}/cargo/crates/SECRET-spelt-too/1.0.0/download",
        f"/as-of/{position}/npm/secret-spelt",
        "/audit/events",
    ):
        answer = embedded.http.get(path, headers=BEN)
        assert answer.status_code in {403, 404}, path
    assert embedded.http.get("/audit/cargo/secret_spelt_too", headers=ANNA).status_code == 200


def test_stars_name_only_what_the_caller_may_see(embedded: RunningRegistry) -> None:
    assert publish_npm(embedded, "secret-star", ANNA) == 201
    wish = {"package": "secret-star"}
    assert embedded.http.put("/npm/-/user/v1/star", json=wish, headers=ANNA).status_code == 200
    view = '/npm/-/_view/starredByUser?key="anna"'
    seen = embedded.http.get(view, headers=ANNA).json()["rows"]
    assert seen == [{"value": "secret-star"}]
    assert embedded.http.get(view).json()["rows"] == []
    assert embedded.http.get("/npm/-/user/v1/star", headers=ANNA).json() == ["secret-star"]


def shown(where: str, name: str) -> Any:
    """The class that a block of the document defines."""
    defined: dict[str, Any] = {}
    exec(BLOCKS[where].text, defined)
    return defined[name]()


def test_the_documents_policy_says_what_it_is_asked() -> None:
    policy = shown("docs/EMBEDDING.md: policy", "Weekdays")
    assert policy.actions <= set(Action)

    async def is_frozen(ecosystem: str, name: str) -> bool:
        return name == "frozen"

    policy.calendar = SimpleNamespace(is_frozen=is_frozen)
    caller = Caller(None, Actor("2026-12-01T00:00:00.000Z", ""))
    for name in ("frozen", "free"):
        asked = policy.decide(caller, Action.PUBLISH_NEW, Package("npm", name))
        verdict = asyncio.run(asked)
        assert verdict.allowed is (name == "free")
        assert bool(verdict.because) is (name == "frozen")


def test_the_documents_provider_claims_nobody() -> None:
    provider = shown("docs/EMBEDDING.md: provider", "Directory")
    assert provider.kinds <= set(Kind)
    asked = provider.identify(Credential(Kind.TOKEN, "a token"), None)
    assert asyncio.run(asked) is None
