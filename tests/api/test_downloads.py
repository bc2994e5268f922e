"""Downloads are counted by the processes that serve them and end up in the log."""

import json
import time
from collections.abc import Callable

from running_registry import RunningRegistry
from uploads import new_crate, npm_body

DEADLINE_S = 20
StartRegistry = Callable[..., RunningRegistry]


def publish(registry: RunningRegistry) -> None:
    who = registry.token()
    crate = new_crate("Counted", "1.0.0")
    put = registry.http.put
    put("/cargo/api/v1/crates/new", content=crate, headers=who).raise_for_status()
    body = npm_body({"name": "counted", "version": "1.0.0"})
    put("/npm/counted", json=body, headers=who).raise_for_status()


def counted(registry: RunningRegistry) -> tuple[int, int]:
    crates = registry.http.get("/cargo/api/v1/crates?q=counted").json()["crates"]
    objects = registry.http.get("/npm/-/v1/search?text=counted").json()["objects"]
    return crates[0]["downloads"], objects[0]["downloads"]["total"]


def test_downloads_of_both_ecosystems_are_counted_once_each(start_registry: StartRegistry) -> None:
    registry = start_registry(downloads_flush_s=0.2)
    publish(registry)
    for _ in range(3):
        registry.http.get("/cargo/crates/counted/1.0.0/download").raise_for_status()
        registry.http.get("/npm/counted/-/counted-1.0.0.tgz").raise_for_status()
    registry.http.get("/npm/counted/-/counted-1.0.0.tgz").raise_for_status()
    deadline_s = time.monotonic() + DEADLINE_S
    while counted(registry) != (3, 4) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert counted(registry) == (3, 4)


def test_what_was_not_flushed_yet_is_flushed_at_the_end(start_registry: StartRegistry) -> None:
    registry = start_registry(downloads_flush_s=3600)
    publish(registry)
    registry.http.get("/cargo/crates/counted/1.0.0/download").raise_for_status()
    registry.stop()
    said = [json.loads(line)["what"] for line in registry.cli("history", "--json").splitlines()]
    assert said.count("counted") == 1
