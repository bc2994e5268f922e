"""Two nodes on one PostgreSQL: one signs, and both serve what it signed, over their own tiles."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from log_checker import check, fsck
from node import Node
from packledger.audit.translog.notes import parse_verifier
from postgres_server import PostgresServer
from process_tree import wait_until
from running_registry import environment
from s3_server import shared_server
from small_registry import memory_folder
from uploads import new_crate

pytestmark = pytest.mark.service

PUBLIC_URL = "http://registry.example.com"
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def nodes(postgres: PostgresServer) -> Iterator[tuple[Node, Node]]:
    with memory_folder() as folder:
        blobs = shared_server().settings("signed-log")
        database = postgres.new_database()
        env = environment({"database": database, "public_url": PUBLIC_URL, **blobs})
        one, other = (Node(folder / name, name, env) for name in ("one", "other"))
        try:
            one.cli("migrate")
            for node in (one, other):
                node.start()
            for node in (one, other):
                node.wait_ready()
            one.cli("user", "add", "alice", "--password-stdin", stdin="password of alice\n")
            one.sign.start()
            yield one, other
        finally:
            one.close()
            other.close()


def publish(node: Node, name: str) -> None:
    token = node.cli("token", "create", "--user", "alice").strip()
    answer = node.http.put(
        "/cargo/api/v1/crates/new",
        content=new_crate(name, "1.0.0"),
        headers={"authorization": token},
    )
    assert answer.status_code == 200, answer.text


def signed(node: Node) -> bool:
    health = node.health()
    return health["log"]["state"] == "signed" and health["log"]["size"] == health["position"]


def wait_signed(node: Node) -> str:
    wait_until(lambda: signed(node), f"all is signed at {node.name}: {node.health()}", WITHIN_S)
    return node.http.get("/log/checkpoint").text


def wait_served(node: Node, checkpoint: str) -> None:
    """Wait until a node's own tiles have what is signed: it serves no checkpoint before."""
    wait_until(
        lambda: node.http.get("/log/checkpoint").text == checkpoint,
        f"{node.name} serves the checkpoint",
        WITHIN_S,
    )


def test_every_node_serves_what_one_of_them_signed(
    nodes: tuple[Node, Node], tmp_path: Path
) -> None:
    one, other = nodes
    publish(other, "elsewhere")
    checkpoint = wait_signed(one)
    wait_served(other, checkpoint)
    key = parse_verifier(one.cli("log", "key").strip())
    assert other.cli("log", "key").strip() == str(key), "the node without the key knows it, too"
    for node in nodes:
        assert node.http.get("/log/vkey").text == f"{key}\n"
        well, said = fsck(node.url, key, tmp_path)
        assert well, said
        file = tmp_path / node.name
        node.cli("receipt", "cargo:elsewhere@1.0.0", "--out", str(file))
        assert check("receipt", str(file), str(key))[0]


def test_without_the_signer_publishing_goes_on_and_it_catches_up(
    nodes: tuple[Node, Node],
) -> None:
    one, other = nodes
    before = wait_signed(one)
    one.sign.kill()
    publish(other, "unsigned")
    assert one.http.get("/log/checkpoint").text == before
    one.sign.start()
    assert wait_signed(other) != before


def test_a_second_signer_without_the_key_signs_nothing(nodes: tuple[Node, Node]) -> None:
    one, other = nodes
    before = wait_signed(one)
    wait_served(other, before)
    other.sign.start()
    wait_until(lambda: one.health()["log"]["state"] == "refused", "it is told", WITHIN_S)
    assert "another process signs" in one.health()["log"]["why"]
    assert other.http.get("/log/checkpoint").text == before
    other.sign.stop()
    publish(one, "signed-again")
    wait_signed(one)
