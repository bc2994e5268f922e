"""`npm ci` of a real tree from a cold cache, beside Verdaccio, which npm installs for this.

The tree comes from where npm is configured to install from on this machine; both registries are
given the same tarballs, and installs are taken in turns.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from figures import Figure
from registry_server import Server, free_port
from upstream import HERE, NODE, Package, npm, npm_project, tarballs

from uploads import npm_document

ROUNDS = 5
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
    npm_project(project, DEPENDENCIES)
    npm(project, folder / "upstream", "install", "--omit-lockfile-registry-resolved")
    published = list(tarballs(project, folder / "upstream"))
    server, theirs = Server(folder / "ours"), _start_verdaccio(folder / "verdaccio")
    try:
        both = (
            Registry(f"http://127.0.0.1:{server.port}/npm/", server.token),
            Registry(f"http://127.0.0.1:{theirs[1]}/"),
        )
        for registry in both:
            for package in published:
                _publish(registry, package)
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
    what = f"{len(published)} packages, cold cache, the best of {rounds}"
    seen = f"{ours_s:.2f} s, Verdaccio {theirs_s:.2f} s; {what}"
    return [Figure("npm ci", "x Verdaccio", ours_s / theirs_s, 1.0, seen)]


def _start_verdaccio(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Install it if it is not there, and start it; return it and its port."""
    place = HERE / "verdaccio"
    if not (place / "node_modules" / "verdaccio").exists():
        npm(place, folder.parent / "upstream", "ci")
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


def _publish(registry: Registry, package: Package) -> None:
    manifest, packed = package.manifest, package.packed
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
    npm(project, cache, "ci", f"--registry={registry.url}")
    took_s = time.perf_counter() - began_s
    shutil.rmtree(cache)
    return took_s
