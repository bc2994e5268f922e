"""yarn 1, yarn berry and bun do what npm and pnpm do, in their own words.

Source: https://classic.yarnpkg.com/en/docs/cli/, https://yarnpkg.com/cli,
https://bun.com/docs/pm/cli/install
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from npm_client import COMMANDS, NpmClient, npm_project, packument, published
from npm_verbs import ALL, LOCKS, install, install_locked, publish, tag, whoami
from running_registry import RunningRegistry
from terminal import converse
from uploads import dist

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
EACH = pytest.mark.parametrize("command", ["yarn1", "berry", "bun"])
TAGGING = pytest.mark.parametrize("command", ["yarn1", "berry"])


def package(folder: Path, name: str, version: str = "1.0.0") -> Path:
    return npm_project(folder, {"name": name, "version": version, "license": "MIT"})


def app(folder: Path, **needs: str) -> Path:
    manifest = {"name": "app", "version": "1.0.0", "license": "MIT", "dependencies": needs}
    return npm_project(folder, manifest)


def installed(folder: Path) -> set[tuple[str, str]]:
    """Name and version of every package in node_modules, wherever the client put it."""
    found = set()
    for path in (folder / "node_modules").rglob("package.json"):
        manifest = json.loads(path.read_text())
        found.add((manifest["name"], manifest["version"]))
    return found


@EACH
@pytest.mark.parametrize("scope", ["", "@acme/"])
def test_what_is_published_is_served_and_installed_and_never_replaced(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str, scope: str
) -> None:
    base = f"sent-{command}"
    name = f"{scope}{base}"
    alice = client_as(command, "alice")
    folder = package(tmp_path / "p", name)
    publish(alice, folder)
    before = packument(registry, name)
    of = before["versions"]["1.0.0"]["dist"]
    assert of["tarball"] == f"{registry.npm}{name}/-/{base}-1.0.0.tgz"
    for spelled in (name, quote(name, safe="@"), quote(name, safe="@").replace("F", "f")):
        served = registry.http.get(f"/npm/{spelled}/-/{base}-1.0.0.tgz").content
        assert dist(served, of["tarball"]).items() <= of.items()

    project = app(tmp_path / "app", **{name: "*"})
    install(client_as(command, ""), project)
    assert installed(project) == {(name, "1.0.0")}
    assert (project / "node_modules" / name / "index.js").read_text() == "exports.it = 1\n"

    (folder / "index.js").write_text("exports.it = 2\n")
    said = publish(alice, folder, fails=True).text
    assert f"`{name}@1.0.0` already exists" in said
    assert packument(registry, name) == before


@EACH
def test_a_tag_leaves_latest_alone_but_the_first_version_is_latest_too(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    client, name = client_as(command, "alice"), f"beta-{command}"
    publish(client, package(tmp_path / "p", name, "1.0.0-beta.1"), tag="beta")
    first = {"beta": "1.0.0-beta.1", "latest": "1.0.0-beta.1"}
    assert packument(registry, name)["dist-tags"] == first
    published(registry, name, "1.0.0")
    publish(client, package(tmp_path / "p", name, "1.1.0-beta.1"), tag="beta")
    assert packument(registry, name)["dist-tags"] == {"beta": "1.1.0-beta.1", "latest": "1.0.0"}


@EACH
def test_a_bad_token_and_a_missing_right_are_told_apart(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    name = f"rights-{command}"
    published(registry, name, "1.0.0")
    folder = package(tmp_path / "p", name, "1.0.1")
    client = client_as(command, "bob")
    said = publish(client, folder, fails=True).text
    assert f"`bob` is not an owner of `{name}`" in said
    client.sign_in("plk_" + "x" * 40)
    said = publish(client, folder, fails=True).text
    assert any(words in said for words in ("token is not valid", "Invalid auth", "authenticate"))
    assert set(packument(registry, name)["versions"]) == {"1.0.0"}


def test_the_same_tree_is_installed_by_all_and_again_from_each_lock_file(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    published(registry, "tree-leaf", "1.0.0")
    published(registry, "tree-leaf", "1.2.0")
    published(registry, "tree-leaf", "2.0.0")
    published(registry, "@acme/tree-mid", "1.0.0", dependencies={"tree-leaf": "^1.0.0"})
    needs = {"@acme/tree-mid": "^1", "tree-leaf": "2.x"}
    expected = {("@acme/tree-mid", "1.0.0"), ("tree-leaf", "1.2.0"), ("tree-leaf", "2.0.0")}
    for command in ALL:
        first, again = app(tmp_path / command, **needs), app(tmp_path / f"{command}-ci", **needs)
        install(client_as(command, ""), first)
        assert installed(first) == expected, command
        (again / LOCKS[command]).write_text((first / LOCKS[command]).read_text())
        registry.tap.clear()
        install_locked(client_as(command, ""), again)
        assert installed(again) == expected, command
        # The conventional URL of a tarball needs no place in the lock file.
        assert (again / LOCKS[command]).read_text() == (first / LOCKS[command]).read_text()
        assert "__archiveUrl" not in (again / LOCKS[command]).read_text()
        tarballs = Counter(one.path for one in registry.tap.exchanges if ".tgz" in one.path)
        assert set(tarballs.values()) == {1}, command


@EACH
def test_what_is_missing_or_was_unpublished_fails_cleanly(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    published(registry, f"ended-{command}", "1.0.0")
    document = packument(registry, f"ended-{command}")
    url = f"/npm/ended-{command}/-rev/{document['_rev']}"
    assert registry.http.delete(url, headers=registry.token()).status_code == 200
    for name in (f"ended-{command}", f"never-{command}"):
        project = app(tmp_path / name, **{name: "*"})
        said = install(client_as(command, ""), project, fails=True).text
        assert name in said
        assert not any(word in said for word in ("Internal Error", "panic", "TypeError")), said
        assert not (project / "node_modules" / name).exists()


@TAGGING
@pytest.mark.parametrize("scope", ["", "@acme/"])
def test_tags_are_set_listed_and_removed_and_latest_stays(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str, scope: str
) -> None:
    name = f"{scope}tags-{command}"
    published(registry, name, "1.0.0")
    published(registry, name, "1.1.0")
    client, folder = client_as(command, "alice"), app(tmp_path / "app")
    tag(client, "add", f"{name}@1.0.0", "stable", cwd=folder)
    shown = tag(client, "list", name, cwd=folder).text.replace(" → ", ": ")
    assert "latest: 1.1.0" in shown
    assert "stable: 1.0.0" in shown
    said = tag(client, "add", f"{name}@9.9.9", "ghost", cwd=folder, fails=True).text
    assert "has no version `9.9.9`" in said
    tag(client, "remove", name, "latest", cwd=folder, fails=True)
    tag(client, "remove", name, "stable", cwd=folder)
    assert packument(registry, name)["dist-tags"] == {"latest": "1.1.0"}


def test_a_deprecation_is_shown_by_those_who_show_any(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    published(registry, "tired", "1.0.0")
    document = packument(registry, "tired")
    document["versions"]["1.0.0"]["deprecated"] = "use something else"
    answer = registry.http.put("/npm/tired", json=document, headers=registry.token())
    assert answer.status_code == 201, answer.text
    for command in ("yarn1", "bun"):
        said = install(client_as(command, ""), app(tmp_path / command, tired="*")).text
        assert "tired@1.0.0: use something else" in said, command
    berry, project = client_as("berry", ""), app(tmp_path / "berry", tired="*")
    install(berry, project)
    assert "use something else" in berry("npm", "audit", cwd=project, fails=True).text


def test_a_tag_is_looked_up_and_a_publish_that_tolerates_a_repetition_sends_nothing(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    published(registry, "seen", "1.0.0")
    published(registry, "seen", "2.0.0-rc.1", tag="next")
    folder = package(tmp_path / "p", "seen")
    asked = {
        "yarn1": ["info", "seen@1.0.0", "dist.tarball"],
        "berry": ["npm", "info", "seen@next", "--fields", "version"],
        "bun": ["info", "seen@next", "version"],
    }
    shown = {"yarn1": "seen-1.0.0.tgz", "berry": "2.0.0-rc.1", "bun": "2.0.0-rc.1"}
    for command, words in asked.items():
        assert shown[command] in client_as(command, "")(*words, cwd=folder).stdout, command
    for command in ("berry", "bun"):
        registry.tap.clear()
        said = publish(client_as(command, "alice"), folder, "--tolerate-republish").text
        assert "skipping" in said
        assert [one.method for one in registry.tap.exchanges] == ["GET"]


def test_the_token_says_who_asks(registry: RunningRegistry, client_as: ClientAs) -> None:
    for command in ("berry", "bun"):
        for user in ("alice", "bob"):
            assert user in whoami(client_as(command, user)).stdout
        stranger = client_as(command, "alice")
        stranger.sign_in("plk_" + "x" * 40)
        whoami(stranger, fails=True)


def test_berry_signs_in_with_a_password_and_not_with_a_wrong_one(
    registry: RunningRegistry, client_as: ClientAs
) -> None:
    def login(client: NpmClient, password: str) -> int:
        answers = [("(?i)username", "alice"), ("(?i)password", password)]
        words = [*COMMANDS["berry"], "npm", "login"]
        return converse(words, answers, cwd=client.home, env=client.env).code

    right, wrong = client_as("berry", ""), client_as("berry", "")
    assert login(right, "password of alice") == 0
    assert "alice" in whoami(right).stdout
    assert login(wrong, "not this one, though long") == 1
    assert not (wrong.home / ".yarnrc.yml").exists()


def test_yarn_1_publishes_with_a_password_and_ends_the_token_that_it_got(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    client = client_as("yarn1", "")
    (client.home / ".yarnrc").write_text('username alice\nemail "alice@example.com"\n')
    client.env.pop("CI")  # it would not ask
    folder = package(tmp_path / "p", "by-password")
    registry.tap.clear()
    words = [*COMMANDS["yarn1"], "publish", "--new-version", "1.0.0"]
    answers = [("(?i)password", "password of alice")]
    said = converse(words, answers, cwd=folder, env=client.env)
    assert said.code == 0, said.text
    (removal,) = [one for one in registry.tap.exchanges if one.method == "DELETE"]
    assert removal.status == 200
    token = removal.path.rpartition("/")[2]
    me = httpx.get(f"{registry.npm}-/whoami", headers={"Authorization": f"Bearer {token}"})
    assert me.status_code == 401
    assert packument(registry, "by-password")["versions"]["1.0.0"]["_npmUser"]["name"] == "alice"


@pytest.mark.parametrize("command", ALL)
def test_a_damaged_tarball_is_refused_by_all_that_compare_digests(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    """The flipped bit changes nothing that is unpacked, so only the digest can tell.

    Berry compares a download with nothing but its own lock file: the registry must not err first.
    """
    name = f"damaged-{command}"
    published(registry, name, "1.0.0")
    client, project = client_as(command, ""), app(tmp_path / "app", **{name: "*"})
    # npm and pnpm wait a minute between the attempts that they make by default.
    client.npmrc.write_text(client.npmrc.read_text() + "fetch-retries=0\n")
    (project / "pnpm-workspace.yaml").write_text("minimumReleaseAge: 0\nfetchRetries: 0\n")
    registry.tap.damaged = f"{name}-1.0.0.tgz"
    try:
        said = install(client, project, fails=command != "berry").text
    finally:
        registry.tap.damaged = ""
    if command != "berry":
        assert "integrity" in said.lower(), said
        assert not (project / "node_modules" / name / "index.js").exists()
