"""Both compose files, started as their comments say by the real Compose on a real engine."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cargo_client import Cargo, consumer, library
from composed import Composed, Desk, checkout, commands_in, commands_of
from docker_engine import Engine, engine
from npm_client import NpmClient, npm_project
from process_tree import wait_until
from publications import crate_lines, packument, publication
from recipes import Block
from sealed_registry import BLOCKS, runs
from stand_ins import provide, proxies, put_aside, put_back

pytestmark = [pytest.mark.service, pytest.mark.client, pytest.mark.timeout(900)]

CLUSTER, EMBEDDED = "docker-compose.yml", "docker-compose.embedded.yml"
KILLED = ("postgres", "kafka", "s3", "relay", "project", "sign", "web", "nginx")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("containers") / "packledger")


@pytest.fixture(scope="module")
def docker(source: Path) -> Iterator[Engine]:
    """An engine with the image that our Dockerfile makes; what tests do meets its ports."""
    with engine(building=True) as building:
        made = provide(building)
        try:
            put_aside(building)
            words = ["build", "--network=host", *proxies(), "--tag", "packledger", "."]
            building(*words, cwd=source, timeout_s=600)
        except BaseException:
            put_back(building, made)
            raise
    with engine() as running, running.inside():
        yield running
        put_back(running, made)


def desk(docker: Engine, source: Path, port: int, kind: str) -> Desk:
    name = f"packledger-tests-{os.getpid()}-{kind}"
    return Desk(docker, source, f"http://127.0.0.1:{port}", name)


@runs("docs/DEPLOYMENT.md: container")
def test_one_container_without_compose_starts_as_the_document_says(
    docker: Engine, source: Path, blocks: list[Block]
) -> None:
    """With a name of the test's own, for the container and its volume."""
    built, *commands = commands_in(blocks[0].text)
    assert built == "docker build -t packledger ."  # by the fixture
    typed = desk(docker, source, 8765, "alone")
    start, logs, account = (
        re.sub(r"(--name|-v|logs|-it) packledger\b", rf"\1 {typed.project}", command)
        for command in commands
    )
    try:
        typed.type(start)
        wait_until(lambda: "One-time setup code: " in typed.type(logs).text, logs, 240)
        assert "administrator alice" in typed.type(account, "a password of alice").text
        assert httpx.get(f"{typed.url}/health").json()["status"] == "ok"
    finally:
        docker("rm", "--force", "--volumes", typed.project)
        docker("volume", "rm", typed.project)


@pytest.fixture(scope="module")
def embedded(docker: Engine, source: Path) -> Iterator[Composed]:
    composed = Composed(desk(docker, source, 8765, "embedded"), "packledger")
    try:
        composed.begin(commands_of(EMBEDDED))
        yield composed
    finally:
        composed.close()


@pytest.fixture(scope="module")
def cluster(docker: Engine, source: Path) -> Iterator[Composed]:
    composed = Composed(desk(docker, source, 8080, "cluster"), "web")
    try:
        composed.begin(commands_of(CLUSTER))
        yield composed
    finally:
        composed.close()


@pytest.mark.parametrize(
    ("file", "block"),
    [(EMBEDDED, "docs/DEPLOYMENT.md: compose"), (CLUSTER, "docs/OPERATIONS.md: compose")],
)
def test_a_document_says_what_the_file_says(file: str, block: str) -> None:
    assert commands_in(BLOCKS[block].text) == commands_of(file)


def check_clients(registry: Composed, folder: Path) -> None:
    """Publish and install with real clients."""
    target = folder / "target"
    alice = Cargo(folder / "cargo-alice", registry, target, "alice")
    crate = library(folder / "crate", "in-a-box", "1.2.3")
    alice("publish", "--registry", "ledger", "--allow-dirty", "--no-verify", cwd=crate)
    anybody = Cargo(folder / "cargo-anybody", registry, target)
    dependencies = 'in-a-box = { version = "1", registry = "ledger" }\n'
    main = 'fn main() { println!("{}", in_a_box::it()); }\n'
    program = consumer(folder / "program", dependencies, main)
    assert anybody("run", "--quiet", cwd=program).stdout == "1\n"

    publisher = NpmClient("npm", folder / "npm-alice", registry, "alice")
    package = {"name": "@acme/in-a-box", "version": "1.2.3"}
    publisher("publish", cwd=npm_project(folder / "package", package))
    reader = NpmClient("npm", folder / "npm-anybody", registry)
    app = npm_project(folder / "app", {"name": "app", "version": "1.0.0"})
    reader("install", "@acme/in-a-box@1", cwd=app)
    installed = app / "node_modules" / "@acme" / "in-a-box" / "index.js"
    assert installed.read_text() == "exports.it = 1\n"


def publish_both(registry: Composed, name: str) -> None:
    for kind in ("cargo", "npm"):
        registry.publish(publication(kind, f"{name}-{kind}", "1.0.0"))


def check_down_and_up(registry: Composed) -> None:
    """Whatever was acknowledged is there after `down` and `up`."""
    registry.compose("down")
    assert registry.services() == {}
    registry.up()
    registry.check()
    publish_both(registry, "after-down")
    registry.check()
    assert "alice" in registry.packledger("user", "list")


# -- docker-compose.embedded.yml ----------------------------------------------------------------


def test_one_container_serves_cargo_and_npm(embedded: Composed, tmp_path: Path) -> None:
    check_clients(embedded, tmp_path)
    publish_both(embedded, "first")
    embedded.check()
    embedded.wait_healthy()


def test_one_container_that_is_killed_comes_back_with_everything(embedded: Composed) -> None:
    embedded.kill("packledger")
    embedded.wait()
    publish_both(embedded, "after-kill")
    embedded.check()


def test_one_container_restarts_in_order_and_with_everything(embedded: Composed) -> None:
    embedded.compose("restart", "packledger")
    embedded.wait()
    publish_both(embedded, "after-restart")
    embedded.check()


def test_one_container_loses_nothing_by_down_and_up(embedded: Composed) -> None:
    check_down_and_up(embedded)


# -- docker-compose.yml -------------------------------------------------------------------------


def test_a_cluster_serves_cargo_and_npm_through_nginx(cluster: Composed, tmp_path: Path) -> None:
    check_clients(cluster, tmp_path)
    publish_both(cluster, "first")
    cluster.check()
    cluster.wait_healthy()
    assert cluster.services()["migrate"]["ExitCode"] == 0


def test_nginx_answers_from_files_while_the_node_is_away(cluster: Composed) -> None:
    publish_both(cluster, "on-file")
    cluster.check()
    cluster.compose("stop", "web")
    try:
        assert crate_lines(cluster.http, "on-file-cargo").keys() == {"1.0.0"}
        assert packument(cluster.http, "on-file-npm")["versions"].keys() == {"1.0.0"}
        # Refused, or nobody there who could refuse: nginx finds either.
        assert cluster.http.get("/health").status_code in {502, 504}
    finally:
        cluster.compose("start", "web")
    cluster.wait()


@pytest.mark.parametrize("service", KILLED)
def test_a_service_that_is_killed_comes_back_and_loses_nothing(
    cluster: Composed, service: str
) -> None:
    cluster.kill(service)
    publish_both(cluster, f"after-{service}")
    cluster.check()
    cluster.wait()


def test_a_cluster_restarts_in_order_and_with_everything(cluster: Composed) -> None:
    cluster.compose("restart")
    cluster.wait()
    publish_both(cluster, "after-restart")
    cluster.check()
    cluster.wait_healthy()


def test_a_cluster_loses_nothing_by_down_and_up(cluster: Composed) -> None:
    check_down_and_up(cluster)


def test_a_cluster_writes_again_what_may_be_lost(cluster: Composed) -> None:
    """The last two volumes of the file are of that kind."""
    cluster.compose("down")
    for volume in ("kafka", "static"):
        cluster.desk.docker("volume", "rm", f"{cluster.desk.project}_{volume}")
    cluster.up()
    cluster.check()
    publish_both(cluster, "after-loss")
    cluster.check()
