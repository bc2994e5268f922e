"""A policy that somebody else decides, over a socket: what it is asked, what nobody waits for, and
what every client is told when it does not answer."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from packledger.api.access.policy import AT_ONCE
from packledger.server.http.app import COMMAND_THREADS
from policy_server import Asked, PolicyServer
from raw_http import exchange
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

PROGRAM = Path(__file__).parents[1] / "support" / "asking_registry.py"
API = "/cargo/api/v1/crates"
WAIT_S = 30


@pytest.fixture(scope="module")
def server() -> Iterator[PolicyServer]:
    server = PolicyServer()
    yield server
    server.close()


def started(folder: Path, server: PolicyServer, *flags: str) -> RunningRegistry:
    command = (sys.executable, str(PROGRAM), "--policy-port", str(server.port), *flags)
    running = RunningRegistry(folder, command=command)
    running.start()
    return running


@pytest.fixture(scope="module")
def running(
    server: PolicyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRegistry]:
    running = started(tmp_path_factory.mktemp("asking"), server)
    running.add_user("alice")
    running.add_user("bob")
    yield running
    running.close()


@pytest.fixture
def policy(server: PolicyServer) -> Iterator[PolicyServer]:
    server.reset()
    yield server
    server.reset()


def put_npm(running: RunningRegistry, name: str, version: str = "1.0.0") -> httpx.Response:
    body = npm_body({"name": name, "version": version})
    return running.http.put(f"/npm/{name}", json=body, headers=running.token())


def put_crate(running: RunningRegistry, name: str, version: str = "1.0.0") -> httpx.Response:
    content = new_crate(name, version)
    return running.http.put(f"{API}/new", content=content, headers=running.token())


@pytest.fixture(scope="module")
def published(running: RunningRegistry, server: PolicyServer) -> None:
    server.reset()
    assert put_crate(running, "there").status_code == 200
    assert put_npm(running, "there").status_code == 201


def position(running: RunningRegistry) -> int:
    return int(running.http.get("/health").json()["position"])


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


DEPRECATED = {"1.0.0": {"deprecated": "x"}}
EDIT = {"_id": "there", "name": "there"}
ACTS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("publish-new", "PUT", f"{API}/new", {"content": new_crate("fresh", "1.0.0")}),
    ("publish-update", "PUT", f"{API}/new", {"content": new_crate("there", "1.1.0")}),
    ("yank", "DELETE", f"{API}/there/1.0.0/yank", {}),
    ("yank", "PUT", f"{API}/there/1.0.0/unyank", {}),
    ("change-owners", "PUT", f"{API}/there/owners", {"json": {"users": ["bob"]}}),
    ("change-owners", "DELETE", f"{API}/there/owners", {"json": {"users": ["bob"]}}),
    ("publish-new", "PUT", "/npm/fresh", {"json": npm_body({"name": "fresh", "version": "1.0.0"})}),
    (
        "publish-update", "PUT", "/npm/there",
        {"json": npm_body({"name": "there", "version": "1.1.0"})},
    ),
    ("deprecate", "PUT", "/npm/there", {"json": {**EDIT, "versions": DEPRECATED}}),
    ("unpublish", "PUT", "/npm/there/-rev/undefined", {"json": {**EDIT, "versions": {}}}),
    ("unpublish", "DELETE", "/npm/there/-rev/undefined", {}),
    ("unpublish", "DELETE", "/npm/there/-/there-1.0.0.tgz/-rev/undefined", {}),
    ("change-owners", "PUT", "/npm/there", {"json": {**EDIT, "maintainers": [{"name": "bob"}]}}),
    ("change-owners", "PUT", "/npm/-/package/there/owners", {"json": {"user": "bob"}}),
    ("change-owners", "DELETE", "/npm/-/package/there/owners/bob", {}),
    ("change-access", "POST", "/npm/-/package/there/access", {"json": {"access": "public"}}),
    ("dist-tags", "PUT", "/npm/-/package/there/dist-tags/next", {"json": "1.0.0"}),
    ("dist-tags", "DELETE", "/npm/-/package/there/dist-tags/next", {}),
    ("stars", "PUT", "/npm/there", {"json": {**EDIT, "users": {"alice": True}}}),
    ("stars", "PUT", "/npm/-/user/v1/star", {"json": {"package": "there"}}),
]  # fmt: skip
READS = [
    "/cargo/index/th/er/{name}", "/cargo/crates/{name}/1.0.0/download", "/npm/{name}",
    "/npm/{name}/1.0.0", "/npm/{name}/-/{name}-1.0.0.tgz", "/npm/-/package/{name}/dist-tags",
    "/npm/-/package/{name}/owners", "/npm/-/package/{name}/visibility", f"{API}/{{name}}/owners",
    "/audit/cargo/{name}", "/audit/npm/{name}", "/crates/{name}", "/packages/{name}",
    "/as-of/9/npm/{name}", "/as-of/9/cargo/crates/{name}/1.0.0/download",
]  # fmt: skip


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(("action", "method", "path", "body"), ACTS)
def test_every_change_is_asked_about_as_what_it_is(
    running: RunningRegistry, policy: PolicyServer, action: str, method: str, path: str, body: Any
) -> None:
    before = position(running)
    policy.rule = lambda asked: asked.action != action
    answer = running.http.request(method, path, headers=running.token(), **body)
    assert answer.status_code == 403, answer.text
    name = "fresh" if action == "publish-new" else "there"
    ecosystem = "npm" if path.startswith("/npm") else "cargo"
    assert Asked(action, ecosystem, name, "alice") in policy.asked
    assert len(policy.asked) == len(set(policy.asked)), "each once in a request"
    assert position(running) == before


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(("action", "method", "path", "body"), ACTS)
def test_a_change_is_not_made_where_nobody_answers(
    running: RunningRegistry, policy: PolicyServer, action: str, method: str, path: str, body: Any
) -> None:
    before = position(running)
    policy.rule = lambda asked: None if asked.action == action else True
    answer = running.http.request(method, path, headers=running.token(), **body)
    assert_silent(answer)
    assert position(running) == before


def assert_silent(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"]
    said = answer.json()
    if answer.request.url.path.startswith(("/cargo", "/as-of/9/cargo")):
        assert "try again" in said["errors"][0]["detail"]
    else:
        assert "try again" in said["error"]


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("path", READS)
def test_a_read_that_nobody_answers_for_tells_nothing(
    running: RunningRegistry, policy: PolicyServer, path: str
) -> None:
    policy.rule = lambda asked: None
    who = running.token()
    answers = [running.http.get(path.format(name=name), headers=who) for name in ("there", "thera")]
    for answer in answers:
        assert_silent(answer)
    assert answers[0].text == answers[1].text


def test_a_policy_that_hangs_is_waited_for_no_longer_than_is_set(
    policy: PolicyServer, tmp_path: Path
) -> None:
    hasty = started(tmp_path, policy, "--waits-s", "0.2")
    try:
        hasty.add_user("alice")
        policy.holds = lambda asked: True
        assert_silent(hasty.http.get("/npm/there"))
        assert_silent(put_npm(hasty, "there"))
        assert_silent(put_crate(hasty, "there"))
    finally:
        policy.release()
        hasty.close()


@pytest.mark.usefixtures("published")
def test_who_waits_for_a_policy_keeps_nobody_else_waiting(
    running: RunningRegistry, policy: PolicyServer
) -> None:
    """More changes than there are threads for them, all held, and others go on."""
    many = 3 * COMMAND_THREADS
    policy.holds = lambda asked: asked.name.startswith("held")
    with ThreadPoolExecutor(many) as pool:
        held: list[Future[httpx.Response]] = [
            pool.submit(put_npm, running, f"held-{number}") for number in range(many)
        ]
        wait_until(lambda: policy.waiting >= many)
        assert put_npm(running, "others-go-on").status_code == 201
        assert running.http.get("/npm/others-go-on").status_code == 200
        assert not any(one.done() for one in held)
        policy.release()
        policy.holds = lambda asked: False
        for one in held:
            assert one.result().status_code == 201


@pytest.mark.usefixtures("published")
def test_a_list_is_filtered_by_a_few_questions_at_a_time(
    running: RunningRegistry, policy: PolicyServer
) -> None:
    names = [f"listed-{number}" for number in range(40)]
    for name in names:
        assert put_npm(running, name).status_code == 201
    hidden = {*names[::2]}
    policy.asked.clear()
    policy.most = 0
    policy.rule = lambda asked: asked.name not in hidden
    policy.holds = lambda asked: True
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(running.http.get, "/npm/-/v1/search?text=listed&size=250")
        wait_until(lambda: policy.waiting == AT_ONCE)
        policy.holds = lambda asked: False
        policy.release()
        said = asking.result().json()
    assert {one["package"]["name"] for one in said["objects"]} == {*names} - hidden
    assert said["total"] == len(names) - len(hidden)
    assert {one.name for one in policy.asked} >= {*names}
    assert policy.most == AT_ONCE
    policy.rule = lambda asked: None if asked.name in hidden else True
    assert_silent(running.http.get("/npm/-/v1/search?text=listed&size=250"))


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("method", "path", "action"),
    [("PUT", "/npm/there", "publish-update"), ("PUT", f"{API}/there/owners", "change-owners")],
)
def test_who_is_refused_is_not_asked_for_a_body(
    running: RunningRegistry, policy: PolicyServer, method: str, path: str, action: str
) -> None:
    policy.rule = lambda asked: asked.action != action
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: registry\r\nAuthorization: {running.tokens['alice']}"
        "\r\nContent-Length: 40000000\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = exchange(running.port, head.encode())
    assert answer is not None
    assert answer.status == 403


@pytest.mark.usefixtures("published")
def test_a_publish_is_one_even_if_nobody_says_what_its_dependencies_are(
    running: RunningRegistry, policy: PolicyServer
) -> None:
    policy.rule = lambda asked: None if asked.name == "else" else True
    own = f'registry-index = "{running.index}"'
    manifest = f'\n[dependencies.else]\nversion = "1"\n{own}\n'
    content = new_crate("depending", "1.0.0", manifest)
    answer = running.http.put(f"{API}/new", content=content, headers=running.token())
    assert answer.status_code == 200, answer.text
    assert Asked("read", "cargo", "else", "alice") in policy.asked
    policy.rule = lambda asked: True
    assert running.http.get("/cargo/index/de/pe/depending").status_code == 200


@pytest.mark.usefixtures("published")
def test_a_large_upload_goes_on_after_a_question(
    running: RunningRegistry, policy: PolicyServer
) -> None:
    """In pieces, one of which is taken in when the policy is asked: none is lost or taken twice."""
    content = new_crate("large", "1.0.0", **{"noise.txt": random.Random(0).randbytes(300_000)})
    pieces = (content[at : at + 4096] for at in range(0, len(content), 4096))
    answer = running.http.put(f"{API}/new", content=pieces, headers=running.token())
    assert answer.status_code == 200, answer.text
    actions = {one.action for one in policy.asked if one.name == "large"}
    assert actions == {"publish-new", "read"}
    assert running.http.get("/cargo/crates/large/1.0.0/download").status_code == 200
