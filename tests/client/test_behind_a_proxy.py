"""A registry that a proxy shows below a folder of its own: every client finds all of it there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cargo_client import Cargo, consumer, library
from npm_client import NpmClient, npm_project, packument
from npm_verbs import ALL, install, publish
from running_registry import RunningRegistry

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(tmp_path_factory.mktemp("proxied"), prefix="/team/registry")
    try:
        running.start()
        running.add_user("alice")
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("command", ALL)
def test_each_client_publishes_and_installs(
    proxied: RunningRegistry, tmp_path: Path, command: str
) -> None:
    client, needs = NpmClient(command, tmp_path / "home", proxied, "alice"), {}
    for name in (f"below-{command}", f"@acme/below-{command}"):
        manifest = {"name": name, "version": "1.0.0", "license": "MIT"}
        publish(client, npm_project(tmp_path / name, manifest))
        base = name.rpartition("/")[2]
        url = packument(proxied, name)["versions"]["1.0.0"]["dist"]["tarball"]
        assert url == f"{proxied.url}/npm/{name}/-/{base}-1.0.0.tgz"
        needs[name] = "*"
    app = npm_project(tmp_path / "app", {"name": "app", "version": "1.0.0", "dependencies": needs})
    proxied.tap.clear()
    install(client, app)
    assert all((app / "node_modules" / name / "index.js").exists() for name in needs)
    assert all(one.path.startswith("/team/registry/npm/") for one in proxied.tap.exchanges)


def test_npm_unpublishes_a_version_and_a_package(proxied: RunningRegistry, tmp_path: Path) -> None:
    """It strips the registry's path from the tarball's URL before it deletes that."""
    npm = NpmClient("npm", tmp_path / "home", proxied, "alice")
    for version in ("1.0.0", "1.1.0"):
        manifest = {"name": "@acme/leaving", "version": version}
        publish(npm, npm_project(tmp_path / "p", manifest))
    proxied.tap.clear()
    npm("unpublish", "@acme/leaving@1.0.0")
    deleted = [one for one in proxied.tap.exchanges if one.method == "DELETE"]
    assert [one.path.partition("/-rev/")[0] for one in deleted] == [
        "/team/registry/npm/@acme/leaving/-/leaving-1.0.0.tgz"
    ]
    assert set(packument(proxied, "@acme/leaving")["versions"]) == {"1.1.0"}
    npm("unpublish", "@acme/leaving", "--force")
    npm("view", "@acme/leaving", fails=True)


def test_cargo_publishes_fetches_and_searches(proxied: RunningRegistry, tmp_path: Path) -> None:
    cargo = Cargo(tmp_path / "home", proxied, tmp_path / "target", "alice")
    folder = library(tmp_path / "lib", "below", "1.0.0")
    to_ledger = ("--registry", "ledger")
    cargo("publish", "--allow-dirty", "--no-verify", *to_ledger, cwd=folder)
    app = consumer(tmp_path / "app", 'below = { version = "1", registry = "ledger" }\n')
    cargo("fetch", cwd=app)
    assert f'source = "{proxied.index}"' in (app / "Cargo.lock").read_text()
    assert cargo("search", "below", *to_ledger, cwd=tmp_path).stdout.startswith("below ")


def test_headers_about_the_proxy_change_no_document(proxied: RunningRegistry) -> None:
    forged = {"Host": "evil.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "e.x"}
    for path in ("/cargo/index/config.json", "/npm/-/ping"):
        honest = proxied.http.get(path)
        assert proxied.http.get(path, headers=forged).content == honest.content
    assert proxied.http.get("/cargo/index/config.json").json()["api"] == f"{proxied.url}/cargo"
