"""nginx with the shipped configuration answers as the app does, from the tree where it can."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import cargo_client
import npm_client
from cargo_client import Cargo, consumer, library
from fronted_registry import FrontedRegistry
from npm_client import NpmClient, npm_project
from npm_verbs import ALL, install, publish
from process_tree import wait_until
from uploads import npm_body, tarball

ABBREVIATED = "application/vnd.npm.install-v1+json"
NPM_ACCEPT = f"{ABBREVIATED}; q=1.0, application/json; q=0.8, */*"
INDEX = "cargo/index/de/mo/demo"
OWN = {"date", "server", "connection", "etag", "x-request-id"}
"""Headers that are each server's own: the ETag is of another making."""


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontedRegistry]:
    """A registry behind nginx with the crate demo and the packages demo and @acme/demo."""
    running = FrontedRegistry(tmp_path_factory.mktemp("fronted"))
    try:
        running.start()
        running.add_user("alice")
        cargo_client.published(running, "demo", "1.0.0")
        for name in ("demo", "@acme/demo"):
            npm_client.published(running, name, "1.0.0")
        running.wait_for(f"{INDEX}.gz", "npm/@acme/demo.abbreviated.json.gz")
        yield running
    finally:
        running.close()


def asked_of_the_app(running: FrontedRegistry, path: str, **headers: str) -> bool:
    """Ask nginx, and say whether it asked the app; the two answers must be equal."""
    before = len(running.tap.exchanges)
    ours = running.http.get(path, headers=headers)
    passed = len(running.tap.exchanges) > before
    theirs = running.direct.get(path, headers=headers)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert _headers(ours) == _headers(theirs)
    return passed


def _headers(answer: httpx.Response) -> dict[str, str]:
    return {name: text for name, text in answer.headers.items() if name not in OWN}


@pytest.mark.parametrize("encoding", ["gzip", "identity", "gzip;q=0", "br, gzip"])
@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/cargo/index/config.json", "*/*"),
        (f"/{INDEX}", "*/*"),
        ("/npm/demo", "*/*"),
        ("/npm/demo", ""),
        ("/npm/demo", "application/json"),
        ("/npm/demo", NPM_ACCEPT),
        ("/npm/demo", ABBREVIATED),
        ("/npm/@acme/demo", NPM_ACCEPT),
        ("/npm/@acme%2fdemo", NPM_ACCEPT),
        ("/npm/@acme%2Fdemo", "application/json"),
        ("/npm/%40acme%2fdemo", "*/*"),
    ],
)
def test_documents_are_answered_from_the_tree_as_the_app_does(
    fronted: FrontedRegistry, path: str, accept: str, encoding: str
) -> None:
    headers = {"accept-encoding": encoding, "accept": accept}
    assert not asked_of_the_app(fronted, path, **headers)


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/npm/demo?write=true", NPM_ACCEPT),
        ("/npm/@acme%2fdemo?write=true", "*/*"),
        ("/npm/demo?x", "*/*"),
        ("/npm/demo", f"application/json, {ABBREVIATED};q=0.5"),
        ("/npm/demo", f"{ABBREVIATED};q=0, */*"),
        ("/npm/demo", f"text/html, {ABBREVIATED}"),
        ("/npm/demo/1.0.0", "*/*"),
        ("/npm/@acme%2fdemo/latest", "*/*"),
        ("/npm/demo/-/demo-1.0.0.tgz", "*/*"),
        ("/npm/@acme%2fdemo/-/demo-1.0.0.tgz", "*/*"),
        ("/npm/-/ping", "*/*"),
        ("/npm/@acme", "*/*"),
        ("/cargo/index/de/mo", "*/*"),
        ("/npm/", "*/*"),
        ("/npm/Demo", "*/*"),
        ("/npm/demo.full.json", "*/*"),
        ("/npm/none", NPM_ACCEPT),
        ("/cargo/index/de/mo/Demo", "*/*"),
        ("/cargo/index/de/mo/demo.gz", "*/*"),
        ("/cargo/index/de/mo/demos", "*/*"),
        ("/cargo/index/de/mo/", "*/*"),
        ("/cargo/crates/demo/1.0.0/download", "*/*"),
        ("/cargo/api/v1/crates/demo/owners", "*/*"),
        ("/crates/demo", "text/html"),
        ("/health", "*/*"),
        ("/nowhere", "*/*"),
    ],
)
def test_everything_else_is_the_apps_answer(
    fronted: FrontedRegistry, path: str, accept: str
) -> None:
    assert asked_of_the_app(fronted, path, accept=accept)


def test_no_file_of_the_trees_own_can_be_had(fronted: FrontedRegistry) -> None:
    for path in ("/npm.of", "/new/", "/old/", "/npm/../npm.of", "/cargo/index/../../npm.of"):
        assert fronted.http.get(path).status_code == 404, path


def test_a_head_is_a_get_without_a_body(fronted: FrontedRegistry) -> None:
    for path in (f"/{INDEX}", "/npm/demo"):
        head, get = fronted.http.head(path), fronted.http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


def test_writes_and_other_methods_reach_the_app(fronted: FrontedRegistry) -> None:
    for method, path in (
        ("PUT", "/npm/demo"),
        ("POST", f"/{INDEX}"),
        ("DELETE", "/npm/demo/-rev/1"),
        ("OPTIONS", "/npm/demo"),
        ("POST", "/cargo/index/config.json"),
    ):
        ours, theirs = (one.request(method, path) for one in (fronted.http, fronted.direct))
        assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
        assert "x-request-id" in ours.headers, "the app gives every answer an id"


def test_a_body_beyond_nginxs_default_limit_arrives_whole(fronted: FrontedRegistry) -> None:
    manifest = {"name": "large", "version": "1.0.0"}
    packed = tarball(manifest, **{"noise.bin": os.urandom(4_000_000)})
    answer = npm_client.put_package(fronted, npm_body(manifest, packed))
    assert answer.status_code == 201, answer.text
    url = fronted.http.get("/npm/large").json()["versions"]["1.0.0"]["dist"]["tarball"]
    assert url.startswith(fronted.nginx.url)
    assert fronted.http.get(url).content == packed


def test_a_forged_host_reaches_no_document(fronted: FrontedRegistry) -> None:
    for path in ("/cargo/index/config.json", "/npm/demo", "/npm/none", "/cargo/index/de/mo", "/"):
        answer = fronted.http.get(path, headers={"host": "forged.example"})
        assert "forged.example" not in answer.text + str(answer.headers), path


def test_the_app_learns_where_a_client_is(fronted: FrontedRegistry) -> None:
    fronted.http.get("/npm/-/ping", headers={"x-forwarded-for": "203.0.113.9"})
    seen = fronted.tap.exchanges[-1].headers
    assert seen["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"


def test_a_publish_is_seen_through_nginx_as_soon_as_it_is_answered(
    fronted: FrontedRegistry,
) -> None:
    for number in range(1, 30):
        version = f"1.0.{number}"
        cargo_client.published(fronted, "quick", version)
        npm_client.published(fronted, "@acme/quick", version)
        lines = fronted.http.get("/cargo/index/qu/ic/quick").text.splitlines()
        assert json.loads(lines[-1])["vers"] == version
        for accept in (NPM_ACCEPT, "*/*"):
            seen = npm_client.packument(fronted, "@acme/quick", accept)
            assert seen["dist-tags"]["latest"] == version


def test_a_stale_etag_is_never_answered_with_304(fronted: FrontedRegistry) -> None:
    """Tags move between versions of one length, many times a second: sizes stay the same."""
    for number in range(3):
        npm_client.published(fronted, "tagged", f"1.0.{number}")
    etags: dict[str, bytes] = {}
    for number in range(24):
        version = f"1.0.{number % 3}"
        answer = fronted.http.put(
            "/npm/-/package/tagged/dist-tags/latest", json=version, headers=fronted.token()
        )
        assert answer.status_code == 201, answer.text
        if number % 4 == 0:
            fronted.wait_for("npm/tagged.full.json.gz", "npm/tagged.abbreviated.json.gz")
        for accept in (NPM_ACCEPT, "*/*"):
            for etag in [*etags, "none"]:
                headers = {"accept": accept, "if-none-match": etag}
                seen = fronted.http.get("/npm/tagged", headers=headers)
                if seen.status_code == 200:
                    assert seen.json()["dist-tags"]["latest"] == version
                    assert etags.setdefault(seen.headers["etag"], seen.content) == seen.content
                else:
                    assert json.loads(etags[etag])["dist-tags"]["latest"] == version
    assert len(etags) > 24


def test_an_unchanged_document_is_answered_with_304_from_the_tree(
    fronted: FrontedRegistry,
) -> None:
    for path in (f"/{INDEX}", "/npm/demo"):
        etag = fronted.http.get(path).headers["etag"]
        before = len(fronted.tap.exchanges)
        again = fronted.http.get(path, headers={"if-none-match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert len(fronted.tap.exchanges) == before
        assert "last-modified" not in again.headers


def test_an_unpublished_package_is_the_tombstone_of_the_app(fronted: FrontedRegistry) -> None:
    npm_client.published(fronted, "gone", "1.0.0")
    rev = fronted.http.get("/npm/gone?write=true").json()["_rev"]
    assert fronted.http.delete(f"/npm/gone/-rev/{rev}", headers=fronted.token()).status_code == 200
    asked_of_the_app(fronted, "/npm/gone")
    fronted.wait_for("npm/gone.full.json.gz")
    assert not asked_of_the_app(fronted, "/npm/gone")


# -- killed ----------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_projector_and_writer_may_be_killed_while_packages_are_published(
    fronted: FrontedRegistry,
) -> None:
    stopped = threading.Event()
    answered: list[int] = []
    wrong: list[str] = []

    def publish_on() -> None:
        while not stopped.is_set():
            number = len(answered)
            npm_client.published(fronted, "hunted", f"2.0.{number}")
            # While nobody projects nobody waits: then the app is behind, too.
            theirs, ours = (_newest(one) for one in (fronted.direct, fronted.http))
            if ours < theirs:
                wrong.append(f"2.0.{theirs} at the app, 2.0.{ours} at nginx")
            answered.append(number)

    thread = threading.Thread(target=publish_on)
    thread.start()
    try:
        for _ in range(6):
            # All but the web server, the first: projector, rebuild (which has ended), writer.
            for pid in sorted(children(fronted.pid))[1:]:
                os.kill(pid, signal.SIGKILL)
            enough = len(answered) + 4
            while len(answered) < enough and thread.is_alive():
                time.sleep(0.02)
    finally:
        stopped.set()
        thread.join()
    assert wrong == []
    assert len(answered) >= 24
    # Who publishes while the projector is dead is not waited for.
    wait_until(lambda: caught_up(fronted), "every projection has caught up")
    fronted.wait_for("npm/hunted.full.json.gz", "npm/hunted.abbreviated.json.gz")
    for accept in (NPM_ACCEPT, "*/*"):
        assert not asked_of_the_app(fronted, "/npm/hunted", accept=accept)
    checked = fronted.cli("rebuild", "static-tree", "--check")
    assert "differ" not in checked


def caught_up(fronted: FrontedRegistry) -> bool:
    health = fronted.direct.get("/health").json()
    return all(one["lag_events"] == 0 for one in health["projections"].values())


def _newest(client: httpx.Client) -> int:
    """Of the package, as its installers see it; -1 while there is none."""
    answer = client.get("/npm/hunted", headers={"accept": NPM_ACCEPT})
    if answer.status_code == 404:
        return -1
    assert answer.status_code == 200, answer.text
    return int(answer.json()["dist-tags"]["latest"].rpartition(".")[2])


def test_a_rebuild_gives_the_same_answers_and_etags(fronted: FrontedRegistry) -> None:
    before = {path: fronted.http.get(path) for path in (f"/{INDEX}", "/npm/demo")}
    printed = fronted.cli("rebuild", "static-tree")
    assert "rebuilt" in printed
    assert "differ" not in printed
    for path, answer in before.items():
        again = fronted.http.get(path)
        assert (again.headers["etag"], again.content) == (answer.headers["etag"], answer.content)
    (fronted.tree / "npm" / "demo.full.json").write_bytes(b"damaged")
    checked = fronted.cli("rebuild", "static-tree", "--check", fails=True)
    assert "npm/demo.full.json" in checked
    fronted.cli("rebuild", "static-tree")
    assert fronted.http.get("/npm/demo").json()["name"] == "demo"


# -- the clients themselves ------------------------------------------------------------------------


@pytest.mark.client
def test_cargo_publishes_and_fetches_through_nginx(
    fronted: FrontedRegistry, tmp_path: Path
) -> None:
    cargo = Cargo(tmp_path / "home", fronted, tmp_path / "target", "alice")
    cargo("publish", "--no-verify", "--allow-dirty", "--registry", "ledger",
          cwd=library(tmp_path / "lib", "via-nginx", "1.0.0", _about()))  # fmt: skip
    program = consumer(tmp_path / "program", 'via-nginx = { version = "1", registry = "ledger" }\n')
    cargo("fetch", cwd=program)
    assert "via-nginx" in (program / "Cargo.lock").read_text()


def _about() -> str:
    return 'description = "a library"\nlicense = "MIT"\n'


@pytest.mark.client
@pytest.mark.parametrize("command", ALL)
def test_npm_clients_install_through_nginx(
    fronted: FrontedRegistry, tmp_path: Path, command: str
) -> None:
    name = f"@acme/by-{command}"
    client = NpmClient(command, tmp_path / "home", fronted, "alice", always_auth=True)
    publish(client, npm_project(tmp_path / "package", {"name": name, "version": "1.0.0"}))
    manifest = {"name": "app", "version": "1.0.0", "license": "MIT", "dependencies": {name: "*"}}
    app = npm_project(tmp_path / "app", manifest)
    install(client, app)
    installed: Any = json.loads((app / "node_modules" / name / "package.json").read_text())
    assert installed["version"] == "1.0.0"
