"""`npm ci` of a real tree from a cold cache, beside Verdaccio, which npm installs for this.

The tree comes from where npm is configured to install from on this machine; both registries are
given the same tarballs, and installs are taken in turns.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

from figures import Figure
from server import Server, free_port

from uploads import npm_document

ROUNDS = 5
HERE = Path(__file__).parent
NPM = HERE.parent / "tests" / "client" / "node_modules" / ".bin" / "npm"
NODE = Path(sys.executable).with_name("node")
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
DEPENDENCIES = {
    "express": "^4",
    "@babel/core": "^7",
    "@types/express": "^4",
    "chalk": "^4",
    "yargs": "^17",
    "use-sync-external-store": "^1",
    "react": "^18",
}
CONFIGURATION = """
storage: ./storage
auth: { htpasswd: { file: ./htpasswd } }
packages: { "**": { access: $all, publish: $anonymous } }
max_body_size: 100mb
log: { type: stdout, level: error }
"""


@dataclass(frozen=True)
class Registry:
    """Where npm installs from."""

    url: str
    token: str = ""


def measure(folder: Path, rounds: int = ROUNDS) -> list[Figure]:
    """Return how long `npm ci` takes as a multiple of what it takes with Verdaccio."""
    folder = folder / "installing"
    project = folder / "project"
    project.mkdir(parents=True)
    manifest = {"name": "tree", "version": "1.0.0", "private": True, "dependencies": DEPENDENCIES}
    (project / "package.json").write_text(json.dumps(manifest))
    _npm(project, folder / "upstream", "install", "--omit-lockfile-registry-resolved")
    tarballs = list(_tarballs(project, folder / "upstream"))
    server, theirs = Server(folder / "ours"), _start_verdaccio(folder / "verdaccio")
    try:
        both = (
            Registry(f"http://127.0.0.1:{server.port}/npm/", server.token),
            Registry(f"http://127.0.0.1:{theirs[1]}/"),
        )
        for registry in both:
            for tarball in tarballs:
                _publish(registry, tarball)
        took: list[list[float]] = [[], []]
        for number in range(2 * rounds + 2):
            took_s = _install(project, folder / f"cache-{number}", both[number % 2])
            if number >= 2:  # the first of each only warms up
                took[number % 2].append(took_s)
    finally:
        theirs[0].terminate()
        theirs[0].wait()
        server.stop()
    ours_s, theirs_s = min(took[0]), min(took[1])  # what else runs here only adds
    what = f"{len(tarballs)} packages, cold cache, the best of {rounds}"
    seen = f"{ours_s:.2f} s, Verdaccio {theirs_s:.2f} s; {what}"
    return [Figure("npm ci", "x Verdaccio", ours_s / theirs_s, 1.0, seen)]


def _npm(project: Path, cache: Path, *arguments: str) -> None:
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(NPM), *arguments, *QUIET, f"--cache={cache}"]
    finished = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stdout}{finished.stderr}")


def _tarballs(project: Path, cache: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield the manifest and bytes of every package, from npm's cache.

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
        packed = (cache / path).read_bytes()
        yield {**_manifest(packed), "version": entry["version"]}, packed


def _manifest(packed: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        for member in archive:
            if member.name.count("/") == 1 and member.name.endswith("/package.json"):
                file = archive.extractfile(member)
                assert file is not None
                manifest: dict[str, Any] = json.load(file)
                return manifest
    raise RuntimeError("a tarball without package.json")


def _start_verdaccio(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Install it if it is not there, and start it; return it and its port."""
    place = HERE / "verdaccio"
    if not (place / "node_modules" / "verdaccio").exists():
        _npm(place, folder.parent / "upstream", "ci")
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIGURATION)
    port = free_port()
    program = str(place / "node_modules" / "verdaccio" / "bin" / "verdaccio")
    command = [str(NODE), program, "--config", "config.yaml", "--listen", f"127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/-/ping")
            if connection.getresponse().status == 200:
                return process, port
        except OSError:
            time.sleep(0.1)
    process.kill()
    process.wait()
    raise RuntimeError(f"verdaccio did not start:\n{(folder / 'log').read_text()}")


def _publish(registry: Registry, package: tuple[dict[str, Any], bytes]) -> None:
    manifest, packed = package
    host, _, path = registry.url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=60)
    headers = {"content-type": "application/json"}
    if registry.token:
        headers["authorization"] = f"Bearer {registry.token}"
    name, version = manifest["name"].replace("/", "%2f"), manifest["version"]
    body = npm_document({**manifest, "_id": f"{manifest['name']}@{version}"}, packed)
    connection.request("PUT", f"/{path}{name}", body, headers)
    answer = connection.getresponse()
    if answer.status not in {200, 201}:
        raise RuntimeError(f"{name} {version}: {answer.status} {answer.read()!r}")
    connection.close()


def _install(project: Path, cache: Path, registry: Registry) -> float:
    shutil.rmtree(project / "node_modules", ignore_errors=True)
    began_s = time.perf_counter()
    _npm(project, cache, "ci", f"--registry={registry.url}")
    took_s = time.perf_counter() - began_s
    shutil.rmtree(cache)
    return took_s
