"""A leaked secret: its bytes go, whoever asks is told why, and the history stays."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import cargo_client
import npm_client
from cargo_client import Cargo, consumer
from npm_client import NpmClient, npm_project
from running_registry import RunningRegistry
from uploads import npm_body, tarball

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
SECRET = b"AKIA-not-a-real-key"
REASON = "a key was in it"


def position(registry: RunningRegistry) -> int:
    return int(registry.http.get("/health").json()["position"])


def blobs_with(registry: RunningRegistry, content: bytes) -> list[Path]:
    """The blobs that hold these bytes as they are."""
    paths = (registry.data / "blobs").rglob("*")
    return [path for path in paths if path.is_file() and content in path.read_bytes()]


def settled(registry: RunningRegistry) -> None:
    """Make every blob older than any publish that is on its way."""
    for path in (registry.data / "blobs" / "sha256").rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))


def purge(registry: RunningRegistry, subject: str) -> dict[str, object]:
    settled(registry)
    said = registry.cli("purge", subject, "--reason", REASON, "--yes", "--json")
    done: dict[str, object] = json.loads(said)
    return done


def publish_npm(registry: RunningRegistry, name: str, version: str, readme: bytes) -> bytes:
    manifest = {"name": name, "version": version}
    packed = tarball(manifest, **{"README.md": readme})
    answer = npm_client.put_package(registry, npm_body(manifest, packed))
    assert answer.status_code in {200, 201}, answer.text
    return packed


def test_cargo_says_why_a_purged_file_is_gone(
    registry: RunningRegistry, cargo: Cargo, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    cargo_client.published(registry, "leaked", "1.0.0")
    cargo_client.published(registry, "leaked", "1.0.1")
    project = consumer(tmp_path / "app", 'leaked = { version = "=1.0.1", registry = "ledger" }\n')
    cargo("fetch", cwd=project)
    before = position(registry)
    (blob,) = blobs_with(registry, registry.http.get(path_of("leaked", "1.0.1")).content)
    done = purge(registry, "cargo:leaked@1.0.1")
    assert done == {
        "version": "cargo:leaked@1.0.1",
        "already": False,
        "removed": [blob.parent.name + blob.name],
        "kept": {},
    }
    assert not blob.exists()

    line = registry.http.get("/cargo/index/le/ak/leaked").text.splitlines()[1]
    assert json.loads(line)["yanked"] is True
    fresh = cargo_as("")
    said = fresh("fetch", "--locked", cwd=project, fails=True).text
    assert f"the file of `leaked@1.0.1` was removed from this registry for good: {REASON}" in said
    cargo("fetch", "--locked", "--offline", cwd=project)  # who has it has it
    alice = Cargo(tmp_path / "home", registry, tmp_path, "alice")
    unyanking = ("yank", "--undo", "leaked@1.0.1", "--registry", "ledger")
    assert "for good" in alice(*unyanking, cwd=project, fails=True).text
    again = cargo_client.put_crate(registry, cargo_client.new_crate("leaked", "1.0.1"))
    assert again.status_code == 409

    then = f"/as-of/{before}/cargo"
    listed = registry.http.get(f"{then}/index/le/ak/leaked").text.splitlines()[1]
    assert json.loads(listed)["yanked"] is False, "what was served then"
    gone = registry.http.get(f"{then}/crates/leaked/1.0.1/download")
    assert gone.status_code == 404
    assert REASON in gone.json()["errors"][0]["detail"]
    page = registry.http.get("/crates/leaked/1.0.1", headers={"Accept": "text/html"}).text
    assert REASON in page


def path_of(name: str, version: str) -> str:
    return f"/cargo/crates/{name}/{version}/download"


@pytest.mark.parametrize("command", ["npm", "pnpm"])
def test_npm_says_why_a_purged_tarball_is_gone(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    name = f"@acme/leaked-{command}"
    readme = b"# use the key " + SECRET + command.encode()
    publish_npm(registry, name, "1.0.0", b"# honest")
    packed = publish_npm(registry, name, "1.0.1", readme)
    app = npm_project(
        tmp_path / "app", {"name": "app", "version": "1.0.0", "dependencies": {name: "1.0.1"}}
    )
    client_as(command, "")("install", cwd=app)
    before = position(registry)
    assert len(blobs_with(registry, packed)) == 1
    assert len(blobs_with(registry, readme)) == 1
    done = purge(registry, f"npm:{name}@1.0.1")
    assert len(done["removed"]) == 2  # type: ignore[arg-type]
    assert blobs_with(registry, packed) == blobs_with(registry, readme) == []

    document = npm_client.packument(registry, name)
    assert list(document["versions"]) == ["1.0.0"]
    assert document["dist-tags"] == {"latest": "1.0.0"}
    client = client_as(command, "")
    (app / "node_modules").rename(app / "as-before")
    if command == "npm":
        said = client("ci", cwd=app, fails=True).text
        assert f"the file of `{name}@1.0.1` was removed from this registry for good" in said
    else:
        said = client("install", "--frozen-lockfile", cwd=app, fails=True).text
        assert "404" in said
    again = npm_client.put_package(registry, npm_body({"name": name, "version": "1.0.1"}))
    assert again.status_code == 409

    then = f"/as-of/{before}/npm/{name}"
    past = registry.http.get(then).json()
    assert past["dist-tags"] == {"latest": "1.0.1"}
    assert past["readme"] == "", "the rest is what was served then"
    gone = registry.http.get(f"{then}/-/{name.partition('/')[2]}-1.0.1.tgz")
    assert gone.status_code == 404
    assert REASON in gone.json()["error"]
    page = registry.http.get(f"/packages/{name}", headers={"Accept": "text/html"}).text
    assert "purged" in page
    assert REASON in page


def test_the_history_says_who_and_why(registry: RunningRegistry) -> None:
    cargo_client.published(registry, "told", "1.0.0")
    purge(registry, "cargo:told@1.0.0")
    lines = registry.cli("history", "cargo:told", "--json").splitlines()
    yanked, purged = (json.loads(line) for line in lines[-2:])
    assert (yanked["what"], purged["what"]) == ("version_yanked", "purged")
    assert purged["subject"] == "cargo:told"
    assert purged["version"] == f"1.0.0 {REASON}"
    assert purged["by"] == "", "the operator's"


def test_a_readme_that_others_have_stays(registry: RunningRegistry) -> None:
    readme = b"# the same everywhere"
    for name in ("one", "two"):
        publish_npm(registry, name, "1.0.0", readme)
    done = purge(registry, "npm:one@1.0.0")
    assert list(done["kept"].values()) == ["npm:two@1.0.0"]  # type: ignore[attr-defined]
    assert npm_client.packument(registry, "two")["readme"] == readme.decode()
    done = purge(registry, "npm:two@1.0.0")
    assert done["kept"] == {}
    assert blobs_with(registry, readme) == []


def test_an_interrupted_purge_is_finished_by_the_next(registry: RunningRegistry) -> None:
    packed = publish_npm(registry, "again", "1.0.0", b"# again")
    purge(registry, "npm:again@1.0.0")
    last = position(registry)
    lost = registry.data / "blobs" / "sha256"
    digest = hashlib.sha256(packed).hexdigest()
    (lost / digest[:2] / digest[2:]).write_bytes(packed)  # as if it had died before
    done = purge(registry, "npm:again@1.0.0")
    assert done["already"] is True
    assert blobs_with(registry, packed) == []
    assert position(registry) == last, "the event is there once"


def test_what_cannot_be_purged_is_refused(registry: RunningRegistry) -> None:
    cargo_client.published(registry, "stays", "1.0.0")
    last = position(registry)
    for subject, reason, said in (
        ("cargo:stays@2.0.0", REASON, "has no version `2.0.0`"),
        ("cargo:Stays@1.0.0", REASON, "`Stays` does not exist"),
        ("npm:nothing@1.0.0", REASON, "`nothing` does not exist"),
        ("cargo:stays@1.0.0", " ", "the reason must be one line"),
        ("stays@1.0.0", REASON, "must be cargo:NAME@VERSION"),
    ):
        assert said in registry.cli("purge", subject, "--reason", reason, "--yes", fails=True)
    asked = registry.cli("purge", "cargo:stays@1.0.0", "--reason", REASON, stdin="n\n", fails=True)
    assert "gone for good" in asked
    assert position(registry) == last


def test_an_export_leaves_a_purged_file_out_and_says_so(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    cargo_client.published(registry, "missing", "1.0.0")
    publish_npm(registry, "missing", "1.0.0", b"# missing")
    publish_npm(registry, "missing", "1.0.1", b"# still here")
    before = position(registry)
    purge(registry, "cargo:missing@1.0.0")
    purge(registry, "npm:missing@1.0.0")
    tree = tmp_path / "tree"
    options = ["--as-of", str(before), "--url", "https://registry.example.com", "--to", str(tree)]
    said = registry.cli("export", *options)
    for version in ("cargo:missing@1.0.0", "npm:missing@1.0.0"):
        assert f"without the file of {version}, which was purged" in said
        assert version in json.loads((tree / "export.json").read_text())["purged"]
    assert not list(tree.rglob("missing-1.0.0.*"))
    assert len(list(tree.rglob("missing-1.0.1.tgz"))) == 1
    assert "1.0.0" in (tree / "cargo/index/mi/ss/missing").read_text()


def test_gc_removes_orphans_of_the_running_registry(registry: RunningRegistry) -> None:
    cargo_client.published(registry, "useful", "1.0.0")
    folder = registry.data / "blobs" / "sha256"
    digest = hashlib.sha256(b"an orphan").hexdigest()
    orphan = folder / digest[:2] / digest[2:]
    orphan.write_bytes(b"an orphan")
    settled(registry)
    listed = registry.cli("gc", "--dry-run")
    assert f"{digest}  9 bytes" in listed
    assert "found 1 orphan, 9 bytes" in listed
    assert orphan.exists()
    lines = [json.loads(line) for line in registry.cli("gc", "--json").splitlines()]
    assert lines[0]["digest"] == digest
    assert lines[-1] == {"orphans": 1, "size_bytes": 9, "removed": True}
    assert not orphan.exists()
    assert registry.http.get(path_of("useful", "1.0.0")).status_code == 200
    assert "removed 0 orphans" in registry.cli("gc", "--older-than", "1")
    assert "0 is not in the range" in registry.cli("gc", "--older-than", "0", fails=True)


def test_every_read_model_is_what_the_history_says(registry: RunningRegistry) -> None:
    registry.cli("rebuild", "--check", "sparse-index", "packuments", "pages")
