"""An exported moment, served by a plain nginx: cargo and every npm client are content with it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import cargo_client
import npm_client
from cargo_client import Cargo, consumer
from nginx_server import PlainServer
from npm_client import NpmClient, npm_project
from npm_verbs import install
from running_registry import RunningRegistry

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plain") / "tree"


@pytest.fixture(scope="module")
def server(tree: Path) -> Iterator[PlainServer]:
    server = PlainServer(tree)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def exported(
    registry: RunningRegistry,
    server: PlainServer,
    tree: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The registry as it was before some changes, exported twice: here is the second one."""
    for version in ("1.0.0", "1.1.0"):
        cargo_client.published(registry, "shelved", version)
        npm_client.published(registry, "@acme/shelved", version)
        npm_client.published(registry, "shelved", version)
    npm_client.published(registry, "withdrawn", "1.0.0")
    npm_client.published(registry, "withdrawn", "1.0.1")
    document = npm_client.packument(registry, "withdrawn")
    document["versions"].pop("1.0.0")
    answer = registry.http.put(
        f"/npm/withdrawn/-rev/{document['_rev']}", json=document, headers=registry.token()
    )
    assert answer.status_code in {200, 201}, answer.text
    last = json.loads(registry.cli("history", "--json").splitlines()[-1])
    cargo_client.published(registry, "shelved", "1.2.0")
    npm_client.published(registry, "@acme/shelved", "1.2.0")
    npm_client.published(registry, "shelved", "1.2.0")
    options = ["--as-of", last["at"], "--url", server.url, "--json"]
    said = json.loads(registry.cli("export", *options, "--to", str(tree)))
    assert (said["position"], said["at"], said["url"]) == (last["position"], last["at"], server.url)
    again = tmp_path_factory.mktemp("again") / "tree"
    registry.cli("export", *options, "--to", str(again))
    return again


@pytest.mark.parametrize("moment", ["now", "today"])
def test_the_present_can_be_exported(
    exported: Path, registry: RunningRegistry, tmp_path: Path, moment: str
) -> None:
    today = datetime.now(UTC).date().isoformat()
    asked = today if moment == "today" else moment
    options = ["--as-of", asked, "--url", "http://x", "--json", "--to", str(tmp_path / "tree")]
    said = json.loads(registry.cli("export", *options))
    last = json.loads(registry.cli("history", "--json").splitlines()[-1])
    assert said["position"] == (0 if moment == "today" else last["position"])


def digests(root: Path) -> dict[str, tuple[str, float]]:
    return {
        str(path.relative_to(root)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime,
        )
        for path in root.rglob("*")
    }


def test_two_exports_of_a_moment_are_equal(exported: Path, tree: Path) -> None:
    found = digests(exported)
    assert found == digests(tree)
    assert {
        "cargo/index/sh/el/shelved",
        "cargo/crates/shelved/shelved-1.1.0.crate",
        "npm/@acme/shelved",
        "npm/-/npm/@acme/shelved/-/shelved-1.0.0.tgz",
        "npm/-/npm/withdrawn/-/withdrawn-1.0.1.tgz",
    } <= set(found)
    assert not any("1.2.0" in name for name in found)
    assert "npm/-/npm/withdrawn/-/withdrawn-1.0.0.tgz" not in found
    assert "work" not in found


@pytest.mark.usefixtures("exported")
def test_cargo_builds_from_the_files_alone(
    server: PlainServer, cargo: Cargo, tmp_path: Path, registry: RunningRegistry
) -> None:
    project = consumer(tmp_path / "app", 'shelved = { version = "1", registry = "ledger" }\n')
    (project / ".cargo").mkdir()
    (project / ".cargo" / "config.toml").write_text(
        f'[source.today]\nregistry = "{registry.index}"\nreplace-with = "then"\n'
        f'[source.then]\nregistry = "sparse+{server.url}/cargo/index/"\n'
    )
    with registry.tap.listening():
        cargo("check", cwd=project)
        assert registry.tap.said() == []
    lock = (project / "Cargo.lock").read_text()
    assert 'version = "1.1.0"' in lock
    assert registry.index in lock, "the lock file names the registry, not the copy"


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize("command", ["npm", "pnpm", "yarn1", "berry", "bun"])
def test_every_npm_client_installs_from_the_files_alone(
    server: PlainServer,
    registry: RunningRegistry,
    tmp_path: Path,
    command: str,
) -> None:
    there = Elsewhere(f"{server.url}/npm/")
    client = NpmClient(command, tmp_path / "home", there)  # type: ignore[arg-type]
    wanted = {"@acme/shelved": "^1.0.0", "shelved": "latest", "withdrawn": "*"}
    app = npm_project(tmp_path / "app", {"name": "app", "version": "1.0.0", "dependencies": wanted})
    with registry.tap.listening():
        install(client, app)
        assert registry.tap.said() == []
    versions = {
        name: json.loads((app / "node_modules" / name / "package.json").read_text())["version"]
        for name in wanted
    }
    assert versions == {"@acme/shelved": "1.1.0", "shelved": "1.1.0", "withdrawn": "1.0.1"}


class Elsewhere:
    """A registry that the tests did not start."""

    def __init__(self, npm: str) -> None:
        self.npm = npm
        self.tokens: dict[str, str] = {}


def test_what_exists_is_not_written_over(registry: RunningRegistry, tmp_path: Path) -> None:
    options = ["export", "--as-of", "0", "--url", "https://registry.example.com"]
    assert "choose a directory" in registry.cli(*options, "--to", str(tmp_path), fails=True)
    target = tmp_path / "empty"
    registry.cli(*options, "--to", str(target))
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == [
        "config.json",
        "export.json",
    ]
    assert "in the future" in registry.cli(
        "export", "--as-of", "2999-01-01", "--url", "https://a", "--to", "x", fails=True
    )
    assert "http" in registry.cli(
        "export", "--as-of", "0", "--url", "a", "--to", str(tmp_path / "y"), fails=True
    )
    assert list(tmp_path.iterdir()) == [target], "nothing half-written is left"


def test_a_damaged_file_stops_the_export(registry: RunningRegistry, tmp_path: Path) -> None:
    npm_client.published(registry, "spoilt", "1.0.0")
    blobs = [path for path in (registry.data / "blobs" / "sha256").rglob("*") if path.is_file()]
    tarball = registry.http.get("/npm/spoilt/-/spoilt-1.0.0.tgz").content
    (blob,) = (path for path in blobs if path.read_bytes() == tarball)
    blob.write_bytes(bytes([tarball[0] ^ 1]) + tarball[1:])
    try:
        position = registry.http.get("/health").json()["position"]
        options = ["--as-of", str(position), "--url", "https://registry.example.com"]
        said = registry.cli("export", *options, "--to", str(tmp_path / "tree"), fails=True)
        assert "is damaged in the blob store" in said
        assert list(tmp_path.iterdir()) == []
    finally:
        blob.write_bytes(tarball)
