"""Generations of a read model: one is live, swapped whole, its number used once."""

import threading
from pathlib import Path

import pytest

from packledger.projections.generation import Generations


@pytest.fixture
def generations(tmp_path: Path) -> Generations:
    return Generations(tmp_path, "search")


def make(generations: Generations) -> int:
    number = generations.prepare()
    generations.model(number).write_text(str(number))
    return number


def test_there_is_none_at_first(generations: Generations) -> None:
    assert generations.live() == 0
    assert generations.stamp() == (0, 0)


def test_a_generation_lives_from_its_swap(generations: Generations) -> None:
    first = make(generations)
    assert generations.live() == 0
    generations.swap(first)
    assert generations.live() == first
    second = make(generations)
    assert (generations.live(), second) == (first, first + 1)
    generations.swap(second)
    assert generations.live() == second


def test_the_one_before_stays_until_the_next_swap(generations: Generations) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(make(generations))
        generations.swap(numbers[-1])
    first, second, third = (generations.model(number) for number in numbers)
    assert not first.exists()
    assert second.exists()
    assert third.read_text() == str(numbers[2])


def test_a_swap_changes_the_stamp(generations: Generations) -> None:
    stamps = {generations.stamp()}
    for _ in range(3):
        generations.swap(make(generations))
        stamps.add(generations.stamp())
    assert len(stamps) == 4


def test_what_an_interrupted_rebuild_left_is_not_continued(generations: Generations) -> None:
    left = generations.model(make(generations))
    again = generations.model(generations.prepare())
    assert again == left
    assert not again.exists()
    assert again.parent.is_dir()


def test_a_discarded_generation_leaves_the_live_one(generations: Generations) -> None:
    generations.swap(make(generations))
    number = make(generations)
    generations.discard(number)
    generations.discard(number)
    assert not generations.model(number).parent.exists()
    assert generations.model(generations.live()).exists()


def test_a_number_that_somebody_may_have_open_is_not_used_again(generations: Generations) -> None:
    assert generations.prepare(after=7) == 8
    generations.swap(8)
    assert generations.prepare(after=3) == 9


def test_an_unreadable_current_means_that_none_is_live(
    generations: Generations, tmp_path: Path
) -> None:
    generations.swap(make(generations))
    for damage in ("", "abc"):
        (tmp_path / "search" / "current").write_text(damage)
        assert generations.live() == 0


def test_files_of_others_in_the_folder_survive_a_swap(
    generations: Generations, tmp_path: Path
) -> None:
    (tmp_path / "search" / "notes").mkdir()
    generations.swap(make(generations))
    assert (tmp_path / "search" / "notes").is_dir()


def test_one_holds_the_lock(generations: Generations, tmp_path: Path) -> None:
    order: list[str] = []
    other = Generations(tmp_path, "search")

    def wait_for_it() -> None:
        with other.locked():
            order.append("second")

    with generations.locked():
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
