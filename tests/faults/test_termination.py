"""How a registry ends and begins: in order on SIGTERM, wholly on SIGKILL, once per directory."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from kernel import wait_closed, wait_taken
from process_tree import ProcessTree, session, wait_until
from publications import cargo_publication, check_served
from raw_http import Ears, connection, read_answer, request
from running_registry import PACKLEDGER, free_port

StartTree = Callable[..., ProcessTree]

PROMPT_S = 10
"""Then Docker kills what SIGTERM has not ended; connections are kept for longer."""


class HalfUpload:
    """A publish of which only the first half was sent so far."""

    def __init__(self, tree: ProcessTree, name: str) -> None:
        self.publication = cargo_publication(name, "1.0.0", os.urandom(100_000))
        body = self.publication.body
        self._rest = body[len(body) // 2 :]
        head = (
            f"PUT {self.publication.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            f"authorization: {tree.tokens['alice']}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._socket = socket.create_connection(("127.0.0.1", tree.port), timeout=20)
        self._socket.sendall(head.encode() + body[: len(body) // 2])
        wait_taken(self._socket)

    def finish(self) -> bytes:
        """Send the rest and return the whole answer, up to the end of the connection."""
        with self._socket:
            self._socket.sendall(self._rest)
            answer = b""
            while piece := self._socket.recv(65536):
                answer += piece
            return answer


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_sigterm_answers_the_upload_in_flight_and_leaves_nothing_behind(
    start_tree: StartTree,
) -> None:
    tree = start_tree()
    leader = tree.pid
    upload = HalfUpload(tree, "in-flight")
    os.kill(leader, signal.SIGTERM)
    wait_until(lambda: not listens(tree.port), "nobody new is accepted")
    answer = upload.finish()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    tree.stop()  # requires exit status 0
    assert session(leader) == []
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", tree.port))
    tree.start()
    with httpx.Client(base_url=tree.direct) as http:
        check_served(http, "in-flight", [upload.publication])


def test_sigterm_lets_who_takes_downloads_have_them_whole(start_tree: StartTree) -> None:
    tree = start_tree()
    published = cargo_publication("slowly-taken", "1.0.0", os.urandom(900_000))
    with httpx.Client(base_url=tree.direct) as http:
        published.put(http, tree.tokens["alice"]).raise_for_status()
    with socket.socket() as peer, contextlib.ExitStack() as stack:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(20)
        peer.connect(("127.0.0.1", tree.port))
        for _ in range(8):  # more than the kernel takes
            peer.sendall(request("GET", b"/cargo/crates/slowly-taken/1.0.0/download", []))
            wait_taken(peer)
        idle = [stack.enter_context(connection(tree.port)) for _ in range(8)]
        for one in idle:
            one.sendall(request("GET", b"/health", []))
            answer = read_answer(one)
            assert answer is not None
            assert answer.status == 200
        os.kill(tree.pid, signal.SIGTERM)
        for one in idle:
            wait_closed(one)
        with Ears(peer) as ears:
            answers = list(iter(lambda: read_answer(ears), None))
    assert answers
    assert {one.body for one in answers if one} == {published.packed}
    tree.stop()


def test_sigterm_does_not_wait_for_idle_connections(start_tree: StartTree) -> None:
    tree = start_tree()
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            http = stack.enter_context(httpx.Client(base_url=tree.direct))
            assert http.get("/health").status_code == 200
        began = time.monotonic()
        tree.stop()
        assert time.monotonic() - began < PROMPT_S


@pytest.mark.parametrize("processes", [4, 6, 8])
def test_sigterm_while_workers_start_is_not_lost(start_tree: StartTree, processes: int) -> None:
    tree = start_tree(workers=6)
    tree.stop()
    tree.launch()
    wait_until(lambda: len(session(tree.pid)) >= processes, "some workers are there")
    end_promptly(tree)


def test_sigterm_when_it_begins_to_listen_is_not_lost(start_tree: StartTree) -> None:
    tree = start_tree(workers=6)
    tree.stop()
    tree.launch()
    wait_until(lambda: listens(tree.port), "it listens")
    end_promptly(tree)


def end_promptly(tree: ProcessTree) -> None:
    leader, began = tree.pid, time.monotonic()
    tree.stop()
    assert time.monotonic() - began < PROMPT_S
    assert session(leader) == []


def test_a_killed_supervisor_takes_everything_with_it(start_tree: StartTree) -> None:
    tree = start_tree()
    leader = tree.pid
    assert len(session(leader)) >= 5, "supervisor, arbiter, two workers, projector"
    with httpx.Client(base_url=tree.direct) as http:
        assert http.get("/health").status_code == 200
        tree.kill(leader)
        wait_until(lambda: not session(leader), "every process is gone", PROMPT_S)
    tree._process.wait()
    tree._process = None
    tree.start()


def test_a_killed_arbiter_does_not_leave_its_workers_behind(start_tree: StartTree) -> None:
    tree = start_tree()
    orphans = tree.workers()
    with httpx.Client(base_url=tree.direct) as http:
        assert http.get("/health").status_code == 200
        tree.kill(tree.arbiter())
        wait_until(
            lambda: not {p.pid for p in session(tree.pid)} & set(orphans),
            "the orphaned workers are gone",
            PROMPT_S,
        )
    tree.wait_healthy()
    assert not set(orphans) & set(tree.workers())


def second_serve(tree: ProcessTree, data: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PACKLEDGER, "serve", "--data", str(data), "--listen", f"http://127.0.0.1:{port}"],
        env=tree.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_second_serve_on_the_same_data_is_refused_with_a_sentence(start_tree: StartTree) -> None:
    tree = start_tree()
    for port in (free_port(), tree.port):
        second = second_serve(tree, tree.data, port)
        assert second.returncode == 1, second.stderr
        assert f"another `packledger serve` runs on `{tree.data}`; stop it first" in second.stderr
        assert "Traceback" not in second.stderr
    assert httpx.get(f"{tree.direct}/health").status_code == 200


def test_a_port_in_use_is_refused_with_a_sentence(start_tree: StartTree, tmp_path: Path) -> None:
    tree = start_tree()
    second = second_serve(tree, tmp_path / "other", tree.port)
    assert second.returncode == 1
    assert f"cannot listen on http://127.0.0.1:{tree.port}" in second.stderr
    assert "--listen" in second.stderr
    assert "Traceback" not in second.stderr


def test_serve_starts_again_at_once_after_everything_was_killed(start_tree: StartTree) -> None:
    tree = start_tree()
    one = cargo_publication("before-the-cut", "1.0.0")
    with httpx.Client(base_url=tree.direct) as http:
        assert one.put(http, tree.tokens["alice"]).status_code == 200
    tree.kill_everything()
    tree.start()
    with httpx.Client(base_url=tree.direct) as http:
        check_served(http, one.name, [one])
