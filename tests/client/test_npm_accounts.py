"""Signing in and out with npm and pnpm.

Source: https://github.com/npm/npm-profile
"""

from collections.abc import Callable
from pathlib import Path

import pytest

import npm_verbs as verbs
from npm_client import COMMANDS, NpmClient, npm_project, packument
from processes import Finished
from running_registry import RunningRegistry
from terminal import converse

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
EACH = pytest.mark.parametrize("command", ["npm", "pnpm"])


def login(client: NpmClient, name: str, password: str, *options: str) -> Finished:
    answers = [("(?i)username", name), ("(?i)password", password)]
    answers.append(("(?i)email[^:]*:", f"{name}@example.com"))
    if client.command == "berry":
        words = ["npm", "login"]
    else:
        words = ["login", *options, "--registry", client.registry.npm]
    return converse([*COMMANDS[client.command], *words], answers, cwd=client.home, env=client.env)


def whoami(client: NpmClient) -> str:
    return client("whoami", "--registry", client.registry.npm).stdout.strip()


def test_a_legacy_login_with_a_new_name_registers_and_signs_in_again(
    registry: RunningRegistry, client_as: ClientAs
) -> None:
    first, again, wrong = (client_as("npm", "") for _ in range(3))
    said = login(first, "carol", "a long enough password", "--auth-type=legacy")
    assert said.code == 0, said.text
    assert whoami(first) == "carol"
    assert "_authToken=plk_" in first.npmrc.read_text()

    said = login(again, "carol", "a long enough password", "--auth-type=legacy")
    assert said.code == 0, said.text
    assert whoami(again) == "carol"

    said = login(wrong, "carol", "not this one, though long", "--auth-type=legacy")
    assert said.code == 1
    assert "E401" in said.text
    assert "_authToken" not in wrong.npmrc.read_text()


@EACH
def test_where_web_login_is_off_the_client_asks_for_name_and_password(
    registry: RunningRegistry, client_as: ClientAs, command: str
) -> None:
    client = client_as(command, "")
    registry.tap.clear()
    said = login(client, "alice", "password of alice")
    assert said.code == 0, said.text
    assert "POST /npm/-/v1/login 404" in registry.tap.said()
    assert whoami(client) == "alice"


@pytest.mark.parametrize("command", ["pnpm", "berry"])
def test_a_new_name_registers_and_a_wrong_password_leaves_no_token(
    registry: RunningRegistry, client_as: ClientAs, command: str
) -> None:
    name, password = f"new-with-{command}", "a long enough password"
    first, wrong = client_as(command, ""), client_as(command, "")
    said = login(first, name, password)
    assert said.code == 0, said.text
    assert name in verbs.whoami(first).stdout
    assert login(wrong, name, "not this one, though long").code != 0
    kept = [path for path in wrong.home.rglob("*rc*") if path.is_file()]
    assert not any("plk_" in path.read_text(errors="replace") for path in kept)
    verbs.whoami(wrong, fails=True)


def test_registration_closed_is_said_and_nobody_is_created(
    start_registry: Callable[..., RunningRegistry], tmp_path: Path
) -> None:
    registry = start_registry(registration="closed")
    said = login(NpmClient("npm", tmp_path / "home", registry), "mallory", "x" * 20)
    assert said.code == 1
    assert "403" in said.text
    assert "mallory" not in registry.cli("user", "list")


@EACH
def test_after_logout_the_token_is_dead(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    token = registry.cli("token", "create", "--user", "alice").strip()
    client = client_as(command, "alice")
    client.npmrc.write_text(client.npmrc.read_text().replace(registry.tokens["alice"], token))
    kept = client.npmrc.read_text()
    assert whoami(client) == "alice"
    said = client("logout", "--registry", registry.npm).text
    if command == "npm":
        assert token not in client.npmrc.read_text()
    else:  # pnpm removes it only from a file of its own, and says so
        assert "revoked on the registry" in said

    client.npmrc.write_text(kept)
    assert "401" in client("whoami", fails=True).text
    folder = npm_project(tmp_path / "p", {"name": f"late-{command}", "version": "1.0.0"})
    assert "401" in publish(client, folder, fails=True).text
    assert registry.http.get(f"/npm/late-{command}").status_code == 404
    me = registry.http.get("/npm/-/whoami", headers={"Authorization": f"Bearer {token}"})
    assert me.status_code == 401


def publish(client: NpmClient, folder: Path, *options: str, fails: bool = False) -> Finished:
    unchecked = ["--no-git-checks"] if client.command == "pnpm" else []
    return client("publish", *unchecked, *options, cwd=folder, fails=fails)


def test_two_users_of_one_cache_see_themselves(
    registry: RunningRegistry, client_as: ClientAs
) -> None:
    alice, bob = client_as("npm", "alice"), client_as("npm", "bob")
    shared = f"--cache={alice.home / 'shared'}"
    for _ in range(2):
        assert alice("whoami", shared).stdout.strip() == "alice"
        assert bob("whoami", shared).stdout.strip() == "bob"


@EACH
def test_a_ping_needs_no_credentials(client_as: ClientAs, command: str) -> None:
    client_as(command, "")("ping")


def test_whoami_of_nobody_is_an_error_and_not_an_empty_name(registry: RunningRegistry) -> None:
    assert registry.http.get("/npm/-/whoami").status_code == 401
    answer = registry.http.get("/npm/-/whoami", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    assert answer.json()["error"]


def test_a_version_names_the_account_that_published_it_whatever_the_body_says(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    manifest = {
        "name": "forged-user", "version": "1.0.0",
        "_npmUser": {"name": "mallory", "email": "m@example.com"},
        "maintainers": [{"name": "mallory", "email": "m@example.com"}],
    }  # fmt: skip
    publish(client_as("npm", "alice"), npm_project(tmp_path / "p", manifest))
    document = packument(registry, "forged-user")
    assert document["versions"]["1.0.0"]["_npmUser"]["name"] == "alice"
    assert [one["name"] for one in document["maintainers"]] == ["alice"]
    assert "mallory" not in str(document["versions"]["1.0.0"]["maintainers"])
