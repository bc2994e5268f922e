"""Registries whose processes, disks and code are broken on purpose."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from process_tree import ProcessTree

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
