"""Nodes that share nothing but the stores: what one acknowledges, all serve, whatever is away."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cargo_client import Cargo, consumer, library
from cluster import Cluster
from node import Node, Process
from npm_client import NpmClient, npm_project
from process_tree import wait_until
from publications import (
    Publication,
    bearer,
    check_served,
    index_path,
    publication,
    sentence_of,
)

pytestmark = pytest.mark.service

ECOSYSTEMS = ("cargo", "npm")
QUICK_S = 4.5
"""Less than the 5 s for which a single command would wait for its projection."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes; each test leaves it as it found it, but for what it published."""
    cluster = Cluster(workers=1)
    try:
        yield cluster.start()
    finally:
        cluster.close()


def published(cluster: Cluster, name: str, through: Node) -> list[Publication]:
    """Publish one version in each ecosystem."""
    made = [publication(kind, f"{name}-{kind}", "1.0.0") for kind in ECOSYSTEMS]
    for one in made:
        answer = one.put(through.http, cluster.tokens["alice"])
        assert answer.status_code in {200, 201}, answer.text
    return made


def check_on(node: Node, made: list[Publication]) -> None:
    for one in made:
        check_served(node.http, one.name, [one])


def check_everywhere(cluster: Cluster, made: list[Publication]) -> None:
    cluster.wait_for(cluster.position())
    for node in cluster.nodes:
        check_on(node, made)


@pytest.mark.client
def test_cargo_publishes_through_one_node_and_builds_from_another(
    cluster: Cluster, tmp_path: Path
) -> None:
    one, other = cluster.nodes[:2]
    target = tmp_path / "target"
    cluster.front.target = one.port
    alice = Cargo(tmp_path / "alice", cluster, target, "alice")
    crate = library(tmp_path / "crate", "over-there", "1.2.3")
    alice("publish", "--registry", "ledger", "--allow-dirty", "--no-verify", cwd=crate)
    check_everywhere(cluster, [])
    one.web.stop()  # so that nothing can come from there
    try:
        cluster.front.target = other.port
        anybody = Cargo(tmp_path / "anybody", cluster, target)
        dependencies = 'over-there = { version = "1", registry = "ledger" }\n'
        program = consumer(
            tmp_path / "program",
            dependencies,
            'fn main() { println!("{}", over_there::it()); }\n',
        )
        assert anybody("run", "--quiet", cwd=program).stdout == "1\n"
    finally:
        one.web.start()
        one.wait_ready()
        cluster.front.target = one.port


@pytest.mark.client
def test_npm_publishes_through_one_node_and_installs_from_another(
    cluster: Cluster, tmp_path: Path
) -> None:
    one, other = cluster.nodes[:2]
    cluster.front.target = one.port
    alice = NpmClient("npm", tmp_path / "alice", cluster, "alice")
    alice(
        "publish",
        cwd=npm_project(tmp_path / "package", {"name": "@acme/over-there", "version": "1.2.3"}),
    )
    check_everywhere(cluster, [])
    one.web.stop()
    try:
        cluster.front.target = other.port
        anybody = NpmClient("npm", tmp_path / "anybody", cluster)
        program = npm_project(tmp_path / "program", {"name": "program", "version": "1.0.0"})
        anybody("install", "@acme/over-there@1", cwd=program)
        installed = program / "node_modules" / "@acme" / "over-there" / "index.js"
        assert installed.read_text() == "exports.it = 1\n"
    finally:
        one.web.start()
        one.wait_ready()
        cluster.front.target = one.port


def test_whoever_published_reads_it_on_the_same_node_at_once(cluster: Cluster) -> None:
    for number in range(5):
        for node in cluster.nodes[:2]:
            check_on(node, published(cluster, f"at-once-{number}-{node.name}", node))


def test_two_nodes_that_publish_one_version_have_one_winner(cluster: Cluster) -> None:
    one, other = cluster.nodes[:2]
    for number in range(3):
        name = f"contended-{number}"
        rivals = [publication("npm", name, "1.0.0", filling) for filling in (b"a", b"b")]
        answers = [
            rival.put(node.http, cluster.tokens["alice"])
            for rival, node in zip(rivals, (one, other), strict=True)
        ]
        assert [answer.status_code for answer in answers] == [201, 409]
        sentence_of("npm", answers[1])
        check_everywhere(cluster, rivals[:1])


def test_a_new_node_serves_nothing_until_it_has_caught_up(cluster: Cluster) -> None:
    made = published(cluster, "before-the-new-node", cluster.nodes[0])
    node = cluster.add_node()
    node.web.start()
    wait_until(lambda: bool(node.health()), "its web listens")
    for one in made:
        answer = node.http.get(path_of(one))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "still building" in sentence_of(one.ecosystem, answer)
        written = one.put(node.http, cluster.tokens["alice"])
        assert written.status_code == 503, "no token can be looked up yet"
    health = node.health()
    assert (health["code"], health["status"]) == (503, "not ready")
    assert health["position"] == cluster.position()
    for state in health["projections"].values():
        assert state == {
            "state": "catching up",
            "position": 0,
            "lag_events": health["position"],
            "awaited": True,
        }
    node.project.start()
    node.wait_ready()
    assert documents(node, made) == documents(cluster.nodes[0], made)
    assert node.digests() == cluster.nodes[0].digests()
    cluster.remove(node)


def test_a_whole_node_may_be_one_serve(cluster: Cluster) -> None:
    node = cluster.add_node()
    node.web = Process(["serve"], node.env, node.data.parent / "serve.log")
    node.web.start()
    node.wait_ready()
    check_on(node, published(cluster, "through-serve", node))
    assert node.health()["feed"] == {"from": "kafka", "state": "ok"}
    check_everywhere(cluster, published(cluster, "beside-serve", cluster.nodes[0]))
    cluster.remove(node)


def documents(node: Node, made: list[Publication]) -> dict[str, tuple[bytes, str]]:
    """Each document as a node serves it, with its ETag."""
    found = {}
    for one in made:
        answer = node.http.get(path_of(one))
        assert answer.status_code == 200
        found[one.name] = (answer.content, answer.headers["etag"])
    return found


def path_of(one: Publication) -> str:
    return index_path(one.name) if one.ecosystem == "cargo" else f"/npm/{one.name}"


def test_while_the_database_is_away_reads_go_on_and_writes_are_told_so(cluster: Cluster) -> None:
    one, other = cluster.nodes[:2]
    made = published(cluster, "before-the-database-went", one)
    check_everywhere(cluster, made)
    cluster.postgres.stop()
    try:
        for node in (one, other):
            check_on(node, made)
            health = node.health()
            assert (health["code"], health["status"]) == (200, "degraded")
            assert health["store"] == "unavailable"
        for ecosystem in ECOSYSTEMS:
            lost = publication(ecosystem, f"while-away-{ecosystem}", "1.0.0")
            answer = lost.put(one.http, cluster.tokens["alice"])
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert "try again" in sentence_of(ecosystem, answer)
        # A node that is started meanwhile serves what it has, once it knows that it has all.
        other.stop()
        other.start()
        other.wait_ready()
        check_on(other, made)
    finally:
        cluster.postgres.start()
    made = published(cluster, "after-the-database-came", one)
    check_everywhere(cluster, made)
    wait_until(lambda: one.health()["status"] == "ok", "/health says ok again")


def test_while_kafka_is_away_everything_is_acknowledged_and_comes_later(cluster: Cluster) -> None:
    one, other = cluster.nodes[:2]
    before = published(cluster, "before-kafka-went", one)
    check_everywhere(cluster, before)
    brokers = other.env["PACKLEDGER_KAFKA"]
    cluster.broker.kill()
    try:
        wait_until(lambda: one.health()["feed"]["state"] == "silent", "its silence is noticed")
        began_s = time.monotonic()
        made = [
            *published(cluster, "without-kafka-a", one),
            *published(cluster, "without-kafka-b", other),
        ]
        assert time.monotonic() - began_s < 2 * QUICK_S, "nobody waits for what does not come"
        for node in (one, other):
            check_on(node, before)
            health = node.health()
            assert (health["code"], health["status"]) == (200, "degraded")
            assert health["feed"] == {"from": "kafka", "state": "silent"}
        # One that is told to do without it reads the log itself, with the read models it has.
        del other.env["PACKLEDGER_KAFKA"]
        other.restart()
        check_on(other, made)
        assert other.health()["feed"] == {"from": "store", "state": "ok"}
    finally:
        cluster.broker.start()
        other.env["PACKLEDGER_KAFKA"] = brokers
        other.restart()
    check_everywhere(cluster, [*before, *made])
    for node in (one, other):
        assert node.health()["status"] == "ok"


def test_without_a_relay_nobody_waits_twice(cluster: Cluster) -> None:
    one = cluster.nodes[0]
    cluster.relay.stop()
    try:
        made = published(cluster, "in-vain", one)  # somebody has to find out
        assert one.health()["feed"]["state"] == "silent"
        began_s = time.monotonic()
        made += published(cluster, "not-again", one)
        assert time.monotonic() - began_s < QUICK_S
    finally:
        cluster.relay.start()
    check_everywhere(cluster, made)
    assert one.health()["feed"]["state"] == "ok"


def test_a_topic_that_is_lost_is_published_again(cluster: Cluster) -> None:
    one, other = cluster.nodes[:2]
    before = published(cluster, "before-the-loss", one)
    check_everywhere(cluster, before)
    cluster.delete_topic()
    made = published(cluster, "after-the-loss", other)
    check_everywhere(cluster, [*before, *made])
    wait_until(lambda: cluster.topic_reaches(cluster.position()), "the topic is whole")
    # And all of it, for one that begins at its beginning.
    node = cluster.add_node()
    node.start()
    node.wait_ready()
    check_on(node, [*before, *made])
    cluster.remove(node)


@pytest.mark.parametrize("part", ["web", "project"])
def test_a_node_that_was_killed_comes_back_with_everything(cluster: Cluster, part: str) -> None:
    one, other = cluster.nodes[:2]
    before = published(cluster, f"before-{part}-died", one)
    process = getattr(one, part)
    process.kill_everything()
    meanwhile = published(cluster, f"while-{part}-was-dead", other)
    process.start()
    one.wait_ready()
    check_everywhere(cluster, [*before, *meanwhile])


def test_a_token_is_known_and_refused_on_every_node(cluster: Cluster) -> None:
    one, other = cluster.nodes[:2]
    token = one.cli("token", "create", "--user", "bob").strip()

    def is_known(node: Node) -> bool:
        return node.http.get("/npm/-/whoami", headers=bearer(token)).status_code == 200

    wait_until(lambda: is_known(one) and is_known(other), "it is known on both")
    # An operator's command on the other node: it speaks to the same log.
    listed = [
        json.loads(line)
        for line in other.cli("token", "list", "--user", "bob", "--json").splitlines()
    ]
    other.cli("token", "revoke", listed[-1]["token_id"])
    assert not is_known(other)
    wait_until(lambda: not is_known(one), "it is refused on both")


def test_a_database_restored_from_a_backup_is_noticed_and_brought_in(cluster: Cluster) -> None:
    """As docs/OPERATIONS.md says; before that, nothing says that all is well."""
    one, other = cluster.nodes[:2]
    kept = published(cluster, "in-the-backup", one)
    check_everywhere(cluster, kept)
    backup = cluster.postgres.dump(cluster.env["PACKLEDGER_DATABASE"])
    lost = published(cluster, "after-the-backup", one)
    check_everywhere(cluster, lost)
    cluster.postgres.restore(cluster.env["PACKLEDGER_DATABASE"], backup)
    for node in (one, other):
        health = node.health()
        assert health["code"] == 503
        assert {state["state"] for state in health["projections"].values()} == {"ahead of the log"}
    wait_until(lambda: "before it was restored from a backup" in cluster.relay.said(), "refused")

    for node in (one, other):
        node.stop()
    cluster.relay.kill_everything()
    cluster.delete_topic()
    cluster.relay.start()
    for node in (one, other):
        node.start()
        node.wait_ready()
    for node in (one, other):
        check_on(node, kept)
        assert all(node.http.get(path_of(gone)).status_code == 404 for gone in lost)
    check_everywhere(cluster, published(cluster, "after-the-backup", other))
    assert one.digests() == other.digests()
