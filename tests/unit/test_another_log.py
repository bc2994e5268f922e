"""Read models that were folded from another log are built anew, however long that log is."""

from pathlib import Path

import pytest

from packledger.projections.catalogue import on_every_node
from packledger.server import wiring
from small_registry import SmallRegistry, memory_folder


def publish(small: SmallRegistry, count: int, text: str) -> None:
    for number in range(count):
        small.publish_npm("alice", "demo", f"1.{number}.0", text=text)
    small.catch_up()


def closed_with(data: Path, count: int, text: str) -> SmallRegistry:
    small = SmallRegistry(data)
    for _ in text:
        small.registry.now()  # other events of the same kind are of another time
    publish(small, count, text)
    small.close()
    return small


@pytest.mark.parametrize("count", [1, 4, 300])
def test_a_log_that_was_restored_and_grew_past_the_models_is_noticed(count: int) -> None:
    with memory_folder() as folder:
        ours = closed_with(folder / "ours", count, "ours")
        assert wiring.set_damaged_aside(ours.settings) == {}
        other = closed_with(folder / "other", count + 2, "another")
        Path(other.settings.data, "events.sqlite").rename(Path(ours.settings.data, "events.sqlite"))
        found = wiring.set_damaged_aside(ours.settings)
        assert found == dict.fromkeys(on_every_node(), "it was folded from another log")
        again = SmallRegistry(folder / "ours")
        again.catch_up()
        assert again.live_documents() == again.fresh_documents(folder / "fresh")
        again.close()


def test_a_log_that_only_grew_is_the_same(tmp_path: Path) -> None:
    small = closed_with(tmp_path / "data", 3, "ours")
    longer = SmallRegistry(tmp_path / "data")
    longer.publish_npm("alice", "demo", "9.0.0")
    longer.close()
    assert wiring.set_damaged_aside(small.settings) == {}
