"""A registry to test against: a real server, started once per module or fresh for one test."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgres_server import postgres
from running_registry import RunningRegistry

__all__ = ["postgres"]

StartRegistry = Callable[..., RunningRegistry]
UMASK = os.umask(0o022)
os.umask(UMASK)
TMPDIR = os.environ.get("TMPDIR")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A command that a test runs in this process makes it private, and takes its own folders."""
    _as_before()
    yield
    _as_before()


def _as_before() -> None:
    os.umask(UMASK)
    tempfile.tempdir = None
    os.environ.pop("TMPDIR", None)
    if TMPDIR is not None:
        os.environ["TMPDIR"] = TMPDIR


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A running registry with the accounts alice and bob; tests share it by using own names."""
    running = RunningRegistry(tmp_path_factory.mktemp("registry"), registration="open")
    yield from _opened(running)


@pytest.fixture
def start_registry(tmp_path: Path) -> Iterator[StartRegistry]:
    """Start a registry of one's own: `start_registry(max_crate_bytes=…)`."""
    started: list[RunningRegistry] = []

    def start(**settings: object) -> RunningRegistry:
        running = RunningRegistry(tmp_path / f"registry-{len(started)}", **settings)
        started.append(running)
        running.start()
        for name in ("alice", "bob"):
            running.add_user(name)
        return running

    yield start
    for running in started:
        running.close()


def _opened(running: RunningRegistry) -> Iterator[RunningRegistry]:
    try:
        running.start()
        for name in ("alice", "bob"):
            running.add_user(name)
        yield running
    finally:
        running.close()
