"""Real crates with their real manifests: fetched from upstream by cargo, published here, compared.

Cargo fetches a small program's dependencies from wherever this machine's cargo is configured to;
each `.crate` is published as it is, and the registry must derive from it the line that crates.io
has. Then the original lock file must be satisfied by this registry alone.
"""

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cargo_client import Cargo, put_crate
from processes import run
from running_registry import RunningRegistry
from uploads import crate_body
from upstream_index import normalise_own_line, normalise_upstream_line

pytestmark = pytest.mark.client

# Chosen for what their manifests hold: renames, targets, weak features, build scripts, many
# features (web-sys), old and new ways to write them.
MANIFEST = """
[package]
name = "real"
version = "0.1.0"
edition = "2021"
[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = "1"
regex = "1"
rand = "0.8"
clap = { version = "4", features = ["derive"] }
tokio = { version = "1", features = ["full"] }
hashbrown = { version = "0.14", features = ["rayon"] }
time = { version = "0.3", features = ["formatting"] }
semver = "1"
getrandom = { version = "0.2", features = ["js"] }
"""


@dataclass(frozen=True)
class Upstream:
    """A project and the CARGO_HOME that cargo filled for it from upstream."""

    project: Path
    home: Path

    def packages(self) -> list[dict[str, str]]:
        lock = tomllib.loads((self.project / "Cargo.lock").read_text())
        return [package for package in lock["package"] if "source" in package]

    def crate(self, package: dict[str, str]) -> bytes:
        name = f"{package['name']}-{package['version']}.crate"
        (file,) = (self.home / "registry" / "cache").glob(f"*/{name}")
        return file.read_bytes()

    def line(self, package: dict[str, str]) -> dict[str, Any]:
        """The index line that cargo keeps in its cache.

        The cache file is `version byte, u32, etag NUL`, then `version NUL line NUL` for each.
        Source: https://github.com/rust-lang/cargo/blob/master/src/cargo/sources/registry/index/cache.rs
        """
        caches = (self.home / "registry" / "index").glob(f"*/.cache/**/{package['name'].lower()}")
        (file,) = (path for path in caches if path.is_file())
        fields = file.read_bytes()[5:].split(b"\0")
        lines = dict(zip(fields[1::2], fields[2::2], strict=False))
        line: dict[str, Any] = json.loads(lines[package["version"].encode()])
        return line


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    folder = tmp_path_factory.mktemp("upstream")
    project, home = folder / "real", folder / "home"
    (project / "src").mkdir(parents=True)
    home.mkdir()
    (project / "Cargo.toml").write_text(MANIFEST)
    (project / "src" / "main.rs").write_text("fn main() {}\n")
    # How this machine reaches upstream is its own business.
    configured = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "config.toml"
    if configured.exists():
        shutil.copy(configured, home)
    run(["cargo", "fetch"], cwd=project, env={**os.environ, "CARGO_HOME": str(home)})
    return Upstream(project, home)


def index_lines(registry: RunningRegistry, name: str) -> dict[str, Any]:
    lower = name.lower()
    folder = {1: "1", 2: "2", 3: f"3/{lower[0]}"}.get(len(lower), f"{lower[:2]}/{lower[2:4]}")
    answer = registry.http.get(f"/cargo/index/{folder}/{lower}")
    assert answer.status_code == 200, answer.text
    return {line["vers"]: line for line in map(json.loads, answer.text.splitlines())}


def test_real_crates_get_upstreams_lines_and_satisfy_the_original_lock_file(
    registry: RunningRegistry, upstream: Upstream, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    packages = upstream.packages()
    assert len(packages) >= 30
    for package in packages:
        metadata = {"name": package["name"], "vers": package["version"]}
        answer = put_crate(registry, crate_body(metadata, upstream.crate(package)))
        assert answer.status_code == 200, f"{package['name']}: {answer.text}"

    different = {}
    for package in packages:
        theirs = normalise_upstream_line(upstream.line(package))
        ours = normalise_own_line(index_lines(registry, package["name"])[package["version"]])
        fields = [field for field in theirs if theirs[field] != ours[field]]
        if fields:
            of = {field: (theirs[field], ours[field]) for field in fields}
            different[f"{package['name']} {package['version']}"] = of
    assert different == {}

    cargo = cargo_as("")
    replaced = (
        '[source.crates-io]\nreplace-with = "mirror"\n'
        f'[source.mirror]\nregistry = "{registry.index}"\n'
    )
    (cargo.home / "config.toml").write_text(replaced)
    project = shutil.copytree(upstream.project, tmp_path / "real")
    before = (project / "Cargo.lock").read_bytes()
    registry.tap.clear()
    cargo("fetch", "--locked", cwd=project)
    assert (project / "Cargo.lock").read_bytes() == before
    downloads = [one for one in registry.tap.said("/cargo/crates/") if one.endswith(" 200")]
    assert len(downloads) == len(packages)
    # Nothing is left to ask for: every crate that the lock names is there and verified.
    cargo("metadata", "--locked", "--offline", "--format-version", "1", cwd=project)
