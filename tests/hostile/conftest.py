"""A registry with something to lose, and what must hold after every request."""

from collections.abc import Iterator

import pytest

from target import Target


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A registry that is attacked; `alice` owns a crate and three packages there."""
    running = Target(tmp_path_factory.mktemp("target"))
    try:
        running.start()
        for name in ("alice", "bob"):
            running.add_user(name)
        running.fill()
        yield running
        running.assert_unharmed()
    finally:
        running.close()
