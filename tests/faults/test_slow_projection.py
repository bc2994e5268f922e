"""A projection that no publish waits for gets nowhere: publishes are answered, its lag is seen."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import added_projections
import cargo_client
from added_projections import GATE, SLOW_TAGS
from running_registry import RunningRegistry

SCRIPT = str(Path(added_projections.__file__))


@pytest.fixture
def slowed(tmp_path: Path) -> Iterator[RunningRegistry]:
    gate = tmp_path / GATE
    registry = RunningRegistry(tmp_path, (sys.executable, SCRIPT, str(gate), "serve"))
    registry.start()
    registry.add_user("alice")
    try:
        yield registry
    finally:
        gate.touch()
        registry.close()


def health(registry: RunningRegistry) -> dict[str, Any]:
    answer = registry.http.get("/health")
    return {"code": answer.status_code, **answer.json()}


def test_a_slow_projection_delays_no_publish_and_shows_its_lag(slowed: RunningRegistry) -> None:
    cargo_client.published(slowed, "swift", "1.0.0")
    assert slowed.http.get("/cargo/index/sw/if/swift").status_code == 200
    told = health(slowed)
    assert (told["code"], told["status"]) == (200, "degraded")
    assert told["feed"]["state"] == "ok", "nobody has waited in vain"
    slow = told["projections"].pop(SLOW_TAGS.name)
    assert slow["awaited"] is False
    assert slow["state"] == "catching up"
    assert slow["lag_events"] == told["position"] - slow["position"] > 0
    assert {one["lag_events"] for one in told["projections"].values()} == {0}

    (slowed.data.parent / GATE).touch()
    deadline_s = time.monotonic() + 30
    # "ok" is said of a few events behind, too: where it is was read before whether it may be read.
    while (told := health(slowed))["projections"][SLOW_TAGS.name]["lag_events"] != 0:
        assert time.monotonic() < deadline_s, told
        time.sleep(0.05)
    assert health(slowed)["status"] == "ok"
