"""A node that begins with nothing on a long log builds its read models as a rebuild does."""

from contextlib import closing

import pytest

from packledger.projections.catalogue import on_every_node
from packledger.server import wiring
from packledger.server.processes import projecting
from small_registry import SmallRegistry, memory_folder


def test_what_was_never_built_is_built_by_rebuilds(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_folder() as folder, closing(SmallRegistry(folder / "data")) as small:
        for number in range(5):
            small.publish_crate("alice", "demo", f"1.{number}.0")
            small.publish_npm("alice", "demo", f"1.{number}.0")
        board = small.registry.board
        assert wiring.never_built(small.settings) == list(on_every_node())
        projecting.build_from_long_log(small.settings)
        assert not any(map(board.readable, on_every_node())), "a short log is left to the projector"

        monkeypatch.setattr(projecting, "LONG_LOG_EVENTS", 1)
        projecting.build_from_long_log(small.settings)
        assert wiring.never_built(small.settings) == []
        assert all(map(board.readable, on_every_node()))
        length = small.log.last_position()
        assert [board.position(name) for name in on_every_node()] == [length] * len(on_every_node())
        assert small.live_documents() == small.fresh_documents(folder / "fresh")

        # The projector goes on from there, and nothing is built twice.
        generations = [board.generation(name) for name in on_every_node()]
        projecting.build_from_long_log(small.settings)
        small.reopen_projector()
        small.publish_crate("alice", "demo", "2.0.0")
        small.catch_up()
        assert [board.generation(name) for name in on_every_node()] == generations
        document = small.index_files.load("demo")
        assert document is not None
        assert len(document.body.splitlines()) == 6
