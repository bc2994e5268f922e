"""Access of single packages does not exist: who asks for it is refused, and told what is so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from npm_client import NpmClient, npm_project
from npm_verbs import publish
from running_registry import RunningRegistry
from uploads import npm_body

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(tmp_path_factory.mktemp("private"), private=True)
    try:
        running.start()
        running.add_user("alice")
        yield running
    finally:
        running.close()


def project(folder: Path, name: str) -> Path:
    return npm_project(folder, {"name": name, "version": "1.0.0", "license": "MIT"})


@pytest.mark.parametrize("command", ["npm", "pnpm", "yarn1", "berry", "bun"])
def test_restricted_is_refused_where_everybody_reads(
    registry: RunningRegistry, tmp_path: Path, command: str
) -> None:
    client = NpmClient(command, tmp_path / "home", registry, "alice")
    name = f"@acme/held-{command}"
    folder = project(tmp_path / "p", name)
    said = publish(client, folder, "--access", "restricted", fails=True).text
    # yarn 1 shows of a refusal that is no 403 the name alone.
    assert "cannot be restricted" in said or command == "yarn1", said
    assert registry.http.get(f"/npm/{name.replace('/', '%2f')}").status_code == 404
    publish(client, folder, "--access", "public")


def test_berry_is_told_the_line_that_it_needs(registry: RunningRegistry, tmp_path: Path) -> None:
    """It asks for `restricted` by itself."""
    client = NpmClient("berry", tmp_path / "home", registry, "alice")
    del client.env["YARN_NPM_PUBLISH_ACCESS"]
    folder = project(tmp_path / "p", "@acme/by-default")
    assert "npmPublishAccess: public" in publish(client, folder, fails=True).text
    (client.home / ".yarnrc.yml").write_text("npmPublishAccess: public\n")
    publish(client, folder)


@pytest.mark.parametrize("wish", ["restricted", "private", "PUBLIC"])
def test_no_form_of_a_body_restricts_anything(registry: RunningRegistry, wish: str) -> None:
    body = npm_body({"name": "not-held", "version": "1.0.0"}) | {"access": wish}
    told = registry.http.put("/npm/not-held", json=body, headers=registry.token())
    assert told.status_code == 400
    assert registry.http.get("/npm/not-held").status_code == 404


def test_npm_access_says_what_is_so(
    registry: RunningRegistry, private: RunningRegistry, tmp_path: Path
) -> None:
    ways = {
        "public": (registry, "public", "private", "cannot be restricted"),
        "private": (private, "restricted", "public", "cannot be public"),
    }
    for status, (there, access, other, refusal) in ways.items():
        npm = NpmClient("npm", tmp_path / status, there, "alice")
        publish(npm, project(tmp_path / f"p-{status}", "@acme/shown"), "--access", access)
        said = npm("access", "get", "status", "@acme/shown").stdout
        assert said.strip() == f"@acme/shown: {status}"
        npm("access", "set", f"status={status}", "@acme/shown")
        assert refusal in npm("access", "set", f"status={other}", "@acme/shown", fails=True).text
        for setting in ("status=public", "status=private", "mfa=publish"):
            assert "E404" in npm("access", "set", setting, "@acme/none", fails=True).text
        assert "factor" in npm("access", "set", "mfa=publish", "@acme/shown", fails=True).text


def test_a_private_registry_takes_either_word(private: RunningRegistry, tmp_path: Path) -> None:
    for command, wish in (("npm", "restricted"), ("npm", "public"), ("berry", "restricted")):
        client = NpmClient(command, tmp_path / f"{command}-{wish}", private, "alice")
        name = f"@acme/{command}-{wish}"
        publish(client, project(tmp_path / name, name), "--access", wish)
        path = f"/npm/{name.replace('/', '%2f')}"
        assert private.http.get(path).status_code == 401
        assert private.http.get(path, headers=private.token()).status_code == 200


def test_whoever_asks_for_access_needs_a_token(registry: RunningRegistry) -> None:
    path = "/npm/-/package/@acme%2fshown/access"
    assert registry.http.post(path, json={"access": "public"}).status_code == 401
