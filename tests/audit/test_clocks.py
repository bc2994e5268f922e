"""A clock that was wrong for a moment: what followed is in every view, and `/health` says so."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import cargo_client
import npm_client
from packledger.domain.events.event import encode, tag_of
from packledger.domain.events.registry import DownloadsCounted
from packledger.domain.streams import DOWNLOADS
from packledger.domain.times import rfc3339
from running_registry import RunningRegistry

AHEAD = "2128-01-01T00:00:00.000Z"


def append_dated(data: Path, at: str, node: str) -> None:
    """What another process of the registry would append with such a clock."""
    event = DownloadsCounted(at=at, node=node, counts={"cargo:none": 1})
    with closing(sqlite3.connect(data / "events.sqlite", timeout=30)) as db, db:
        db.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " VALUES (?, 1, ?, ?)",
            (DOWNLOADS.id(node).hex, tag_of(DownloadsCounted), encode(event)),
        )


@pytest.fixture(scope="module")
def jumped(registry: RunningRegistry) -> RunningRegistry:
    assert registry.http.get("/health").json()["clock"] == {"state": "ok", "newest": ""}
    append_dated(registry.data, AHEAD, "ahead")
    cargo_client.published(registry, "afterwards", "1.0.0")
    npm_client.published(registry, "afterwards", "1.0.0")
    return registry


def test_what_follows_an_event_dated_ahead_is_in_every_view(jumped: RunningRegistry) -> None:
    now = rfc3339(datetime.now(UTC))
    for path in ("cargo/index/af/te/afterwards", "npm/afterwards"):
        answer = jumped.http.get(f"/as-of/{now}/{path}", headers=jumped.token())
        assert answer.status_code == 200, answer.text
        assert "1.0.0" in answer.text
    answer = jumped.http.get(f"/as-of/{AHEAD}/npm/afterwards", headers=jumped.token())
    assert (answer.status_code, "in the future" in answer.text) == (400, True)


def test_health_says_that_the_clock_is_behind_the_log(jumped: RunningRegistry) -> None:
    deadline_s = time.monotonic() + 20
    while (answer := jumped.http.get("/health")).json()["clock"]["state"] == "ok":
        assert time.monotonic() < deadline_s
    told = answer.json()
    assert answer.status_code == 200, "readers are served"
    assert told["clock"] == {"state": "behind the log", "newest": AHEAD}
    assert told["status"] == "degraded"
