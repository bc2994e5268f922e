"""Past views with real clients: what they resolve is what was available then."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import cargo_client
import npm_client
from cargo_client import Cargo, consumer
from npm_client import NpmClient, npm_project
from npm_verbs import install
from running_registry import RunningRegistry

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]


def position(registry: RunningRegistry) -> int:
    return int(registry.http.get("/health").json()["position"])


def now(registry: RunningRegistry) -> str:
    """A moment after everything so far and before everything to come, as the log says it."""
    last = json.loads(registry.cli("history", "--json").splitlines()[-1])
    return str(last["at"])


def test_cargo_resolves_what_was_there_and_its_lock_file_stays_the_same(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    cargo_client.published(registry, "ancient", "1.0.0")
    cargo_client.published(registry, "ancient", "1.1.0")
    moment = position(registry)
    project = consumer(tmp_path / "app", 'ancient = { version = "1", registry = "ledger" }\n')
    cargo("fetch", cwd=project)
    lock = (project / "Cargo.lock").read_text()
    assert 'version = "1.1.0"' in lock
    cargo("yank", "ancient@1.1.0", "--registry", "ledger", cwd=project)
    cargo_client.published(registry, "ancient", "1.2.0")
    (project / "Cargo.lock").unlink()
    cargo("generate-lockfile", cwd=project)
    assert 'version = "1.2.0"' in (project / "Cargo.lock").read_text()

    (project / "Cargo.lock").unlink()
    index = registry.index.replace("/cargo/", f"/as-of/{moment}/cargo/", 1)
    (project / ".cargo").mkdir()
    (project / ".cargo" / "config.toml").write_text(
        f'[source.today]\nregistry = "{registry.index}"\nreplace-with = "then"\n'
        f'[source.then]\nregistry = "{index}"\n'
    )
    registry.tap.clear()
    cargo("fetch", cwd=project)
    assert (project / "Cargo.lock").read_text() == lock
    cargo("check", "--locked", cwd=project)
    paths = [line.split()[1] for line in registry.tap.said()]
    assert paths
    assert all(path.startswith(f"/as-of/{moment}/cargo/") for path in paths), paths


@pytest.mark.parametrize("command", ["npm", "pnpm", "yarn1", "berry", "bun"])
def test_every_npm_client_installs_what_was_there(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    name = f"@acme/old-{command}"
    npm_client.published(registry, name, "1.0.0")
    moment = now(registry)
    npm_client.published(registry, name, "1.0.1")
    manifest = {"name": "app", "version": "1.0.0", "dependencies": {name: "^1.0.0"}}
    past = RegistryThen(registry, moment)
    client = client_as(command, "")
    client.registry = past  # type: ignore[assignment]
    client.sign_in("")
    client.env = {
        key: value.replace(registry.npm.rstrip("/"), past.npm.rstrip("/"))
        for key, value in client.env.items()
    }
    app = npm_project(tmp_path / "app", manifest)
    registry.tap.clear()
    install(client, app)
    found = json.loads((app / "node_modules" / name / "package.json").read_text())
    assert found["version"] == "1.0.0"
    paths = [line.split()[1] for line in registry.tap.said()]
    assert any(path.endswith("-1.0.0.tgz") for path in paths)
    assert all(path.startswith(f"/as-of/{moment}/npm/") for path in paths), paths


class RegistryThen:
    """Where a past view is."""

    def __init__(self, registry: RunningRegistry, moment: str) -> None:
        self.npm = registry.npm.replace("/npm/", f"/as-of/{moment}/npm/")


def test_nothing_can_be_changed_in_the_past(registry: RunningRegistry, npm: NpmClient) -> None:
    moment = position(registry)
    base = f"/as-of/{moment}/npm"
    body = {"name": "x", "versions": {}, "_attachments": {}}
    headers = registry.token("alice")
    for answer in (
        registry.http.put(f"{base}/x", json=body, headers=headers),
        registry.http.put(f"{base}/-/package/x/dist-tags/latest", json="1.0.0", headers=headers),
        registry.http.delete(f"{base}/x/-rev/1", headers=headers),
    ):
        assert answer.status_code == 403
        assert "can only be read" in answer.json()["error"]
    assert position(registry) == moment


@pytest.mark.parametrize("path", ["cargo/index/config.json", "cargo/index/de/mo/demo", "npm/demo"])
@pytest.mark.parametrize("moment", ["999999999", "2999-01-01", "then", "%00"])
def test_a_moment_that_is_none_is_refused_in_the_clients_own_format(
    registry: RunningRegistry, path: str, moment: str
) -> None:
    answer = registry.http.get(f"/as-of/{moment}/{path}")
    assert answer.status_code == 400
    said = answer.json()
    sentence = said["errors"][0]["detail"] if path.startswith("cargo") else said["error"]
    assert "future" in sentence or "no moment" in sentence or "control character" in sentence
