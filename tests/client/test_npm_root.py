"""npm at the root of a host of its own: what people have who come from another registry.

The other host is `localhost`, the registry's own one `127.0.0.1`, both the same listener.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from npm_client import NpmClient, npm_project, packument, published
from npm_verbs import ALL, LOCKS, install, install_locked, publish, whoami
from running_registry import RunningRegistry

pytestmark = pytest.mark.client
ABBREVIATED = "application/vnd.npm.install-v1+json"


class Rooted(RunningRegistry):
    """A registry whose clients know npm's own host."""

    @property
    def root(self) -> str:
        return f"http://localhost:{self.tap.port}"

    @property
    def npm(self) -> str:
        return f"{self.root}/"


def rooted(folder: Path, **settings: object) -> Iterator[Rooted]:
    registry = Rooted(folder, **settings)
    registry.env["PACKLEDGER_NPM_ROOT"] = registry.root
    try:
        registry.start()
        for name in ("alice", "bob"):
            registry.add_user(name)
        yield registry
    finally:
        registry.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    yield from rooted(tmp_path_factory.mktemp("rooted"), registration="open")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    yield from rooted(tmp_path_factory.mktemp("private"), private=True)


def test_every_client_publishes_installs_and_locks_at_the_root(
    private: Rooted, tmp_path: Path
) -> None:
    """In a private registry, where a tarball elsewhere would be asked for without the token."""
    for command in ALL:
        client = NpmClient(command, tmp_path / command, private, "alice", always_auth=True)
        client.env["YARN_UNSAFE_HTTP_WHITELIST"] = "localhost"
        name = f"@acme/rooted-{command}"
        manifest = {"name": name, "version": "1.0.0", "license": "MIT"}
        publish(client, npm_project(tmp_path / f"{command}-lib", manifest))
        app = npm_project(tmp_path / f"{command}-app", {"name": "app", "dependencies": {name: "*"}})
        private.tap.clear()
        install(client, app)
        install_locked(client, app)
        assert (app / "node_modules" / name / "index.js").exists()
        lock = (app / LOCKS[command]).read_text()
        assert private.url not in lock
        asked = [one for one in private.tap.exchanges if one.headers["host"][:9] != "localhost"]
        assert asked == []
        if command != "yarn1":
            assert "alice" in whoami(client).stdout


def test_npm_logs_in_searches_and_unpublishes_at_the_root(registry: Rooted, tmp_path: Path) -> None:
    published(registry, "at-root", "1.0.0")
    published(registry, "at-root", "1.0.1")
    alice = NpmClient("npm", tmp_path / "alice", registry, "alice")
    assert json.loads(alice("search", "at-root", "--json").stdout)[0]["name"] == "at-root"
    alice("unpublish", "at-root@1.0.1")
    assert set(packument(registry, "at-root")["versions"]) == {"1.0.0"}
    alice("dist-tag", "add", "at-root@1.0.0", "next")
    assert packument(registry, "at-root")["dist-tags"]["next"] == "1.0.0"


def test_each_host_names_tarballs_at_itself_and_has_its_own_etags(registry: Rooted) -> None:
    name, text = "two-hosts", f'"tarball":"{registry.url}/npm/x'
    published(registry, name, "1.0.0", description=text)
    etags = set()
    for accept in ("application/json", ABBREVIATED):
        for _ in range(2):  # the second time from memory
            for root in (f"{registry.url}/npm", registry.root):
                url, headers = f"{root}/{name}", {"accept": accept}
                answer = registry.http.get(url, headers=headers)
                version = answer.json()["versions"]["1.0.0"]
                assert version["dist"]["tarball"] == f"{root}/{name}/-/{name}-1.0.0.tgz"
                assert version.get("description", text) == text
                assert registry.http.get(version["dist"]["tarball"]).status_code == 200
                etags.add(answer.headers["etag"])
                again = registry.http.get(
                    url, headers={**headers, "if-none-match": answer.headers["etag"]}
                )
                assert again.status_code == 304
    assert len(etags) == 4
    one = registry.http.get(f"{registry.root}/{name}/latest").json()
    assert one["dist"]["tarball"] == f"{registry.root}/{name}/-/{name}-1.0.0.tgz"


def test_nothing_but_npm_is_at_its_host(registry: Rooted) -> None:
    """A page's path is a package's name there: `search`, `crates` and `npm` are packages."""
    for name in ("search", "npm", "login", "health"):
        published(registry, name, "1.0.0")
        answer = registry.http.get(f"{registry.root}/{name}")
        assert answer.json()["name"] == name
    for path in ("/", "/cargo/index/config.json", "/log/checkpoint", "/npm/search", "/metrics"):
        answer = registry.http.get(f"{registry.root}{path}")
        assert answer.status_code == 404, path
        assert answer.json()["error"]
    assert "html" in registry.http.get(f"{registry.url}/").headers["content-type"]
    assert registry.http.get(f"{registry.root}//search").status_code == 400
    forged = registry.http.get("/npm/search", headers={"host": "evil.example.com"})
    assert "evil" not in forged.text


def test_the_gate_of_a_private_registry_is_before_the_root_too(private: Rooted) -> None:
    token = private.token()
    published(private, "closed", "1.0.0")
    paths = ("/closed", "/closed/-/closed-1.0.0.tgz", "/closed/latest", "/-/v1/search", "/-/whoami")
    for path in paths:
        for target in (path, f"{private.root}{path}"):
            headers = {"host": private.root.removeprefix("http://")}
            asked = _raw(private, target, headers)
            assert asked.status_code == 401, (target, asked.text)
        assert private.http.get(f"{private.root}{path}", headers=token).status_code == 200
    assert private.http.get(f"{private.root}/-/ping").status_code == 200


def _raw(registry: Rooted, target: str, headers: dict[str, str]) -> httpx.Response:
    """Ask with a target as it is, absolute or not."""
    request = httpx.Request("GET", registry.url, headers=headers)
    request.extensions["target"] = target.encode()
    return registry.http.send(request)
