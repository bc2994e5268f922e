"""Dist-tags, deprecation and unpublishing by npm and pnpm.

Source: https://github.com/npm/cli/tree/latest/lib/commands
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from npm_client import NpmClient, npm_project, packument, published, put_package
from running_registry import RunningRegistry
from uploads import npm_body

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
StartRegistry = Callable[..., RunningRegistry]
EACH = pytest.mark.parametrize("command", ["npm", "pnpm"])
NPM_ASKS = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"


def app(folder: Path, *needs: str) -> Path:
    dependencies = dict.fromkeys(needs, "*")
    manifest = {"name": "app", "version": "1.0.0", "dependencies": dependencies}
    return npm_project(folder, manifest)


@EACH
@pytest.mark.parametrize("scope", ["", "@acme/"])
def test_tags_are_set_listed_and_removed(
    registry: RunningRegistry, client_as: ClientAs, command: str, scope: str
) -> None:
    name = f"{scope}tags-{command}"
    published(registry, name, "1.0.0")
    published(registry, name, "1.1.0")
    client = client_as(command, "alice")
    client("dist-tag", "add", f"{name}@1.0.0", "stable")
    shown = set(client("dist-tag", "ls", name).stdout.split("\n"))
    assert {"latest: 1.1.0", "stable: 1.0.0"} <= shown
    client("dist-tag", "add", f"{name}@1.1.0", "stable")
    assert packument(registry, name)["dist-tags"]["stable"] == "1.1.0"
    client("dist-tag", "rm", name, "stable")
    assert packument(registry, name)["dist-tags"] == {"latest": "1.1.0"}


@EACH
def test_a_tag_of_no_version_and_the_end_of_latest_are_refused(
    registry: RunningRegistry, client_as: ClientAs, command: str
) -> None:
    name = f"untag-{command}"
    published(registry, name, "1.0.0")
    client, stranger = client_as(command, "alice"), client_as(command, "bob")
    client("dist-tag", "add", f"{name}@9.9.9", "ghost", fails=True)
    client("dist-tag", "rm", name, "latest", fails=True)
    client("dist-tag", "rm", name, "never-set", fails=True)
    stranger("dist-tag", "add", f"{name}@1.0.0", "mine", fails=True)
    url = f"/npm/-/package/{name}/dist-tags/"
    for tag, version, status in [
        ("ghost", "9.9.9", {404}), ("1.x", "1.0.0", {400, 422}), ("v2", "1.0.0", {400, 422}),
    ]:  # fmt: skip
        answer = registry.http.put(url + tag, json=version, headers=registry.token())
        assert answer.status_code in status, answer.text
        assert answer.json()["error"]
    gone = registry.http.delete(url + "latest", headers=registry.token())
    assert gone.status_code in {400, 403}
    assert packument(registry, name)["dist-tags"] == {"latest": "1.0.0"}


@EACH
def test_a_deprecated_range_warns_at_install_until_it_is_undone(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    name = f"tired-{command}"
    for version in ("1.0.0", "1.5.0", "2.0.0"):
        published(registry, name, version)
    client = client_as(command, "alice")
    client("deprecate", f"{name}@1", "use version 2")
    for accept in (NPM_ASKS, "application/json"):
        versions = packument(registry, name, accept)["versions"]
        marks = {version: of.get("deprecated") for version, of in versions.items()}
        assert marks == {"1.0.0": "use version 2", "1.5.0": "use version 2", "2.0.0": None}
    folder = app(tmp_path / "one")
    said = client_as("npm", "")("install", f"{name}@1", cwd=folder).text
    assert f"deprecated {name}@1.5.0: use version 2" in said

    client("undeprecate", f"{name}@1")
    assert "deprecated" not in str(packument(registry, name))
    stranger = client_as(command, "bob")
    stranger("deprecate", f"{name}@2", "not yours", fails=True)
    assert "deprecated" not in str(packument(registry, name))


def test_an_unpublished_version_is_gone_from_both_forms_and_never_comes_back(
    registry: RunningRegistry, npm: NpmClient, client_as: ClientAs, tmp_path: Path
) -> None:
    for scope in ("", "@acme/"):
        name = f"{scope}withdrawn"
        for version in ("1.0.0", "1.1.0"):
            published(registry, name, version)
        published(registry, name, "1.2.0", tag="next")
        npm("dist-tag", "add", f"{name}@1.1.0", "stable")
        tarball = packument(registry, name)["versions"]["1.1.0"]["dist"]["tarball"]
        client_as("npm", "bob")("unpublish", f"{name}@1.1.0", fails=True)
        assert registry.http.get(tarball).status_code == 200

        npm("unpublish", f"{name}@1.1.0")
        for accept in (NPM_ASKS, "application/json"):
            document = packument(registry, name, accept)
            assert set(document["versions"]) == {"1.0.0", "1.2.0"}
            assert set(document["dist-tags"]) == {"latest", "next"}
            assert document["dist-tags"]["latest"] in document["versions"]
            assert "1.1.0" in document["time"]
        assert registry.http.get(tarball).status_code == 404
        again = put_package(registry, npm_body({"name": name, "version": "1.1.0"}))
        assert again.status_code in {403, 409}
        assert "1.1.0" in again.json()["error"]
        published(registry, name, "1.3.0")


@pytest.mark.parametrize("command", ["npm", "pnpm"])
def test_an_unpublished_package_fails_cleanly_everywhere(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    for scope in ("", "@acme/"):
        name = f"{scope}ended-{command}"
        published(registry, name, "1.0.0")
        published(registry, name, "1.0.1")
        tarball = packument(registry, name)["versions"]["1.0.1"]["dist"]["tarball"]
        client_as(command, "bob")("unpublish", name, "--force", fails=True)
        client_as(command, "alice")("unpublish", name, "--force")
        assert registry.http.get(tarball).status_code == 404
        npm = client_as("npm", "alice")
        assert "E404" in npm("view", name, fails=True).text
        for reader in ("npm", "pnpm"):
            folder = app(tmp_path / f"{scope.strip('@/')}{reader}", name)
            said = client_as(reader, "")("install", cwd=folder, fails=True).text
            assert "Traceback" not in said
            assert "panicked" not in said
        for version in ("1.0.0", "1.0.1"):
            again = put_package(registry, npm_body({"name": name, "version": version}))
            assert again.status_code in {403, 409}, again.text


def test_the_last_version_takes_the_package_with_it(
    registry: RunningRegistry, npm: NpmClient
) -> None:
    published(registry, "last-one", "1.0.0")
    npm("unpublish", "last-one@1.0.0", "--force")
    assert "E404" in npm("view", "last-one", fails=True).text


@pytest.mark.parametrize("prefix", ["", "/team"])
def test_npm_6_unpublishes_a_version(start_registry: StartRegistry, prefix: str) -> None:
    """The requests of npm 6.14.18, recorded: the last one says the registry's path twice."""
    registry = start_registry(prefix=prefix)
    for name in ("six", "@acme/six", "npm", "@npm/npm"):
        published(registry, name, "1.0.0")
        published(registry, name, "1.1.0")
        url, token = f"/npm/{name.replace('/', '%2f')}", registry.token()
        document = registry.http.get(f"{url}?write=true", headers=token).json()
        del document["versions"]["1.1.0"]
        document["dist-tags"]["latest"] = "1.0.0"
        rev = document["_rev"]
        answer = registry.http.put(f"{url}/-rev/{rev}", json=document, headers=token)
        assert answer.status_code == 201, answer.text
        rev = registry.http.get(f"{url}?write=true", headers=token).json()["_rev"]
        file = f"{name.rpartition('/')[2]}-1.1.0.tgz"
        again = f"/npm{prefix}/npm/{name}/-/{file}/-rev/{rev}"
        answer = registry.http.delete(again, headers=token)
        assert answer.status_code == 200, answer.text
        assert registry.http.delete(again).status_code == 401
        other = again.replace("1.1.0", "9.9.9")
        assert registry.http.delete(other, headers=token).status_code == 404


def test_a_stale_revision_changes_nothing(registry: RunningRegistry) -> None:
    """Two people read the same document; the second one's write must not undo the first one's."""
    for name in ("stale", "@acme/stale"):
        published(registry, name, "1.0.0")
        published(registry, name, "1.1.0")
        document = packument(registry, name)
        stale = document["_rev"]
        published(registry, name, "1.2.0")
        del document["versions"]["1.1.0"]
        url = f"/npm/{quote(name, safe='@')}/-rev/{stale}"
        change = registry.http.put(url, json=document, headers=registry.token())
        removal = registry.http.delete(url, headers=registry.token())
        assert (change.status_code, removal.status_code) == (409, 409)
        assert change.json()["error"]
        assert set(packument(registry, name)["versions"]) == {"1.0.0", "1.1.0", "1.2.0"}


def test_a_write_of_the_document_can_take_versions_away_but_add_none(
    registry: RunningRegistry,
) -> None:
    published(registry, "grow", "1.0.0")
    document = packument(registry, "grow")
    document["versions"]["1.0.1"] = {**document["versions"]["1.0.0"], "version": "1.0.1"}
    url = f"/npm/grow/-rev/{document['_rev']}"
    answer = registry.http.put(url, json=document, headers=registry.token())
    assert 400 <= answer.status_code < 500, answer.text
    document = packument(registry, "grow")
    before = document["versions"]["1.0.0"]["dist"]
    document["versions"]["1.0.0"]["dist"] = {**before, "shasum": "0" * 40}
    answer = registry.http.put(
        f"/npm/grow/-rev/{document['_rev']}", json=document, headers=registry.token()
    )
    assert answer.status_code < 500
    assert packument(registry, "grow")["versions"]["1.0.0"]["dist"] == before
