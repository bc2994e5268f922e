"""`web` and `project` on one data directory: they start, end and die in any order."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from node import Node
from process_tree import session, wait_until
from processes import run
from publications import check_served, index_path, publication, sentence_of
from running_registry import PACKLEDGER, environment, free_port

ENDS_WITHIN_S = 20


SETTINGS = environment({"public_url": "http://registry.example.com", "workers": 1})


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data directory with the account alice, and a token of hers."""
    node = Node(tmp_path_factory.mktemp("migrated") / "node", "one", SETTINGS)
    node.cli("migrate")
    node.cli("user", "add", "alice", "--password-stdin", stdin="password of alice\n")
    token = node.cli("token", "create", "--user", "alice").strip()
    node.close()
    return node.data, token


@pytest.fixture
def node(migrated: tuple[Path, str], tmp_path: Path) -> Iterator[Node]:
    """A node of its own that is migrated and not started."""
    node = Node(tmp_path / "node", "one", SETTINGS)
    shutil.copytree(migrated[0], node.data)
    yield node
    node.close()


@pytest.fixture
def token(migrated: tuple[Path, str]) -> str:
    return migrated[1]


def listens(node: Node) -> bool:
    return bool(node.health())


def start_web(node: Node) -> None:
    node.web.start()
    wait_until(lambda: listens(node), "web listens")


def publish(node: Node, token: str, name: str) -> None:
    for ecosystem in ("cargo", "npm"):
        one = publication(ecosystem, f"{name}-{ecosystem}", "1.0.0")
        answer = one.put(node.http, token)
        assert answer.status_code in {200, 201}, answer.text
        check_served(node.http, one.name, [one])


def check_reads_are_refused(node: Node) -> None:
    """Every client is told in its own format to come again, never that there is nothing."""
    for ecosystem, path in (("cargo", index_path("demo")), ("npm", "/npm/demo")):
        answer = node.http.get(path)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert "still building" in sentence_of(ecosystem, answer)
    health = node.health()
    assert (health["code"], health["status"]) == (503, "not ready")


def test_what_was_not_migrated_is_not_served(tmp_path: Path) -> None:
    for command in ("web", "project"):
        refused = run(
            [PACKLEDGER, command, "--data", str(tmp_path / "new")],
            cwd=tmp_path,
            env=SETTINGS,
            fails=True,
        )
        assert "there is no registry in" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_the_setup_code_is_printed_by_migrate_until_there_is_an_administrator(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path / "node", "one", SETTINGS)
    try:
        first, second = (node.cli("migrate").split("setup code: ")[1].split()[0] for _ in range(2))
        assert first != second
        start_web(node)
        assert "setup code" not in node.web.said()
        add = ("user", "add", "root", "--admin", "--password-stdin", "--setup-code")
        refused = run(
            [PACKLEDGER, *add, first],
            cwd=tmp_path,
            env=node.env,
            stdin="password of root\n",
            fails=True,
        )
        assert "not the setup code" in refused.stderr
        node.cli(*add, second, stdin="password of root\n")
        assert "setup code" not in node.cli("migrate")
    finally:
        node.close()


def test_another_public_url_than_the_logs_is_refused(node: Node) -> None:
    node.env["PACKLEDGER_PUBLIC_URL"] = "http://other.example.com"
    node.web.start()
    assert node.web.ended_with() == 1
    assert (
        "`public_url` is `http://other.example.com` here and `http://registry.example.com` in the "
        "log; set it alike on every node, or record another one with `packledger migrate`"
    ) in node.web.said()
    node.cli("migrate")
    start_web(node)


def test_nothing_is_read_before_a_projector_has_caught_up(node: Node, token: str) -> None:
    start_web(node)
    check_reads_are_refused(node)
    node.project.start()
    node.wait_ready()
    publish(node, token, "first")


def test_a_projector_that_was_first_is_found_by_the_web(node: Node, token: str) -> None:
    node.project.start()
    wait_until(lambda: (node.data / "read" / "pages" / "current").exists(), "it projects")
    start_web(node)
    node.wait_ready()
    publish(node, token, "first")


def test_a_web_that_is_started_again_serves_at_once(node: Node, token: str) -> None:
    node.start()
    node.wait_ready()
    publish(node, token, "before")
    for end in (node.web.stop, node.web.kill_everything, node.web.kill):
        end()
        wait_until(lambda: not listens(node), "the web has ended")
        start_web(node)
        assert node.health()["code"] == 200
        publish(node, token, f"after-{end.__name__.replace('_', '-')}")


def projector_of(node: Node) -> int:
    return node.project.children()[0]


@pytest.mark.parametrize("how", ["stop", "kill", "kill_everything", "kill_projector"])
def test_a_projector_may_end_and_reads_go_on(node: Node, token: str, how: str) -> None:
    node.start()
    node.wait_ready()
    publish(node, token, "before")
    before = node.http.get("/npm/before-npm")
    leader = node.project.pid
    if how == "kill_projector":
        os.kill(projector_of(node), signal.SIGKILL)
    else:
        end: Callable[[], None] = getattr(node.project, how)
        end()
        wait_until(lambda: session(leader) == [], "no process of it is left")
        wait_until(lambda: node.health()["projector"] == "down", "/health says so")
        # Acknowledged, though nobody can see it yet.
        one = publication("cargo", "meanwhile", "1.0.0")
        assert one.put(node.http, token).status_code == 200
        assert node.http.get("/npm/before-npm").content == before.content
        assert node.http.get(index_path("meanwhile")).status_code == 404
        node.project.start()
        wait_until(lambda: node.http.get(index_path("meanwhile")).status_code == 200, "it is seen")
    node.wait_ready()
    publish(node, token, "after")
    node.digests()


def test_both_may_die_and_come_back_in_any_order(node: Node, token: str) -> None:
    node.start()
    node.wait_ready()
    publish(node, token, "before")
    for first, second in ((node.web, node.project), (node.project, node.web)):
        node.web.kill_everything()
        node.project.kill_everything()
        one = publication("cargo", f"between-{first is node.web}".lower(), "1.0.0")
        first.start()
        if first is node.web:
            wait_until(lambda: listens(node), "web listens")
            # The board still says what was true when everything died.
            check_reads_are_refused(node)
        second.start()
        node.wait_ready()
        assert one.put(node.http, token).status_code == 200
        check_served(node.http, one.name, [one])


def second(node: Node, command: str) -> subprocess.CompletedProcess[str]:
    listen = f"http://127.0.0.1:{free_port()}"
    return subprocess.run(
        [PACKLEDGER, command, *([] if command == "project" else ["--listen", listen])],
        env=node.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_one_projector_for_a_data_directory(node: Node) -> None:
    node.start()
    node.wait_ready()
    for command in ("project", "serve"):
        refused = second(node, command)
        assert refused.returncode == 1, refused.stderr
        assert f"another `packledger project` runs on `{node.data}`; stop it first" in (
            refused.stderr
        )
    assert node.health()["code"] == 200


def test_serve_is_the_same_two_together(node: Node, token: str) -> None:
    """And a web may stand beside it, on the same read models."""
    serve = Node(node.data.parent / "serve", "serve", {**node.env})
    serve.env |= {"PACKLEDGER_DATA": str(node.data)}
    serve.web._command = ["serve"]
    try:
        serve.web.start()
        serve.wait_ready()
        refused = second(node, "project")
        assert "another `packledger serve` runs on" in refused.stderr
        start_web(node)
        publish(node, token, "beside")
        one = publication("npm", "beside-npm", "1.0.0")
        check_served(serve.http, one.name, [one])
        serve.web.stop()
        assert node.http.get("/npm/beside-npm").status_code == 200
    finally:
        serve.close()


def test_sigterm_ends_both_in_order_and_leaves_nothing(node: Node, token: str) -> None:
    node.start()
    node.wait_ready()
    publish(node, token, "before")
    leaders = [node.web.pid, node.project.pid]
    with httpx.Client(base_url=node.url) as idle:
        idle.get("/health")
        node.stop()  # requires exit status 0
    for leader in leaders:
        assert session(leader) == []


def states(node: Node) -> dict[str, Any]:
    return {name: one["state"] for name, one in node.health()["projections"].items()}


def test_health_says_how_far_each_projection_is(node: Node, token: str) -> None:
    node.start()
    node.wait_ready()
    publish(node, token, "demo")
    health = node.health()
    assert health["status"] == "ok"
    assert health["feed"] == {"from": "store", "state": "ok"}
    assert health["store"] == "ok"
    assert set(states(node).values()) == {"ok"}
    for one in health["projections"].values():
        assert one["position"] == health["position"]
        assert one["lag_events"] == 0
