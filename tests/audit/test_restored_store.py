"""A running registry whose event store was restored from an older backup, or lost its key."""

import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cargo_client import put_crate
from log_checker import check, fsck
from packledger.audit.translog.notes import parse_verifier
from running_registry import RunningRegistry
from uploads import new_crate


@pytest.fixture
def registry(start_registry: Callable[..., RunningRegistry]) -> RunningRegistry:
    return start_registry()


def log_health(registry: RunningRegistry) -> dict[str, Any]:
    answer = registry.http.get("/health")
    assert answer.status_code == 200, answer.text
    health: dict[str, Any] = answer.json()
    return {**health["log"], "status": health["status"], "position": health["position"]}


def wait_for(registry: RunningRegistry, state: str, size: int | None = None) -> dict[str, Any]:
    """Wait until the log is in a state; signed means that it is signed whole."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        health = log_health(registry)
        wanted = health["position"] if size is None and state == "signed" else size
        if health["state"] == state and wanted in {None, health["size"]}:
            return health
        time.sleep(0.05)
    raise AssertionError(f"{health}\n{registry.end_of_log()}")


def publish(registry: RunningRegistry, name: str) -> None:
    answer = put_crate(registry, new_crate(name, "1.0.0"))
    assert answer.status_code == 200, answer.text


def test_a_restored_store_is_not_served_before_another_history_is_begun(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    publish(registry, "before")
    wait_for(registry, "signed")
    events, backup = registry.data / "events.sqlite", tmp_path / "backup.sqlite"
    with closing(sqlite3.connect(events)) as db:
        db.execute("VACUUM INTO ?", (str(backup),))
    publish(registry, "lost")
    signed = wait_for(registry, "signed")
    seen = registry.http.get("/log/checkpoint").text
    old = parse_verifier(registry.cli("log", "key").strip())
    registry.stop()
    for name in ("events.sqlite", "events.sqlite-wal", "events.sqlite-shm"):
        (registry.data / name).unlink(missing_ok=True)
    shutil.copy(backup, events)
    shutil.rmtree(registry.data / "read")
    with pytest.raises(AssertionError, match=f"but {signed['size']} were signed"):
        registry.start()
    # There is no newer backup: another history begins, and auditors see that it is another.
    new = parse_verifier(registry.cli("log", "restart", "--yes").strip())
    registry.start()
    publish(registry, "after")
    wait_for(registry, "signed")
    assert new != old
    well, said = fsck(registry.url, new, tmp_path)
    assert well, said
    assert not fsck(registry.url, old, tmp_path)[0]
    saved = tmp_path / "seen"
    saved.write_text(seen)
    assert not check("continues", f"{registry.url}/log/", str(new), str(saved))[0]


def test_another_history_is_begun_only_after_a_yes(registry: RunningRegistry) -> None:
    wait_for(registry, "signed")
    key = registry.cli("log", "key")
    said = registry.cli("log", "restart", stdin="n\n", fails=True)
    assert "a history that contradicts what was signed before. Begin it?" in said
    assert registry.cli("log", "key") == key
    assert registry.cli("log", "restart", stdin="y\n") != key
    assert registry.cli("log", "key") != key


def test_a_lost_key_is_told_and_publishing_goes_on_unsigned(registry: RunningRegistry) -> None:
    before = wait_for(registry, "signed")
    served = registry.http.get("/log/checkpoint").text
    registry.stop()
    (registry.data / "log.key").unlink()
    registry.start()
    publish(registry, "later")
    refused = wait_for(registry, "refused")
    assert refused["status"] == "degraded"
    assert refused["size"] == before["size"]
    assert "which is not in `log.key` here" in refused["why"]
    assert registry.http.get("/log/checkpoint").text == served


def test_killed_at_any_moment_the_log_goes_on(registry: RunningRegistry, tmp_path: Path) -> None:
    saved = tmp_path / "seen"
    for number in range(3):
        publish(registry, f"crate{number}")
        wait_for(registry, "signed")
        saved.write_text(registry.http.get("/log/checkpoint").text)
        publish(registry, f"more{number}")
        registry._end(signal.SIGKILL)
        registry.start()
        wait_for(registry, "signed")
        key = registry.cli("log", "key").strip()
        well, said = check("continues", f"{registry.url}/log/", key, str(saved))
        assert well, said
