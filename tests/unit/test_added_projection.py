"""A projection of which nothing is known but its row is built, rebuilt, verified and shown."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from added_projections import NAMES, TAGS, files_of
from asgi_server import AsgiServer
from packledger.cli.main import main
from packledger.cli.verify import verify_all
from packledger.projections import catalogue
from packledger.projections.board import Board
from packledger.server import wiring
from packledger.server.http.app import build_app
from packledger.server.processes.rebuilding import rebuild_in_processes
from packledger.server.stores import places_of
from small_registry import ADMIN, SmallRegistry, documents_in, memory_folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallRegistry]:
    monkeypatch.setattr(catalogue, "CATALOGUE", (*catalogue.CATALOGUE, TAGS, NAMES))
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        small.publish_crate(ADMIN, "one", "1.0.0")
        small.publish_npm(ADMIN, "two", "1.0.0")
        yield small


def spoil(small: SmallRegistry) -> None:
    with closing(sqlite3.connect(small.live_model(TAGS.name))) as db, db:
        db.execute("UPDATE tags SET events = 99 WHERE tag = 'crate.registered.v1'")


def test_it_follows_the_log_like_the_others(small: SmallRegistry) -> None:
    small.catch_up()
    found = documents_in(small.live_model(TAGS.name), TAGS.name)
    assert found["crate.registered.v1"] == found["npm.registered.v1"] == b"1"
    assert small.registry.board.position(TAGS.name) == small.log.last_position()


def test_a_publish_waits_for_it(small: SmallRegistry) -> None:
    small.catch_up()
    assert TAGS.name in small.registry.board.waiting_for(small.log.last_position() + 1)


def test_a_rebuild_mends_it(small: SmallRegistry) -> None:
    small.catch_up()
    assert small.rebuild(TAGS.name, check=True).differences == []
    spoil(small)
    assert small.rebuild(TAGS.name, check=True).differences == ["crate.registered.v1"]
    outcomes = rebuild_in_processes(
        small.settings, [TAGS.name], check=False, progress=lambda done, total: None
    )
    assert [one.differences for one in outcomes] == [["crate.registered.v1"]]
    assert small.rebuild(TAGS.name, check=True).differences == []


def test_it_is_rebuilt_when_its_renderer_changes(
    small: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.catch_up()
    assert not wiring.is_stale(small.settings, TAGS.name)
    monkeypatch.setattr(TAGS.kind, "renderer", 2)
    assert wiring.is_stale(small.settings, TAGS.name)


def test_verify_says_whom_its_damage_affects(small: SmallRegistry) -> None:
    small.catch_up()
    report = verify_all(small.settings, 0, blobs=False)
    assert report.faults == []
    assert TAGS.name in report.read_models
    spoil(small)
    (fault,) = verify_all(small.settings, 0, blobs=False).faults
    assert "`tags` differs" in fault.what
    assert fault.affects == TAGS.affects
    assert fault.mend == "packledger rebuild tags"


def test_a_damaged_file_is_set_aside_and_built_anew(small: SmallRegistry) -> None:
    small.catch_up()
    small.projector.close()
    small.live_model(TAGS.name).write_bytes(b"not a database")
    assert [*wiring.set_damaged_aside(small.settings)] == [TAGS.name]
    small.reopen_projector()
    small.catch_up()
    assert small.rebuild(TAGS.name, check=True).differences == []


def test_health_says_how_far_it_is(small: SmallRegistry) -> None:
    small.catch_up()
    small.registry.board.beat()
    with closing(AsgiServer(build_app(small.settings))) as server:
        shown = httpx.get(f"{server.url}/health").json()["projections"][TAGS.name]
    last = small.log.last_position()
    assert shown == {"state": "ok", "position": last, "lag_events": 0, "awaited": True}


def test_the_board_of_another_release_is_not_disturbed(small: SmallRegistry) -> None:
    small.catch_up()
    before = places_of(small.settings).board.read_bytes()
    with closing(Board(places_of(small.settings).board)) as board:
        board.set_position(TAGS.name, 7_777)
    after = places_of(small.settings).board.read_bytes()
    changed = {at // 8 for at in range(len(before)) if before[at] != after[at]}
    assert changed == {TAGS.slot}


def folder_of_names(small: SmallRegistry) -> Path:
    return small.live_model(NAMES.name).parent


def test_one_that_is_a_folder_is_built_and_rebuilt(small: SmallRegistry) -> None:
    small.catch_up()
    built = files_of(folder_of_names(small))
    assert set(built) == {"of-one", "of-two"}
    checked = small.rebuild(NAMES.name, check=True)
    assert (checked.differences, checked.rows) == ([], len(built))
    (folder_of_names(small) / "of-one").write_bytes(b"[99, 1]")
    assert small.rebuild(NAMES.name, check=True).differences == ["of-one"]
    assert small.rebuild(NAMES.name).differences == ["of-one"]
    assert files_of(folder_of_names(small)) == built
    assert small.rebuild(NAMES.name, check=True) == checked


def test_one_that_is_a_folder_goes_on_in_its_new_generation(small: SmallRegistry) -> None:
    small.catch_up()
    small.rebuild(NAMES.name)
    small.publish_crate(ADMIN, "three", "1.0.0")
    small.catch_up()
    assert "of-three" in files_of(folder_of_names(small))
    assert small.registry.board.position(NAMES.name) == small.log.last_position()


def test_one_that_is_a_folder_is_verified(small: SmallRegistry) -> None:
    small.catch_up()
    (folder_of_names(small) / "of-two").unlink()
    (fault,) = verify_all(small.settings, 0, blobs=False).faults
    assert "`names` differs" in fault.what
    assert "of-two" in fault.what
    assert fault.affects == NAMES.affects


def test_one_that_is_a_folder_is_set_aside_when_damaged(small: SmallRegistry) -> None:
    small.catch_up()
    (folder_of_names(small) / "meta").write_bytes(b"{")
    small.projector.close()
    assert wiring.never_built(small.settings) == [NAMES.name]
    assert [*wiring.set_damaged_aside(small.settings)] == [NAMES.name]
    small.reopen_projector()
    small.catch_up()
    assert small.rebuild(NAMES.name, check=True).differences == []


def test_what_a_setting_is_missing_for_is_not_rebuilt(small: SmallRegistry) -> None:
    said = CliRunner().invoke(main, ["rebuild", "static-tree", "--data", small.settings.data])
    assert said.exit_code != 0
    assert "`static_tree` is not set, so there is no `static-tree` to rebuild" in said.output
