"""One version has many texts: clients send npm's cleaned form or the author's own.

Source: https://github.com/npm/node-semver (`clean`)
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from npm_client import NpmClient, npm_project, packument, published, put_package
from npm_verbs import ALL, install, publish
from running_registry import RunningRegistry
from uploads import npm_body

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
TEXTS = {"1.2.3-rc.1+build.7": "1.2.3-rc.1", "v1.2.4": "1.2.4", "1.2.5beta": "1.2.5-beta"}
TEXTS |= {"01.02.06": "1.2.6", " =1.2.7 ": "1.2.7"}
REFUSED = {("bun", "1.2.5beta"), ("bun", "01.02.06"), ("yarn1", " =1.2.7 ")}
"""By the client itself."""


@pytest.mark.parametrize("command", ALL)
def test_the_authors_text_is_published_and_installed_as_npms_version(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    client, name = client_as(command, "alice"), f"texts-{command}"
    wanted = {text: one for text, one in TEXTS.items() if (command, text) not in REFUSED}
    for at, text in enumerate(wanted):
        manifest = {"name": name, "version": text, "license": "MIT"}
        publish(client, npm_project(tmp_path / str(at), manifest), tag=f"tag{at}")
    document = packument(registry, name)
    assert list(document["versions"]) == list(wanted.values())
    for version, one in document["versions"].items():
        assert (one["version"], one["_id"]) == (version, f"{name}@{version}")
        assert one["dist"]["tarball"].endswith(f"/{name}-{version}.tgz")

    folder = npm_project(tmp_path / "app", {"name": "app", "dependencies": {name: "1.2.3-rc.1"}})
    install(client, folder)
    installed = json.loads((folder / "node_modules" / name / "package.json").read_text())
    # pnpm packs a manifest of its own making
    assert installed["version"] == "1.2.3-rc.1" + ("" if command == "pnpm" else "+build.7")


def test_any_text_of_a_version_is_that_version_everywhere(registry: RunningRegistry) -> None:
    name, token = "same-version", registry.token("alice")
    published(registry, name, "1.0.0")
    published(registry, name, "v1.2.3-rc.1+build.7")
    position = registry.http.get("/health").json()["position"]
    texts = ["1.2.3-rc.1", "1.2.3-rc.1+build.7", "v1.2.3-rc.1", "01.2.3rc.1"]
    for text in texts:
        body = npm_body({"name": name, "version": text})
        assert put_package(registry, body).status_code == 409
        for base in ("/npm", f"/as-of/{position}/npm"):
            assert registry.http.get(f"{base}/{name}/{text}").json()["version"] == "1.2.3-rc.1"
            assert registry.http.get(f"{base}/{name}/-/{name}-{text}.tgz").status_code == 200
        assert registry.http.get(f"/packages/{name}/v/{text}").status_code == 200
        tag = f"/npm/-/package/{name}/dist-tags/next"
        assert registry.http.put(tag, json=text, headers=token).status_code == 201
        assert packument(registry, name)["dist-tags"]["next"] == "1.2.3-rc.1"
        change = {"name": name, "versions": {text: {"deprecated": text}, "1.0.0": {}}}
        answer = registry.http.put(f"/npm/{name}", json=change, headers=token)
        assert answer.status_code == 201, answer.text
        assert packument(registry, name)["versions"]["1.2.3-rc.1"]["deprecated"] == text
    assert set(packument(registry, name)["versions"]) == {"1.2.3-rc.1", "1.0.0"}
    # The rest of a receipt is the newest checkpoint's, and the log grows.
    events = {registry.cli("receipt", f"npm:{name}@{text}").splitlines()[1] for text in texts}
    assert len(events) == 1
    found = registry.http.get("/npm/-/v1/search", params={"text": name}).json()["objects"]
    assert [one["package"]["version"] for one in found] == ["1.2.3-rc.1"]


def test_one_version_under_two_texts_in_one_body_is_refused(registry: RunningRegistry) -> None:
    published(registry, "two-texts", "1.0.0")
    change = {"name": "two-texts", "versions": {"1.0.0": {}, "v1.0.0": {"deprecated": "x"}}}
    answer = registry.http.put("/npm/two-texts", json=change, headers=registry.token("alice"))
    assert answer.status_code == 400
    assert "named twice" in answer.json()["error"]


def test_a_tarball_of_a_version_that_never_was_cannot_be_removed(registry: RunningRegistry) -> None:
    name, token = "no-such-file", registry.token("alice")
    published(registry, name, "1.0.0")
    for file in (f"{name}-9.9.9.tgz", f"{name}-x.tgz", "other-1.0.0.tgz", f"{name}-1.0.0.zip"):
        rev = packument(registry, name)["_rev"]
        answer = registry.http.delete(f"/npm/{name}/-/{file}/-rev/{rev}", headers=token)
        assert answer.status_code == 404, file
        assert len(answer.json()["error"].split()) > 3
