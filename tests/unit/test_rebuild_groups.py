"""How a rebuild of several read models is dealt to processes."""

import pytest

from packledger.cli.rebuild_processes import groups_of
from packledger.projections.board import PROJECTIONS


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_projection_is_rebuilt_by_exactly_one_process(processes: int) -> None:
    groups = groups_of(PROJECTIONS, processes)
    assert len(groups) == min(processes, len(PROJECTIONS))
    assert sorted(name for group in groups for name in group) == sorted(PROJECTIONS)
    assert all(groups)


def test_the_two_heaviest_never_share_a_process() -> None:
    assert not any({"search", "pages"} <= set(group) for group in groups_of(PROJECTIONS, 2))
