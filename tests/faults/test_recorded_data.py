"""Data that an older release left behind: opened, verified and served as that release served it."""

import gzip
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from publications import SAID_YES, bearer, check_served, publication
from recorded_answers import PUBLIC_URL, answers_of
from running_registry import RunningRegistry

RECORDED = Path(__file__).parents[1] / "recorded"
KEPT: dict[str, Any] = json.loads(gzip.decompress((RECORDED / "answers.json.gz").read_bytes()))
TOKENS: dict[str, str] = KEPT["tokens"]


def unpack(name: str, into: Path) -> None:
    with tarfile.open(RECORDED / name) as archive:
        archive.extractall(into, filter="data")


@contextmanager
def served(folder: Path) -> Iterator[RunningRegistry]:
    registry = RunningRegistry(folder, public_url=PUBLIC_URL)
    try:
        registry.start()
        yield registry
    finally:
        registry.close()


def check_the_same(registry: RunningRegistry) -> None:
    answers = answers_of(f"http://127.0.0.1:{registry.port}", TOKENS["root"])
    assert list(answers) == list(KEPT["answers"])
    for asked, answer in KEPT["answers"].items():
        assert answers[asked] == answer, asked


@pytest.fixture
def data(tmp_path: Path) -> Path:
    unpack("registry.tar.gz", tmp_path)
    return tmp_path


def test_a_recorded_registry_is_served_as_it_was(data: Path) -> None:
    with served(data) as registry:
        check_the_same(registry)
        registry.cli("verify")
        registry.cli("rebuild", "--check")


def test_a_recorded_registry_built_anew_is_the_same(data: Path) -> None:
    """The log is the truth: without its read models it serves the same bytes."""
    registry = RunningRegistry(data, public_url=PUBLIC_URL)
    try:
        registry.cli("rebuild")
        registry.start()
        check_the_same(registry)
    finally:
        registry.close()


def test_its_credentials_are_what_they_were(data: Path) -> None:
    with served(data) as registry:
        for ecosystem in ("cargo", "npm"):
            late = publication(ecosystem, f"late-{ecosystem}", "1.0.0")
            assert late.put(registry.http, TOKENS["revoked"]).status_code == 401
            assert late.put(registry.http, TOKENS["carol"]).status_code == 401
            assert late.put(registry.http, TOKENS["alice"]).status_code in SAID_YES
            check_served(registry.http, late.name, [late])
        mine = registry.http.get("/npm/-/whoami", headers=bearer(registry.log_in("bob")))
        assert mine.json() == {"username": "bob"}
        registry.cli("verify")


def test_a_recorded_backup_is_restored_to_the_same(tmp_path: Path) -> None:
    unpack("backup.tar.gz", tmp_path)
    registry = RunningRegistry(tmp_path, public_url=PUBLIC_URL)
    try:
        registry.cli("restore", "--from", str(tmp_path / "backup"))
        registry.start()
        check_the_same(registry)
        registry.cli("verify")
    finally:
        registry.close()
