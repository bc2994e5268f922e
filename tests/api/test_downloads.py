"""Downloads are counted by the processes that serve them and end up in the log."""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from processes import run
from running_registry import RunningRegistry
from uploads import new_crate, npm_body, tarball

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


FILES = ("/cargo/crates/counted/1.0.0/download", "/npm/counted/-/counted-1.0.0.tgz")


def test_what_a_client_has_already_is_not_counted_again(start_registry: StartRegistry) -> None:
    """Nor what it goes on with; a download begins with the first byte."""
    registry = start_registry(downloads_flush_s=0.2)
    publish(registry)
    get = registry.http.get
    for path in FILES:
        whole = get(path)
        etag = {"if-none-match": whole.headers["etag"]}
        assert (get(path, headers=etag).status_code, get(path, headers=etag).content) == (304, b"")
        first = get(path, headers={"range": "bytes=0-9"})
        rest = get(path, headers={"range": "bytes=10-", "if-range": whole.headers["etag"]})
        assert (first.status_code, rest.status_code) == (206, 206)
        assert first.content + rest.content == whole.content
        get(path, headers={"range": "bytes=-1"})
        beyond = get(path, headers={"range": f"bytes={len(whole.content)}-"})
        assert beyond.status_code == 416
        assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
        assert registry.http.head(path, headers={"range": "bytes=0-1"}).status_code == 200
    deadline_s = time.monotonic() + DEADLINE_S
    while counted(registry) != (2, 2) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    registry.stop()
    said = [json.loads(line) for line in registry.cli("history", "--json").splitlines()]
    assert sum("counted" in one["what"] for one in said) > 0
    registry.start()
    assert counted(registry) == (2, 2)


def test_curl_goes_on_with_a_download(start_registry: StartRegistry, tmp_path: Path) -> None:
    """More than one piece, so that it comes through a file that is read on."""
    registry = start_registry()
    noise = random.Random(1).randbytes(2_500_000)
    manifest = {"name": "large", "version": "1.0.0"}
    body = npm_body(manifest, tarball(manifest, noise=noise))
    registry.http.put("/npm/large", json=body, headers=registry.token()).raise_for_status()
    url = f"{registry.npm}large/-/large-1.0.0.tgz"
    whole, part = registry.http.get(url).content, tmp_path / "large.tgz"
    for have in (1, 1_000_000, 2_000_000, len(whole) - 1):
        part.write_bytes(whole[:have])
        run(["curl", "-sSf", "-C", "-", "-o", str(part), url], cwd=tmp_path, env=dict(os.environ))
        assert part.read_bytes() == whole
    for asked in ("bytes=1048570-1048580", "bytes=1-2400000", "bytes=-1500000"):
        answer = registry.http.get(url, headers={"range": asked})
        begin, end = answer.headers["content-range"].split()[1].split("/")[0].split("-")
        assert answer.content == whole[int(begin) : int(end) + 1]
        assert answer.headers["etag"]


def test_what_was_not_flushed_yet_is_flushed_at_the_end(start_registry: StartRegistry) -> None:
    registry = start_registry(downloads_flush_s=3600)
    publish(registry)
    registry.http.get("/cargo/crates/counted/1.0.0/download").raise_for_status()
    registry.stop()
    said = [json.loads(line)["what"] for line in registry.cli("history", "--json").splitlines()]
    assert said.count("counted") == 1
