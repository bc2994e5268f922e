"""Real clients, each with a home of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cargo_client import Cargo
from npm_client import NpmClient
from running_registry import RunningRegistry
from sealed_registry import Place, opened


@pytest.fixture(scope="session")
def cargo_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build output that the tests of one worker share."""
    return tmp_path_factory.mktemp("cargo-target")


@pytest.fixture
def cargo_as(
    tmp_path: Path, registry: RunningRegistry, cargo_target: Path
) -> Callable[[str], Cargo]:
    """Make a cargo with a fresh home, signed in as somebody, or as nobody with ``""``."""
    homes = iter(range(100))
    return lambda user: Cargo(tmp_path / f"cargo-home-{next(homes)}", registry, cargo_target, user)


@pytest.fixture
def cargo(cargo_as: Callable[[str], Cargo]) -> Cargo:
    """Alice's cargo."""
    return cargo_as("alice")


@pytest.fixture
def client_as(tmp_path: Path, registry: RunningRegistry) -> Callable[[str, str], NpmClient]:
    """Make an npm or pnpm with a fresh home, signed in as somebody, or as nobody with ``""``."""
    homes = iter(range(100))
    return lambda command, user: NpmClient(
        command, tmp_path / f"{command}-home-{next(homes)}", registry, user
    )


@pytest.fixture
def npm(client_as: Callable[[str, str], NpmClient]) -> NpmClient:
    """Alice's npm."""
    return client_as("npm", "alice")


@pytest.fixture
def pnpm(client_as: Callable[[str, str], NpmClient]) -> NpmClient:
    """Alice's pnpm."""
    return client_as("pnpm", "alice")


@pytest.fixture(scope="module", params=[False, True], ids=["public", "private"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Once public and once private; what went elsewhere is for the test to judge."""
    yield from opened(tmp_path_factory.mktemp("place"), private=request.param)


@pytest.fixture
def place(shared: Place) -> Iterator[Place]:
    """A registry, once public and once private, whose users tell nobody else anything."""
    shared.sealed.caught()
    yield shared
    shared.told_nobody()
