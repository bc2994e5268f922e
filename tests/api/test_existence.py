"""What a caller may not see, no answer tells: a hidden package is answered as an absent one.

Over every route of the application that names a package, by every kind of caller. Three names of
one length: `hidden-one` is there and hidden, `hidden-two` is neither, `absent-one` may be seen and
is not there.
"""

import base64
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from routes import PACKAGE, routes_of
from running_registry import RunningRegistry
from uploads import new_crate, npm_body

PROGRAM = Path(__file__).parents[1] / "support" / "hiding_registry.py"
HIDDEN, ABSENT, UNUSED = "hidden-one", "hidden-two", "absent-one"
HIDDEN_STATE = re.compile(rb'^\{"type":"[^"]+","name":"hidden', re.MULTILINE)
"""The stored state of an event that is about a hidden package, behind the entry of a receipt."""
EACH_TIME = {"date", "x-request-id"}
Body = dict[str, Any]


class Asked(NamedTuple):
    method: str
    path: str
    body: Body


def bodies_of(name: str) -> list[tuple[str, str, Body]]:
    """What a client sends where a path alone says too little: method, end of a path, body."""
    edit = {"_id": name, "name": name}
    return [
        ("PUT", f"/npm/{name}", {"json": npm_body({"name": name, "version": "3.0.0"})}),
        ("PUT", f"/npm/{name}", {"json": {**edit, "versions": {"1.0.0": {}}}}),
        ("PUT", f"/npm/{name}", {"json": {**edit, "versions": {"1.0.0": {"deprecated": ""}}}}),
        ("PUT", f"/npm/{name}", {"json": {**edit, "versions": {"1.0.0": {"deprecated": "x"}}}}),
        ("PUT", f"/npm/{name}", {"json": {**edit, "users": {"carl": True}}}),
        ("PUT", f"/npm/{name}", {"json": {**edit, "maintainers": [{"name": "carl"}]}}),
        ("PUT", f"/npm/{name}/-rev/undefined", {"json": {**edit, "versions": {}}}),
        ("PUT", "/npm/-/user/v1/star", {"json": {"package": name}}),
        ("DELETE", "/npm/-/user/v1/star", {"json": {"package": name}}),
        ("PUT", f"/npm/-/package/{name}/dist-tags/next", {"json": "1.0.0"}),
        ("PUT", "/cargo/api/v1/crates/new", {"content": new_crate(name, "3.0.0")}),
        ("PUT", f"/cargo/api/v1/crates/{name}/owners", {"json": {"users": ["carl"]}}),
        ("DELETE", f"/cargo/api/v1/crates/{name}/owners", {"json": {"users": ["carl"]}}),
    ]


def spelt(name: str) -> list[str]:
    """Other spellings that find the same crate."""
    return [name, name.upper(), name.title(), name.replace("-", "_")]


def asked_about(routes: list[tuple[str, str]], name: str) -> list[Asked]:
    found = []
    for method, path in routes:
        for one in spelt(name):
            index = "/".join([one[:2], one[2:4], one]).lower()
            real = path.replace(f"vi/ct/{PACKAGE}", index).replace(PACKAGE, one)
            found.append(Asked(method, real, {"json": {}} if method in {"PUT", "POST"} else {}))
    return found + [Asked(*one) for one in bodies_of(name)]


def creates(asked: Asked) -> bool:
    """A publish under a name that may be seen and is free makes a package."""
    return "content" in asked.body or "_attachments" in asked.body.get("json", {})


@pytest.fixture(scope="module", params=["hook", "policy"])
def hiding(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRegistry]:
    """Hides by a function that answers at once, or by a policy that answers later."""
    folder = tmp_path_factory.mktemp("hiding")
    by = [] if request.param == "hook" else ["--policy"]
    running = RunningRegistry(folder, command=(sys.executable, str(PROGRAM), *by))
    running.start()
    for name in ("anna", "carl"):
        running.add_user(name)
    running.add_user("root", "--admin")
    yield running
    running.close()


@pytest.fixture(scope="module")
def callers(hiding: RunningRegistry) -> dict[str, dict[str, str]]:
    def made(user: str, *options: str) -> dict[str, str]:
        secret = hiding.cli("token", "create", "--user", user, *options).strip()
        return {"authorization": f"Bearer {secret}"}

    basic = base64.b64encode(b"carl:password of carl").decode()
    return {
        "nobody": {},
        "a token": hiding.token("carl"),
        "an administrator": hiding.token("root"),
        "a read-only token": made("carl", "--read-only"),
        "a scoped token": made("carl", "--scope", "publish-new"),
        "a token for a package": made("carl", "--package", "other"),
        "a password": {"authorization": f"Basic {basic}"},
    }


@pytest.fixture(scope="module")
def hidden(hiding: RunningRegistry) -> None:
    publish(hiding, HIDDEN)


def publish(hiding: RunningRegistry, name: str, who: str = "anna", **manifest: Any) -> None:
    put, headers = hiding.http.put, hiding.token(who)
    body = npm_body({"name": name, "version": "1.0.0", **manifest})
    put(f"/npm/{name}", json=body, headers=headers).raise_for_status()
    crate = new_crate(name, "1.0.0")
    put("/cargo/api/v1/crates/new", content=crate, headers=headers).raise_for_status()


def said(answer: httpx.Response, asked: Asked, name: str) -> tuple[int, dict[str, str], str]:
    headers = {key: text for key, text in answer.headers.items() if key not in EACH_TIME}
    return answer.status_code, headers, blurred(answer.text, name)


def blurred(text: str, name: str) -> str:
    """The text without the name that was asked for, however it is spelt or cut up."""
    pattern = name.replace("-", "[-_]")
    text = re.sub(f"{name[:2]}/{name[2:4]}/", "xx/xx/", text, flags=re.I)
    return re.sub(pattern, "the-name", text, flags=re.I)


@pytest.mark.usefixtures("hidden")
def test_a_hidden_package_is_answered_as_an_absent_one(
    hiding: RunningRegistry, callers: dict[str, dict[str, str]]
) -> None:
    named = [one for one in routes_of(hiding.data) if PACKAGE in one.path]
    assert len(named) > 20
    position = hiding.http.get("/health").json()["position"]
    moments = [(method, path.replace("/as-of/9/", f"/as-of/{position}/")) for method, path in named]
    groups = [asked_about(moments, name) for name in (HIDDEN, ABSENT, UNUSED)]
    for caller, headers in callers.items():
        for group in zip(*groups, strict=True):
            compared = group[:2] if creates(group[0]) else group
            answers = {
                name: said(
                    hiding.http.request(one.method, one.path, headers=headers, **one.body),
                    one,
                    name,
                )
                for name, one in zip((HIDDEN, ABSENT, UNUSED), compared, strict=False)
            }
            assert len({repr(one) for one in answers.values()}) == 1, (caller, group[0], answers)
    assert hiding.http.get("/health").json()["position"] == position, "nothing was written"


@pytest.mark.usefixtures("hidden")
def test_who_may_see_it_is_answered_about_it(hiding: RunningRegistry) -> None:
    """Else the comparison above would compare nothing."""
    for path in (
        f"/npm/{HIDDEN}", f"/cargo/index/hi/dd/{HIDDEN}", f"/cargo/crates/{HIDDEN}/1.0.0/download",
        f"/npm/{HIDDEN}/-/{HIDDEN}-1.0.0.tgz", f"/audit/npm/{HIDDEN}",
        f"/cargo/api/v1/crates/{HIDDEN}/owners",
    ):  # fmt: skip
        assert hiding.http.get(path, headers=hiding.token("anna")).status_code == 200, path


LISTS = [
    "/", "/search?q=listed", "/search", "/search?ecosystem=npm", "/npm/-/v1/search?text=listed",
    "/cargo/api/v1/crates?q=listed", '/npm/-/_view/starredByUser?key="anna"',
    "/npm/-/user/anna/stars", "/crates/user-of-one", "/packages/user-of-one",
]  # fmt: skip


def test_lists_totals_and_links_do_not_change_with_what_is_hidden(
    hiding: RunningRegistry, callers: dict[str, dict[str, str]]
) -> None:
    deps = {"hidden-listed": "*", "hidden-nowhere": "*"}
    npm = npm_body({"name": "user-of-one", "version": "1.0.0", "dependencies": deps})
    who = hiding.token("carl")
    hiding.http.put("/npm/user-of-one", json=npm, headers=who).raise_for_status()
    manifest = "".join(f'\n[dependencies.{name}]\nversion = "1"\n' for name in deps)
    crate = new_crate("user-of-one", "1.0.0", manifest)
    put = hiding.http.put
    put("/cargo/api/v1/crates/new", content=crate, headers=who).raise_for_status()
    before = _lists(hiding, callers)
    assert any("hidden-listed" in text for text in before.values()), "a dependency is named"
    publish(hiding, "hidden-listed")
    star = {"package": "hidden-listed"}
    put("/npm/-/user/v1/star", json=star, headers=hiding.token("anna")).raise_for_status()
    assert _lists(hiding, callers) == before
    linked = hiding.http.get("/npm/hidden-listed", headers=hiding.token("anna"))
    assert linked.status_code == 200


def _lists(
    hiding: RunningRegistry, callers: dict[str, dict[str, str]]
) -> dict[tuple[str, str], str]:
    def seen(path: str, headers: dict[str, str]) -> str:
        text = hiding.http.get(path, headers=headers).text
        # Only a search says the time; pages say how long ago something was.
        return re.sub(r'"time": *"[^"]*"|<time[^>]*>[^<]*</time>', "", text)

    return {
        (caller, path): seen(path, headers) for caller, headers in callers.items() for path in LISTS
    }


@pytest.mark.usefixtures("hidden")
def test_a_receipt_of_a_hidden_event_is_that_of_any_event(
    hiding: RunningRegistry, callers: dict[str, dict[str, str]]
) -> None:
    """The entry, which everybody may read in the log, without the state."""
    last = int(hiding.http.get("/health").json()["position"])
    deadline = time.monotonic() + 30
    while int(hiding.http.get("/log/checkpoint").text.split("\n")[1]) < last:
        assert time.monotonic() < deadline, "the log is not signed"
        time.sleep(0.05)
    anna = hiding.token("anna")
    told = {at: hiding.http.get(f"/audit/receipt/{at}", headers=anna) for at in range(1, last + 1)}
    for headers in callers.values():
        for at, whole in told.items():
            answer = hiding.http.get(f"/audit/receipt/{at}", headers=headers)
            assert answer.status_code == 200
            extra, of_anna = (_extra(one.text) for one in (answer, whole))
            assert not HIDDEN_STATE.search(extra)
            assert of_anna.startswith(extra)
    assert any(HIDDEN_STATE.search(_extra(whole.text)) for whole in told.values())


def _extra(receipt: str) -> bytes:
    return base64.b64decode(receipt.split("\n")[1].removeprefix("extra "))
