"""A real npm tree: fetched from upstream by npm, published here, installed from the same lock.

npm installs from wherever it is configured to on this machine; the tarballs are read back from its
cache by their digest, published as they are, and the original lock file, which names no registry,
must then be satisfied by this registry alone.
"""

import base64
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import semver

from npm_client import COMMANDS, NpmClient, npm_project, packument, put_package
from processes import run
from running_registry import RunningRegistry
from uploads import npm_body

pytestmark = pytest.mark.client

# Chosen for what is in them: scopes, peers, programs, several versions of one package, and
# tarballs whose top folder is not `package` (@types/…).
MANIFEST = {
    "name": "real",
    "version": "1.0.0",
    "private": True,
    "dependencies": {
        "express": "^4",
        "@babel/core": "^7",
        "@types/express": "^4",
        "chalk": "^4",
        "yargs": "^17",
        "use-sync-external-store": "^1",
        "react": "^18",
    },
}


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    tarball: bytes

    def manifest(self) -> dict[str, Any]:
        """Its package.json, which is in the only top folder, whatever that is called."""
        with tarfile.open(fileobj=io.BytesIO(self.tarball)) as archive:
            for member in archive:
                if member.name.count("/") == 1 and member.name.endswith("/package.json"):
                    file = archive.extractfile(member)
                    assert file is not None
                    manifest: dict[str, Any] = json.load(file)
                    return {**manifest, "version": self.version}
        raise AssertionError(f"{self.name} has no package.json")


@dataclass(frozen=True)
class Upstream:
    """The lock file that npm made and every package that it names."""

    lock: str
    packages: list[Package]


def cached(cache: Path, integrity: str) -> bytes:
    """What npm's cache holds under a digest.

    Source: https://github.com/npm/cacache (content-v2/ALGORITHM/2 hex/2 hex/the rest)
    """
    algorithm, _, digest = integrity.partition("-")
    name = base64.b64decode(digest).hex()
    file = cache / "_cacache" / "content-v2" / algorithm / name[:2] / name[2:4] / name[4:]
    return file.read_bytes()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    folder = tmp_path_factory.mktemp("upstream")
    project = npm_project(folder / "real", MANIFEST)
    install = ["install", "--ignore-scripts", "--omit-lockfile-registry-resolved", "--no-audit"]
    command = [*COMMANDS["npm"], *install, f"--cache={folder / 'cache'}"]
    run(command, cwd=project, env=os.environ, timeout_s=240)
    lock = (project / "package-lock.json").read_text()
    packages = {}
    for path, entry in json.loads(lock)["packages"].items():
        if path:
            name = entry.get("name") or path.rpartition("node_modules/")[2]
            tarball = cached(folder / "cache", entry["integrity"])
            packages[name, entry["version"]] = Package(name, entry["version"], tarball)
    ordered = sorted(packages.values(), key=lambda one: semver.Version.parse(one.version))
    return Upstream(lock, ordered)


@pytest.fixture(scope="module")
def tree(registry: RunningRegistry, upstream: Upstream) -> set[tuple[str, str]]:
    """Publish every package; their names and versions."""
    assert len(upstream.packages) >= 50
    for package in upstream.packages:
        answer = put_package(registry, npm_body(package.manifest(), package.tarball))
        assert answer.status_code in {200, 201}, f"{package.name}: {answer.text}"
    return {(one.name, one.version) for one in upstream.packages}


def installed(project: Path) -> set[tuple[str, str]]:
    """Name and version of every installed package, wherever the client put it."""
    found = set()
    for path in (project / "node_modules").rglob("package.json"):
        inside = path.parent.parent
        owner = inside.parent if inside.name.startswith("@") else inside
        if owner.name == "node_modules":
            manifest = json.loads(path.read_text())
            found.add((manifest["name"], manifest["version"]))
    return found


def test_a_real_tree_installs_from_its_original_lock_file(
    registry: RunningRegistry,
    upstream: Upstream,
    tree: set[tuple[str, str]],
    client_as: Callable[[str, str], NpmClient],
    tmp_path: Path,
) -> None:
    assert '"resolved"' not in upstream.lock
    for project in (tmp_path / "npm", tmp_path / "pnpm"):
        npm_project(project, MANIFEST)
        (project / "package-lock.json").write_text(upstream.lock)
    registry.tap.clear()
    client_as("npm", "")("ci", cwd=tmp_path / "npm")
    assert installed(tmp_path / "npm") == tree
    assert (tmp_path / "npm" / "package-lock.json").read_text() == upstream.lock
    tarballs = [one for one in registry.tap.said() if ".tgz" in one]
    assert len(set(tarballs)) == len(tree)

    pnpm = client_as("pnpm", "")
    pnpm("import", cwd=tmp_path / "pnpm")
    pnpm("install", "--frozen-lockfile", cwd=tmp_path / "pnpm")
    assert installed(tmp_path / "pnpm") == tree


def test_the_documents_of_a_real_tree_say_what_its_tarballs_say(
    registry: RunningRegistry, upstream: Upstream, tree: set[tuple[str, str]]
) -> None:
    assert len(tree) == len(upstream.packages)
    for package in upstream.packages:
        manifest = package.manifest()
        version = packument(registry, package.name)["versions"][package.version]
        for field in ("dependencies", "peerDependencies", "engines", "description"):
            assert version.get(field) == manifest.get(field), f"{package.name} {field}"
