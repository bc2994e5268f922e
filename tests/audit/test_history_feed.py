"""The history over HTTP: who may read it, and that it is enough to rebuild the registry."""

import hashlib
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import cargo_client
import npm_client
from processes import run
from running_registry import RunningRegistry

SCRIPT = Path(__file__).with_name("replay_index.py")
FEATURES = """
[features]
default = ["std"]
std = []
extra = ["dep:helper"]
both = ["extra", "helper?/fast"]
plain = ["std"]
[dependencies.helper]
version = "1"
optional = true
"""


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def events(registry: RunningRegistry, **query: object) -> list[dict[str, Any]]:
    return lines(registry.http.get("/audit/events", params=query, headers=registry.token()))


@pytest.fixture(scope="module", autouse=True)
def _history(registry: RunningRegistry) -> None:
    for version in ("1.0.0", "1.0.1", "2.0.0"):
        cargo_client.published(registry, "Told", version)
        npm_client.published(registry, "@acme/told", version)
    cargo_client.published(registry, "featured", "0.1.0", FEATURES)
    answer = registry.http.delete("/cargo/api/v1/crates/Told/1.0.1/yank", headers=registry.token())
    assert answer.status_code == 200


def replayed(registry: RunningRegistry, *, fails: bool = False) -> str:
    command = [sys.executable, str(SCRIPT), registry.url, registry.tokens["bob"], "--page", "7"]
    return run(command, cwd=SCRIPT.parent, env=dict(os.environ), fails=fails).stdout


def test_an_auditor_rebuilds_the_index_from_the_history_alone(registry: RunningRegistry) -> None:
    assert replayed(registry) == "2 crates replayed, 0 differ\n"


def test_an_auditor_notices_an_index_that_says_otherwise(registry: RunningRegistry) -> None:
    (model,) = (
        folder / "model.sqlite"
        for folder in (registry.data / "read" / "sparse-index").iterdir()
        if folder.is_dir()
    )
    with sqlite3.connect(model) as db:
        db.execute("UPDATE versions SET yanked = 1 - yanked WHERE name = 'featured'")
        db.execute("UPDATE crates SET head = json_set(head, '$.revision', -1)")
    cargo_client.published(registry, "featured", "0.1.1", FEATURES)
    try:
        assert "featured: the index is not what the history says" in replayed(registry, fails=True)
    finally:
        registry.cli("rebuild", "sparse-index")
    assert replayed(registry) == "2 crates replayed, 0 differ\n"


def test_pages_join_without_a_gap_whatever_their_length(registry: RunningRegistry) -> None:
    whole = events(registry)
    assert [one["position"] for one in whole] == list(range(1, len(whole) + 1))
    for limit in (1, 3, 1_000_000):
        found: list[dict[str, Any]] = []
        while page := events(registry, after=len(found), limit=limit):
            found += page
        assert found == whole


def test_the_stored_bytes_are_told_exactly(registry: RunningRegistry) -> None:
    with sqlite3.connect(registry.data / "events.sqlite") as db:
        stored = {
            position: hashlib.sha256(state).hexdigest()
            for position, state in db.execute("SELECT position, state FROM stored_events")
        }
    answer = registry.http.get("/audit/events", headers=registry.token())
    told = {}
    for line in answer.content.splitlines():
        event = line[line.index(b',"event":') + len(b',"event":') : -1]
        told[json.loads(line)["position"]] = hashlib.sha256(event).hexdigest()
    assert told == stored


def test_filters_choose(registry: RunningRegistry) -> None:
    whole = events(registry)
    crate = [one for one in whole if one["subject"] == "cargo:Told"]
    assert [one["what"] for one in crate] == [
        "registered",
        *["version_published"] * 3,
        "version_yanked",
    ]
    assert events(registry, subject="cargo:told") == crate
    assert events(registry, subject="cargo:told", after=crate[1]["position"], limit=2) == crate[2:4]
    by_alice = [one for one in whole if one["by"] == "alice" or one["subject"] == "user:alice"]
    assert events(registry, subject="user:alice") == by_alice
    since = crate[2]["at"]
    assert events(registry, since=since) == [one for one in whole if one["at"] >= since]
    assert events(registry, until=5) == whole[:5]
    assert all(one["token"] and one["request"] for one in crate), "by which token and request"


def test_a_package_has_its_own_history(registry: RunningRegistry) -> None:
    whole = events(registry)
    for path, subject in [
        ("cargo/told", "cargo:Told"),
        ("npm/@acme/told", "npm:@acme/told"),
        ("npm/@acme%2ftold", "npm:@acme/told"),
    ]:
        found = lines(registry.http.get(f"/audit/{path}", headers=registry.token()))
        assert found == [one for one in whole if one["subject"] == subject]
    for path in ("cargo/nothing", "npm/nothing", "npm/@acme/nothing"):
        answer = registry.http.get(f"/audit/{path}", headers=registry.token())
        assert answer.status_code == 404
        assert "nothing" in answer.json()["error"]


@pytest.mark.parametrize("path", ["cargo/told", "npm/@acme/told", "npm/@acme%2ftold"])
def test_a_package_s_history_heeds_what_the_whole_one_does(
    registry: RunningRegistry, path: str
) -> None:
    def asked(**query: object) -> list[dict[str, Any]]:
        answer = registry.http.get(f"/audit/{path}", params=query, headers=registry.token())
        return lines(answer)

    whole = asked()
    assert asked(limit=2) == whole[:2]
    assert asked(after=whole[0]["position"], limit=1) == whole[1:2]
    assert asked(since=whole[1]["position"], until=whole[2]["position"]) == whole[1:3]
    assert asked(since=whole[1]["at"]) == [one for one in whole if one["at"] >= whole[1]["at"]]
    answer = registry.http.get(f"/audit/{path}?limit=0", headers=registry.token())
    assert answer.status_code == 400


@pytest.mark.parametrize("subject", ["cargo:nothing", "npm:nothing", "npm:@a/b", "user:nobody"])
def test_the_history_of_an_unknown_name_says_so(registry: RunningRegistry, subject: str) -> None:
    said = registry.cli("history", subject, "--json", fails=True)
    assert f"there is no `{subject}` in the history" in said
    for known in ("cargo:TOLD", "npm:@acme/told", "user:alice"):
        assert registry.cli("history", known, "--since", "1000000") == ""


@pytest.mark.parametrize("path", ["events", "cargo/told", "npm/@acme/told"])
def test_a_stranger_reads_no_history(registry: RunningRegistry, path: str) -> None:
    assert registry.http.get(f"/audit/{path}").status_code == 401


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1000001", "limit=x", "after=-1", "after=x", "subject=demo", "since=%C2%B2"],
)
def test_a_bad_question_is_refused(registry: RunningRegistry, query: str) -> None:
    answer = registry.http.get(f"/audit/events?{query}", headers=registry.token())
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_page_of_a_package_tells_its_history(registry: RunningRegistry) -> None:
    page = registry.http.get("/crates/Told", headers={"accept": "text/html"}).text
    timeline = page[page.index('class="timeline"') :]
    assert timeline.index("version yanked") < timeline.index("version published")
    assert "by alice" in timeline
    assert registry.tokens["alice"][:12] not in page
