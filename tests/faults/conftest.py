"""Registries whose processes, disks and code are broken on purpose."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from documents_served import Published, documents, publish_all, running
from process_tree import ProcessTree
from small_registry import SmallRegistry

StartTree = Callable[..., ProcessTree]


@pytest.fixture
def start_tree(tmp_path: Path) -> Iterator[StartTree]:
    """Start a registry with alice's token: `start_tree(workers=2)`; a `folder` may be given."""
    started: list[ProcessTree] = []

    def start(folder: Path | None = None, **settings: object) -> ProcessTree:
        tree = ProcessTree(folder or tmp_path / f"registry-{len(started)}", **settings)
        started.append(tree)
        tree.start()
        tree.add_user("alice")
        return tree

    yield start
    for tree in started:
        tree.close()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The data directory of a registry that was stopped; tests work on copies of it."""
    with running(tmp_path_factory.mktemp("published")) as tree:
        tree.add_user("alice")
        with httpx.Client(base_url=tree.direct, timeout=30) as http:
            publish_all(http, tree.tokens["alice"])
        return Published(tree.data, tree.url, documents(tree.direct), tree.tokens["alice"])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallRegistry]:
    registry = SmallRegistry(tmp_path / "data")
    registry.registry.board.stop()
    yield registry
    registry.close()
