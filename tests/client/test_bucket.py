"""A registry whose blobs are in a bucket: every client gets its files, by us or by a redirect."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from cargo_client import Cargo, consumer, library
from npm_client import NpmClient, npm_project, packument, put_package
from npm_verbs import ALL, install, publish
from running_registry import RunningRegistry
from s3_server import SECRET_KEY, S3Server, bucket_for, shared_server
from uploads import npm_body, tarball

pytestmark = [pytest.mark.client, pytest.mark.service]

DEADLINE_S = 20
CARGO_FILE, NPM_FILE = "/cargo/crates/held/1.0.0/download", "/npm/@acme/held/-/held-1.0.0.tgz"
PAYLOAD = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1 << 15))
"""A mebibyte that no archive makes smaller."""


def opened(folder: Path, server: S3Server, **settings: Any) -> Iterator[RunningRegistry]:
    running = RunningRegistry(
        folder, **server.settings(bucket_for(folder)), downloads_flush_s=0.2, **settings
    )
    try:
        running.start()
        for name in ("alice", "bob"):
            running.add_user(name)
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """It answers downloads itself."""
    yield from opened(tmp_path_factory.mktemp("streamed"), shared_server(), s3_prefix="team/")


@pytest.fixture(scope="module")
def redirecting(
    tmp_path_factory: pytest.TempPathFactory, cargo_target: Path
) -> Iterator[RunningRegistry]:
    """Private, and it sends clients to the bucket, by another name than its own for it."""
    server = shared_server()
    folder = tmp_path_factory.mktemp("redirecting")
    public = f"http://localhost:{server.port}"
    for running in opened(
        folder, server, private=True, s3_redirect=True, s3_public_endpoint=public
    ):
        publish_both(running, folder, cargo_target)
        yield running


def cargo_of(registry: RunningRegistry, home: Path, target: Path) -> Cargo:
    cargo = Cargo(home, registry, target, "alice")
    cargo.env["CARGO_REGISTRIES_LEDGER_CREDENTIAL_PROVIDER"] = "cargo:token"
    return cargo


def publish_both(registry: RunningRegistry, folder: Path, target: Path) -> None:
    crate = library(folder / "crate", "held", "1.0.0", 'description = "x"\nlicense = "MIT"\n')
    (crate / "payload").write_bytes(PAYLOAD)
    cargo = cargo_of(registry, folder / "cargo-home", target)
    cargo("publish", "--registry", "ledger", "--no-verify", "--allow-dirty", cwd=crate)
    package = npm_project(folder / "package", {"name": "@acme/held", "version": "1.0.0"})
    (package / "payload").write_bytes(PAYLOAD)
    publish(NpmClient("npm", folder / "npm-home", registry, "alice"), package)


def held_by(registry: RunningRegistry, folder: Path, target: Path, *commands: str) -> None:
    """Have cargo and npm clients fetch what was published, and look at it."""
    project = consumer(folder / "rust", 'held = { version = "1", registry = "ledger" }\n')
    cargo = cargo_of(registry, folder / "home", target)
    cargo("fetch", cwd=project)
    (source,) = (folder / "home" / "registry" / "src").glob("*/held-1.0.0/payload")
    assert source.read_bytes() == PAYLOAD
    for command in commands:
        client = NpmClient(command, folder / command, registry, "alice", always_auth=True)
        needs = {"name": "app", "version": "1.0.0", "dependencies": {"@acme/held": "1.0.0"}}
        app = npm_project(folder / f"{command}-app", needs)
        install(client, app)
        assert (app / "node_modules" / "@acme" / "held" / "payload").read_bytes() == PAYLOAD


def test_files_go_through_the_registry_into_the_bucket_and_back(
    registry: RunningRegistry, tmp_path: Path, cargo_target: Path
) -> None:
    publish_both(registry, tmp_path, cargo_target)
    with registry.tap.listening():
        held_by(registry, tmp_path, cargo_target, "npm")
        downloads = {one for one in registry.tap.said() if one.split()[1] in {CARGO_FILE, NPM_FILE}}
    assert downloads == {f"GET {CARGO_FILE} 200", f"GET {NPM_FILE} 200"}
    prefix = shared_server().objects / bucket_for(registry.data.parent) / "team" / "sha256"
    for path in (CARGO_FILE, NPM_FILE):
        answer = registry.http.get(path)
        digest = hashlib.sha256(answer.content).hexdigest()
        assert (prefix / digest[:2] / digest[2:]).read_bytes() == answer.content
        assert answer.headers["etag"] == f'"{digest}"'
        asked = registry.http.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
        for name in ("content-length", "content-type", "etag", "cache-control"):
            assert asked.headers[name] == answer.headers[name]
    assert [path.name for path in (registry.data / "blobs").iterdir()] == ["uploads"]
    assert list((registry.data / "blobs" / "uploads").iterdir()) == []


def test_a_readme_is_read_from_the_bucket(registry: RunningRegistry) -> None:
    manifest = {"name": "told", "version": "1.0.0"}
    packed = tarball(manifest, **{"README.md": b"Kept in a *bucket*."})
    assert put_package(registry, npm_body(manifest, packed)).status_code == 201
    assert packument(registry, "told")["readme"] == "Kept in a *bucket*."
    page = registry.http.get("/packages/told", headers={"Accept": "text/html"})
    assert "Kept in a <em>bucket</em>." in page.text


def test_every_client_follows_the_redirect(
    redirecting: RunningRegistry, tmp_path: Path, cargo_target: Path
) -> None:
    with redirecting.tap.listening():
        held_by(redirecting, tmp_path, cargo_target, *ALL)
        downloads = [one for one in redirecting.tap.said() if "held-1" in one or "crates/" in one]
    assert {f"GET {CARGO_FILE} 302", f"GET {NPM_FILE} 302"} <= set(downloads)
    assert {one.rpartition(" ")[2] for one in downloads} <= {"302", "401"}


@pytest.mark.parametrize(
    ("path", "content_type", "filename"),
    [
        (CARGO_FILE, "application/gzip", "held-1.0.0.crate"),
        (NPM_FILE, "application/octet-stream", "held-1.0.0.tgz"),
    ],
)
def test_a_redirect_needs_a_token_and_its_goal_none(
    redirecting: RunningRegistry, path: str, content_type: str, filename: str
) -> None:
    for method in ("GET", "HEAD"):
        refused = redirecting.http.request(method, path)
        assert (refused.status_code, "location" in refused.headers) == (401, False)
        sent = redirecting.http.request(method, path, headers=redirecting.token("bob"))
        assert (sent.status_code, sent.headers["cache-control"]) == (302, "no-store")
        goal = urlsplit(sent.headers["location"])
        assert goal.netloc == f"localhost:{shared_server().port}"
        assert parse_qs(goal.query)["X-Amz-Expires"] == ["300"]
        assert SECRET_KEY not in goal.query
        answer = httpx.request(method, goal.geturl())
        assert answer.status_code == 200
        assert int(answer.headers["content-length"]) > len(PAYLOAD)
    whole = httpx.get(redirecting.http.get(path, headers=redirecting.token()).headers["location"])
    assert whole.headers["content-type"] == content_type
    assert whole.headers["content-disposition"] == f'attachment; filename="{filename}"'
    assert hashlib.sha256(whole.content).hexdigest() in str(whole.url).replace("/", "")
    unsigned = str(whole.url).partition("?")[0]
    assert httpx.get(unsigned).status_code == 403


def test_redirects_are_counted_as_downloads(redirecting: RunningRegistry) -> None:
    who = redirecting.token()

    def counted() -> int:
        answer = redirecting.http.get("/cargo/api/v1/crates?q=held", headers=who)
        return int(answer.json()["crates"][0]["downloads"])

    before = settled(counted)
    for method in ("GET", "HEAD", "GET"):
        redirecting.http.request(method, CARGO_FILE, headers=who)
    deadline_s = time.monotonic() + DEADLINE_S
    while counted() < before + 2 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert settled(counted) == before + 2


def settled(count: Any) -> int:
    """A count once no flush adds to it any more: two flushes long the same."""
    last, since_s = count(), time.monotonic()
    while time.monotonic() - since_s < 0.5:
        time.sleep(0.05)
        if (now := count()) != last:
            last, since_s = now, time.monotonic()
    return int(last)
