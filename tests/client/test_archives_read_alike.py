"""Every client unpacks what the registry read: thousands of odd archives, or a refusal by us.

Each client installs in one run all the archives that our readers accept, from a server that checks
nothing, and must find the same files with the same bytes.
"""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from cargo_client import Cargo, consumer
from npm_client import NpmClient, npm_project
from npm_verbs import ALL
from odd_archives import Member, Oddities, archive
from packledger.commands.archives.tar_reader import iter_tar_gz
from packledger.commands.cargo.archive import read_crate_archive
from packledger.commands.npm.archive import read_npm_archive
from packledger.domain.errors import RegistryError
from processes import run
from still_registry import StillRegistry

pytestmark = pytest.mark.client

COUNT = 3_000
MAX_BYTES = 1 << 24
Files = dict[str, bytes]
INSTALL = {
    "npm": ["install", "--ignore-scripts", "--no-audit", "--no-fund"],
    "pnpm": ["install", "--ignore-scripts"],
    "yarn1": ["install", "--ignore-scripts", "--non-interactive"],
    "berry": ["install", "--mode=skip-build"],
    "bun": ["install", "--ignore-scripts"],
}


def package(random: Random, name: str) -> bytes:
    manifest = json.dumps({"name": name, "version": "1.0.0"}).encode()
    ordinary = (
        Member(b"package/package.json", manifest),
        Member(b"package/index.js", b"exports.it = 1\n"),
    )
    return archive(Oddities(random, "package", "package.json").odd(), ordinary)


def crate(random: Random, name: str) -> bytes:
    root = f"{name}-1.0.0"
    manifest = f'[package]\nname = "{name}"\nversion = "1.0.0"\n'.encode()
    ordinary = (
        Member(f"{root}/Cargo.toml".encode(), manifest),
        Member(f"{root}/src/lib.rs".encode(), b"pub fn it() {}\n"),
    )
    return archive(Oddities(random, root, "Cargo.toml").odd(), ordinary)


def files_of(packed: bytes) -> Files:
    """What our reader finds below the first folder."""
    members = iter_tar_gz(io.BytesIO(packed), max_unpacked_bytes=MAX_BYTES)
    return {
        entry.path.partition("/")[2]: b"".join(iter(lambda e=entry: e.read(MAX_BYTES), b""))
        for entry in members
        if entry.kind == "file"
    }


def files_below(folder: Path) -> Files:
    paths = (path for path in folder.resolve().rglob("*") if path.is_file())
    return {str(path.relative_to(folder.resolve())): path.read_bytes() for path in paths}


def accepted(
    make: Callable[[Random, str], bytes], read: Callable[[str, bytes], object]
) -> dict[str, bytes]:
    """The generated archives that our reader accepts, by a name for each."""
    random, found = Random(12), {}
    for number in range(COUNT):
        name = f"odd{number:04}"
        packed = make(random, name)
        try:
            read(name, packed)
        except RegistryError:
            continue
        found[name] = packed
    # else the refusals would make the comparison empty
    assert len(found) > COUNT // 20
    return found


@pytest.fixture(scope="module")
def packages() -> dict[str, bytes]:
    return accepted(package, lambda _, packed: read_npm_archive(io.BytesIO(packed), MAX_BYTES))


@pytest.fixture(scope="module")
def crates() -> dict[str, bytes]:
    return accepted(
        crate,
        lambda name, packed: read_crate_archive(io.BytesIO(packed), name, "1.0.0", MAX_BYTES),
    )


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], StillRegistry]]:
    started: list[StillRegistry] = []

    def start(archives: dict[str, bytes]) -> StillRegistry:
        started.append(StillRegistry(archives))
        return started[-1]

    yield start
    for registry in started:
        registry.close()


def different(archives: dict[str, bytes], unpacked: Callable[[str], Files]) -> dict[str, object]:
    """What a client found otherwise: the archive's name, and the files as we and it have them."""
    found = {}
    for name, packed in archives.items():
        ours, theirs = files_of(packed), unpacked(name)
        if ours != theirs:
            found[name] = (sorted(ours), sorted(theirs))
    return found


@pytest.mark.parametrize("command", ALL)
def test_npm_clients_unpack_what_we_read(
    packages: dict[str, bytes],
    serve: Callable[[dict[str, bytes]], StillRegistry],
    tmp_path: Path,
    command: str,
) -> None:
    client = NpmClient(command, tmp_path / "home", serve(packages))
    needs = dict.fromkeys(packages, "1.0.0")
    app = {"name": "app", "version": "1.0.0", "license": "MIT", "dependencies": needs}
    project = npm_project(tmp_path / "app", app)
    client(*INSTALL[command], cwd=project)
    installed = project / "node_modules"
    assert different(packages, lambda name: files_below(installed / name)) == {}


def test_cargo_unpacks_what_we_read(
    crates: dict[str, bytes],
    serve: Callable[[dict[str, bytes]], StillRegistry],
    tmp_path: Path,
) -> None:
    cargo = Cargo(tmp_path / "home", serve(crates), tmp_path / "target")
    needs = "".join(f'{name} = {{ version = "1", registry = "ledger" }}\n' for name in crates)
    run(["cargo", "fetch"], cwd=consumer(tmp_path / "app", needs), env=cargo.env, timeout_s=240)
    (source,) = (tmp_path / "home" / "registry" / "src").iterdir()

    def unpacked(name: str) -> Files:
        found = files_below(source / f"{name}-1.0.0")
        del found[".cargo-ok"]  # cargo's own mark
        return found

    assert different(crates, unpacked) == {}
