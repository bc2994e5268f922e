"""How a rebuild of several read models is dealt to processes."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.projections.board import PROJECTIONS
from packledger.server.processes.rebuilding import groups_of


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_projection_is_rebuilt_by_exactly_one_process(processes: int) -> None:
    groups = groups_of(PROJECTIONS, processes)
    assert 1 <= len(groups) <= processes
    assert sorted(name for group in groups for name in group) == sorted(PROJECTIONS)
    assert all(groups)


@given(st.dictionaries(st.text("abcdefg", min_size=1, max_size=1), st.integers(1, 20), min_size=1))
def test_no_way_to_deal_to_two_processes_has_a_lighter_heaviest(weights: dict[str, int]) -> None:
    found = max(sum(weights[name] for name in one) for one in groups_of([*weights], 2, weights))
    for chosen in product((True, False), repeat=len(weights)):
        left = sum(weight for weight, here in zip(weights.values(), chosen, strict=True) if here)
        assert found <= max(left, sum(weights.values()) - left)


def test_no_more_processes_are_used_than_make_it_faster() -> None:
    assert groups_of("abc", 3, {"a": 4, "b": 2, "c": 2}) == [["a"], ["b", "c"]]
