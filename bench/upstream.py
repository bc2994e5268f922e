"""Real crates and npm packages, fetched by cargo and npm from where this machine has them from.

They stay in `build/upstream` for the next run; `make clean` removes them.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
KEPT = HERE.parent / "build" / "upstream"
NPM = HERE.parent / "tests" / "client" / "node_modules" / ".bin" / "npm"
NODE = Path(sys.executable).with_name("node")
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")

# What programs of many kinds depend on: about 420 crates of 180 KB, the largest of 5 MB.
CRATES = """
[package]
name = "real"
version = "0.1.0"
edition = "2021"
[dependencies]
axum = "0.7"
chrono = "0.4"
clap = { version = "4", features = ["derive"] }
criterion = "0.5"
crossterm = "0.28"
diesel = { version = "2", features = ["sqlite"] }
getrandom = { version = "0.2", features = ["js"] }
git2 = "0.19"
hashbrown = { version = "0.14", features = ["rayon"] }
image = "0.25"
notify = "6"
proptest = "1"
rand = "0.8"
ratatui = "0.29"
regex = "1"
reqwest = { version = "0.12", features = ["json", "gzip"] }
rusqlite = { version = "0.32", features = ["bundled"] }
semver = "1"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
time = { version = "0.3", features = ["formatting"] }
tokio = { version = "1", features = ["full"] }
tracing-subscriber = { version = "0.3", features = ["env-filter"] }
"""
# A web application and its tools: about 550 packages.
PACKAGES = {
    "@babel/core": "^7",
    "@babel/preset-env": "^7",
    "@types/express": "^4",
    "chalk": "^4",
    "eslint": "^8",
    "express": "^4",
    "jest": "^29",
    "react": "^18",
    "rollup": "^4",
    "typescript": "^5",
    "use-sync-external-store": "^1",
    "webpack": "^5",
    "yargs": "^17",
}


class Package(NamedTuple):
    """A version. manifest: package.json, empty for a crate; packed: its `.crate` or `.tgz`."""

    name: str
    version: str
    manifest: dict[str, Any]
    packed: bytes


def crates() -> list[Package]:
    """Return what `CRATES` depends on."""
    project, home = KEPT / "crates", KEPT / "cargo-home"
    if not (project / "fetched").exists():
        (project / "src").mkdir(parents=True, exist_ok=True)
        home.mkdir(exist_ok=True)
        (project / "Cargo.toml").write_text(CRATES)
        (project / "src" / "main.rs").write_text("fn main() {}\n")
        configured = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "config.toml"
        if configured.exists():
            shutil.copy(configured, home)
        environment = {**os.environ, "CARGO_HOME": str(home)}
        _run(["cargo", "fetch"], project, environment)
        (project / "fetched").touch()
    found = []
    for package in tomllib.loads((project / "Cargo.lock").read_text())["package"]:
        if "source" in package:
            name, version = package["name"], package["version"]
            (file,) = (home / "registry" / "cache").glob(f"*/{name}-{version}.crate")
            found.append(Package(name, version, {}, file.read_bytes()))
    return found


def packages() -> list[Package]:
    """Return what `PACKAGES` depend on."""
    project = KEPT / "npm"
    if not (project / "fetched").exists():
        npm_project(project, PACKAGES)
        npm(project, KEPT / "npm-cache", "install", "--omit-lockfile-registry-resolved")
        shutil.rmtree(project / "node_modules")
        (project / "fetched").touch()
    return list(tarballs(project, KEPT / "npm-cache"))


def npm_project(project: Path, dependencies: Mapping[str, str]) -> None:
    """Make a project that depends on packages."""
    project.mkdir(parents=True, exist_ok=True)
    manifest = {"name": "tree", "version": "1.0.0", "private": True, "dependencies": dependencies}
    (project / "package.json").write_text(json.dumps(manifest))


def npm(project: Path, cache: Path, *arguments: str) -> None:
    """Run npm in a project, with a cache of its own."""
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    command = [str(NPM), *arguments, *QUIET, f"--cache={cache}"]
    _run(command, project, {**os.environ, "PATH": path})


def tarballs(project: Path, cache: Path) -> Iterator[Package]:
    """Yield every package that a project's lock file names, from npm's cache.

    Source: https://github.com/npm/cacache (content-v2/ALGORITHM/2 hex/2 hex/the rest)
    """
    lock = json.loads((project / "package-lock.json").read_text())["packages"]
    seen = set()
    for entry in lock.values():
        algorithm, _, digest = entry.get("integrity", "").partition("-")
        name = base64.b64decode(digest).hex()
        if not name or name in seen:
            continue
        seen.add(name)
        path = Path("_cacache", "content-v2", algorithm, name[:2], name[2:4], name[4:])
        if entry.get("optional") and not (cache / path).exists():
            continue  # it is for another platform
        packed = (cache / path).read_bytes()
        manifest = {**_manifest(packed), "version": entry["version"]}
        yield Package(manifest["name"], entry["version"], manifest, packed)


def _manifest(packed: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        for member in archive:
            if member.name.count("/") == 1 and member.name.endswith("/package.json"):
                file = archive.extractfile(member)
                assert file is not None
                manifest: dict[str, Any] = json.load(file)
                return manifest
    raise RuntimeError("a tarball without package.json")


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stdout}{finished.stderr}")
