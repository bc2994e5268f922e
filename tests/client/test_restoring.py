"""Everything but the backup is lost; real clients notice nothing."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cargo_client
import npm_client
from cargo_client import Cargo, consumer
from npm_client import NpmClient, npm_project
from npm_verbs import install
from processes import run
from running_registry import PACKLEDGER, RunningRegistry, environment
from s3_server import shared_server
from uploads import npm_body, tarball

pytestmark = pytest.mark.client
PATHS = (
    "/cargo/index/config.json",
    "/cargo/index/ke/pt/kept",
    "/cargo/crates/kept/1.0.0/download",
    "/npm/kept",
    "/npm/kept/-/kept-1.0.0.tgz",
    "/npm/-/npm/v1/keys",
    "/log/tile/0/000.p/{size}",
    "/log/tile/entries/000.p/{size}",
)


def served(registry: RunningRegistry, size: int) -> dict[str, bytes]:
    found = {}
    for path in PATHS:
        answer = registry.http.get(path.format(size=size))
        assert answer.status_code == 200, f"{path}: {answer.text}"
        found[path] = answer.content
    return found


def checkpoint(registry: RunningRegistry, at_least: int) -> tuple[int, str, bytes]:
    """The size, the root and the whole of the checkpoint that is served, once it is so large."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        answer = registry.http.get("/log/checkpoint")
        if answer.status_code == 200:
            lines = answer.text.splitlines()
            if int(lines[1]) >= at_least:
                return int(lines[1]), lines[2], answer.content
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint of {at_least}: {answer.text}")


def test_after_losing_everything_but_the_backup_all_is_as_it_was(
    start_registry: Callable[..., RunningRegistry], tmp_path: Path
) -> None:
    registry = start_registry()
    cargo_client.published(registry, "kept", "1.0.0")
    cargo_client.published(registry, "kept", "1.1.0")
    manifest = {"name": "kept", "version": "1.0.0"}
    body = npm_body(manifest, tarball(manifest, **{"README.md": b"# kept"}))
    assert npm_client.put_package(registry, body).status_code == 201
    position = int(registry.http.get("/health").json()["position"])
    size, root, note = checkpoint(registry, position)
    vkey = registry.cli("log", "key")
    before = served(registry, size)

    backup = tmp_path / "backup"
    said = json.loads(registry.cli("backup", "--to", str(backup), "--json"))
    assert said["manifest"]["position"] == position
    assert "4 blobs, 0 of them new" in registry.cli("backup", "--to", str(backup))
    registry.stop()
    shutil.rmtree(registry.data)
    shown = registry.cli("restore", "--from", str(backup))
    assert f"position {position}, 4 blobs" in shown
    assert "is not empty" in registry.cli("restore", "--from", str(backup), fails=True)

    registry.start()
    assert checkpoint(registry, size) == (size, root, note), "it is served as it was signed"
    assert served(registry, size) == before
    assert registry.cli("log", "key") == vkey
    registry.cli("rebuild", "--check")

    cargo = Cargo(tmp_path / "cargo", registry, tmp_path / "target", "alice")
    project = consumer(tmp_path / "app", 'kept = { version = "1", registry = "ledger" }\n')
    cargo("fetch", cwd=project)
    npm = NpmClient("npm", tmp_path / "npm", registry, "alice")
    wanted = {"name": "app", "version": "1.0.0", "dependencies": {"kept": "1.0.0"}}
    install(npm, npm_project(tmp_path / "npm-app", wanted))

    cargo_client.published(registry, "kept", "1.2.0")
    npm_client.published(registry, "kept", "1.1.0")
    after, _, _ = checkpoint(registry, position + 2)
    assert after >= position + 2
    health = registry.http.get("/health").json()
    assert "refus" not in json.dumps(health)


def test_a_bucket_is_backed_up_and_restored(
    start_registry: Callable[..., RunningRegistry], tmp_path: Path
) -> None:
    server = shared_server()
    registry = start_registry(**server.settings("blobs-to-back-up"))
    cargo_client.published(registry, "kept", "1.0.0")
    file = registry.http.get("/cargo/crates/kept/1.0.0/download").content
    registry.cli("backup", "--to", str(tmp_path / "backup"))
    registry.stop()
    shutil.rmtree(registry.data)
    shutil.rmtree(server.objects / "blobs-to-back-up")
    registry.cli("restore", "--from", str(tmp_path / "backup"))
    registry.start()
    assert registry.http.get("/cargo/crates/kept/1.0.0/download").content == file


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    def cli(*arguments: str, **settings: object) -> str:
        command = [PACKLEDGER, *arguments, "--data", str(tmp_path / "data")]
        return run(command, cwd=tmp_path, env=environment(settings), fails=True).text

    assert "there is no registry" in cli("backup", "--to", str(tmp_path / "backup"))
    assert "there is no whole backup" in cli("restore", "--from", str(tmp_path))
    url = "https://registry.example.com"
    database = {"database": "postgresql:///packledger", "s3_bucket": "blobs", "public_url": url}
    for command in (["backup", "--to", "backup"], ["restore", "--from", "backup"]):
        assert "`pg_dump`" in cli(*command, **database)
