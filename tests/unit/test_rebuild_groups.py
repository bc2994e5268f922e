"""How a rebuild of several read models is dealt to processes."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.projections.catalogue import on_every_node, weights
from packledger.server.processes.rebuilding import groups_of

NAMES = "abcdefgh"


def heaviest(groups: Sequence[Sequence[str]], weights: dict[str, int]) -> int:
    return max(sum(weights[name] for name in one) for one in groups)


def lightest_possible(weights: Sequence[int], loads: list[int]) -> int:
    """The heaviest load of the best way there is, found by trying every one."""
    if not weights:
        return max(loads)
    best = []
    for at in range(len(loads)):
        if loads[at] not in loads[:at]:  # where two have the same, either will do
            loads[at] += weights[0]
            best.append(lightest_possible(weights[1:], loads))
            loads[at] -= weights[0]
    return min(best)


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_projection_is_rebuilt_by_exactly_one_process(processes: int) -> None:
    groups = groups_of(on_every_node(), processes, weights())
    assert 1 <= len(groups) <= processes
    assert sorted(name for group in groups for name in group) == sorted(on_every_node())
    assert all(groups)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 30), min_size=1), st.integers(1, 5))
def test_the_heaviest_is_at_most_four_thirds_of_the_best(
    weights: dict[str, int], processes: int
) -> None:
    found = heaviest(groups_of([*weights], processes, weights), weights)
    best = lightest_possible([*weights.values()], [0] * processes)
    assert best <= found <= best * 4 / 3


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(1, 64))
def test_thirty_projections_are_dealt_in_a_few_comparisons(
    weights: list[int], processes: int
) -> None:
    looks = 0

    class Counted(dict[str, int]):
        def __getitem__(self, name: str) -> int:
            nonlocal looks
            looks += 1
            return super().__getitem__(name)

    named = Counted((f"projection-{at}", weight) for at, weight in enumerate(weights))
    groups = groups_of([*named], processes, named)
    assert sorted(name for group in groups for name in group) == sorted(named)
    assert len(groups) <= processes
    assert looks <= 3 * 30 * 30, "one for each projection, for each number of processes"


def test_no_more_processes_are_used_than_make_it_faster() -> None:
    assert groups_of("abc", 3, {"a": 4, "b": 2, "c": 2}) == [["a"], ["b", "c"]]
