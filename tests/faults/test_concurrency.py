"""Many at once: one winner a version, nothing lost, and every worker sees every write."""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from process_tree import ProcessTree
from publications import (
    ABBREVIATED,
    SAID_YES,
    Publication,
    bearer,
    check_served,
    crate_lines,
    index_path,
    packument,
    publication,
    sentence_of,
    versions_shown,
)
from rivals import Answer, Request, race

RIVALS = 8
ROUNDS = 5
ECOSYSTEMS = ("cargo", "npm")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessTree]:
    running = ProcessTree(tmp_path_factory.mktemp("concurrency"))
    try:
        running.start()
        running.add_user("alice")
        yield running
    finally:
        running.close()


@pytest.fixture
def http(tree: ProcessTree) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=tree.direct, timeout=30) as client:
        yield client


def put(one: Publication, tree: ProcessTree) -> Request:
    return Request("PUT", one.path, one.body, bearer(tree.tokens["alice"]))


def winners(round_: list[Publication], answers: list[Answer]) -> list[Publication]:
    pairs = zip(round_, answers, strict=True)
    return [one for one, answer in pairs if answer.status_code in SAID_YES]


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_of_eight_that_publish_one_version_one_wins_and_seven_are_told(
    tree: ProcessTree, http: httpx.Client, ecosystem: str
) -> None:
    # The second round of a name is about a new version of a package that exists.
    rounds = [
        [
            publication(
                ecosystem, f"contested-{ecosystem}-{number // 2}", f"1.{number}.0", bytes(n)
            )
            for n in range(RIVALS)
        ]
        for number in range(2 * ROUNDS)
    ]
    answers = race(tree.direct, [[put(one, tree) for one in round_] for round_ in rounds])
    for round_, got in zip(rounds, answers, strict=True):
        won = winners(round_, got)
        assert len(won) == 1, [answer.status_code for answer in got]
        for answer in got:
            if answer.status_code not in SAID_YES:
                assert answer.status_code == 409, answer.content
                said = sentence_of(ecosystem, answer.response)
                assert f"`{won[0].name}@{won[0].version}` already exists" in said
        check_served(http, won[0].name, won)
    tree.cli("rebuild", "--check")


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_of_eight_that_publish_different_versions_all_are_listed(
    tree: ProcessTree, http: httpx.Client, ecosystem: str
) -> None:
    rounds = [
        [
            publication(ecosystem, f"together-{ecosystem}-{number // 2}", f"{number}.{n}.0")
            for n in range(RIVALS)
        ]
        for number in range(2 * ROUNDS)
    ]
    answers = race(tree.direct, [[put(one, tree) for one in round_] for round_ in rounds])
    for round_, got in zip(rounds, answers, strict=True):
        assert winners(round_, got) == round_, [answer.content for answer in got]
        check_served(http, round_[0].name, round_)
    for name in {round_[0].name for round_ in rounds}:
        assert len(versions_shown(http, ecosystem, name)) == 2 * RIVALS


def test_of_eight_names_that_may_not_exist_together_one_is_registered(
    tree: ProcessTree, http: httpx.Client
) -> None:
    spelt = ["-", "_"]
    names = ["-".join(parts) for parts in itertools.product(["Same", "same"], ["name"])]
    names = [name.replace("-", mark) for name in names for mark in spelt] * 2
    round_ = [publication("cargo", name, f"1.{n}.0") for n, name in enumerate(names)]
    (got,) = race(tree.direct, [[put(one, tree) for one in round_]])
    won = winners(round_, got)
    assert len({one.name for one in won}) == 1, [one.name for one in won]
    assert {answer.status_code for answer in got} == {200, 409}
    shown = [name for name in set(names) if crate_lines(http, name.lower())]
    assert {name.lower() for name in shown} == {won[0].name.lower()}


def test_dist_tags_that_are_set_at_once_are_all_set(tree: ProcessTree, http: httpx.Client) -> None:
    name = "tagged"
    versions = [f"1.{n}.0" for n in range(RIVALS)]
    for version in versions:
        assert publication("npm", name, version).put(http, tree.tokens["alice"]).status_code == 201

    def tag(label: str, version: str) -> Request:
        path = f"/npm/-/package/{name}/dist-tags/{label}"
        headers = bearer(tree.tokens["alice"]) | {"content-type": "application/json"}
        return Request("PUT", path, json.dumps(version).encode(), headers)

    rounds = []
    for number in range(ROUNDS):
        rounds.append([tag(f"own-{number}-{n}", version) for n, version in enumerate(versions)])
        rounds.append([tag("shared", version) for version in versions])
    answers = race(tree.direct, rounds)
    assert {answer.status_code for got in answers for answer in got} <= SAID_YES
    tags = packument(http, name)["dist-tags"]
    for number in range(ROUNDS):
        for n, version in enumerate(versions):
            assert tags[f"own-{number}-{n}"] == version
    assert tags["shared"] in versions
    assert tags["latest"] == versions[-1]


class Connection:
    """One keep-alive connection, which the kernel gave to one worker."""

    def __init__(self, url: str, stack: contextlib.ExitStack) -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self.http = stack.enter_context(httpx.Client(base_url=url, timeout=30, limits=limits))
        self.port = self._ask_port()

    def _ask_port(self) -> int:
        answer = self.http.get("/npm/-/ping")
        return int(answer.extensions["network_stream"].get_extra_info("client_addr")[1])

    def check_kept(self) -> None:
        """Require that it is still the same connection, so still the same worker."""
        assert self._ask_port() == self.port


def sockets_of(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            match = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
            if match:
                found.add(match[1])
    return found


def server_side(server_port: int, client_port: int) -> str:
    """The socket at the server's end of a loopback connection."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *rest = line.split()
        if int(local[-4:], 16) == server_port and int(remote[-4:], 16) == client_port:
            return rest[6]
    raise AssertionError(f"no connection from port {client_port}")


@pytest.fixture
def connections(tree: ProcessTree) -> Iterator[list[Connection]]:
    """Two connections to each worker."""
    each = 2
    with contextlib.ExitStack() as stack:
        by_worker: dict[int, list[Connection]] = {pid: [] for pid in tree.workers()}
        assert len(by_worker) == 2
        for _ in range(200):
            one = Connection(tree.direct, stack)
            end = server_side(tree.port, one.port)
            owner = next(pid for pid in by_worker if end in sockets_of(pid))
            by_worker[owner].append(one)
            if all(len(ones) >= each for ones in by_worker.values()):
                break
        chosen = [one for ones in by_worker.values() for one in ones[:each]]
        assert len(chosen) == 2 * each, "every connection went to one worker"
        yield chosen
        for one in chosen:
            one.check_kept()


def test_a_read_on_any_worker_sees_every_acknowledged_publish(
    tree: ProcessTree, connections: list[Connection]
) -> None:
    token = tree.tokens["alice"]
    writers = itertools.cycle(connections)
    etags: dict[tuple[int, str, str], str] = {}
    for number in range(150):
        for ecosystem in ECOSYSTEMS:
            name = f"seen-{ecosystem}-{number % 3}"
            one = publication(ecosystem, name, f"1.{number}.0")
            answer = one.put(next(writers).http, token)
            assert answer.status_code in SAID_YES, answer.text
            for connection in connections:
                check_seen(connection, one, etags)


def check_seen(
    connection: Connection, one: Publication, etags: dict[tuple[int, str, str], str]
) -> None:
    """Read every document of a version, from warm caches and with the ETag of the one before."""
    asked = (
        [(index_path(one.name), "*/*")]
        if one.ecosystem == "cargo"
        else [(f"/npm/{one.name}", "application/json"), (f"/npm/{one.name}", ABBREVIATED)]
    )
    for path, form in asked:
        key = (connection.port, path, form)
        headers = {"accept": form, "if-none-match": etags.get(key, '"none"')}
        answer = connection.http.get(path, headers=headers)
        assert answer.status_code == 200, f"{one.key}: {answer.status_code}, an old document"
        assert f'"{one.version}"' in answer.text, f"{one.key} is not in {path} as {form}"
        etags[key] = answer.headers["etag"]
        again = connection.http.get(path, headers=headers | {"if-none-match": etags[key]})
        assert again.status_code == 304


def test_a_read_on_any_worker_sees_every_acknowledged_change(
    tree: ProcessTree, connections: list[Connection]
) -> None:
    headers = bearer(tree.tokens["alice"])
    for ecosystem, version in itertools.product(ECOSYSTEMS, ("1.0.0", "1.1.0")):
        one = publication(ecosystem, f"changed-{ecosystem}", version)
        assert one.put(connections[0].http, tree.tokens["alice"]).status_code in SAID_YES
    writers = itertools.cycle(connections)
    for number in range(60):
        yanked = number % 2 == 0
        verb, what = ("DELETE", "yank") if yanked else ("PUT", "unyank")
        path = f"/cargo/api/v1/crates/changed-cargo/1.0.0/{what}"
        assert next(writers).http.request(verb, path, headers=headers).status_code == 200
        version = "1.0.0" if yanked else "1.1.0"
        tag = "/npm/-/package/changed-npm/dist-tags/moving"
        said = next(writers).http.put(tag, json=version, headers=headers)
        assert said.status_code == 201, said.text
        for connection in connections:
            assert crate_lines(connection.http, "changed-cargo")["1.0.0"]["yanked"] is yanked
            for form in ("application/json", ABBREVIATED):
                shown = packument(connection.http, "changed-npm", form)["dist-tags"]
                assert shown["moving"] == version


def revoke_by_logout(tree: ProcessTree, connection: Connection, secret: str) -> None:
    answer = connection.http.delete(f"/npm/-/user/token/{secret}", headers=bearer(secret))
    assert answer.status_code == 200, answer.text


def revoke_by_command(tree: ProcessTree, connection: Connection, secret: str) -> None:
    listed = tree.cli("token", "list", "--user", "alice").splitlines()
    newest = next(line for line in reversed(listed) if "to-be-revoked" in line)
    tree.cli("token", "revoke", newest.split()[0])


@pytest.mark.parametrize(
    ("revoke", "rounds"), [(revoke_by_logout, 6), (revoke_by_command, 3)], ids=["logout", "command"]
)
def test_a_revoked_token_is_refused_on_every_worker_at_once(
    tree: ProcessTree,
    connections: list[Connection],
    revoke: Callable[[ProcessTree, Connection, str], None],
    rounds: int,
) -> None:
    for number in range(rounds):
        secret = tree.cli("token", "create", "--user", "alice", "--name", "to-be-revoked").strip()
        for _ in range(2):
            for connection in connections:
                who = connection.http.get("/npm/-/whoami", headers=bearer(secret))
                assert who.json() == {"username": "alice"}
        revoke(tree, connections[number % len(connections)], secret)
        for n, connection in enumerate(connections):
            who = connection.http.get("/npm/-/whoami", headers=bearer(secret))
            assert who.status_code == 401, f"round {number}, connection {n}"
            one = publication("cargo", f"refused-{revoke.__name__.replace('_', '-')}", "1.0.0")
            assert one.put(connection.http, secret).status_code == 401
