"""A rebuild tells exactly what differs, and is right while others go on writing."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from histories import EVERYTHING, long_history
from packledger.cli.rebuild import rebuild_shown
from packledger.domain.errors import Unavailable
from packledger.eventstore.damaged_log import DamagedLog
from packledger.feeds.feed import Recorded
from packledger.projections.board import Board
from packledger.projections.catalogue import on_every_node
from packledger.projections.generation import Generations
from packledger.projections.projector import Projector
from packledger.projections.read_model import ReadModel
from packledger.projections.rebuild import Outcome, rebuild, rebuild_all
from packledger.projections.sparse_index.fold import SparseIndex
from small_logs import ListFeed
from small_registry import digest_in, documents_in, memory_folder, new_projection
from verified_registry import Verified


class Models:
    """Live read models of a log, brought up to date once."""

    def __init__(self, folder: Path, log: list[Recorded]) -> None:
        self.root, self.board, self.feed = folder / "read", Board(folder / "board"), ListFeed(log)
        self.projector = self.open_projector()
        self.projector.catch_up()

    def open_projector(self) -> Projector:
        return Projector(
            self.feed, [new_projection(n) for n in on_every_node()], self.root, self.board
        )

    def file(self, name: str) -> Path:
        generations = Generations(self.root, name)
        return generations.model(generations.live())

    def check(self, name: str) -> list[str]:
        return self.rebuild(name, check=True).differences

    def rebuild(self, name: str, *, check: bool = False) -> Outcome:
        return rebuild(self.feed, new_projection(name), self.root, self.board, check=check)

    def close(self) -> None:
        self.projector.close()
        self.board.close()


@pytest.fixture
def models() -> Iterator[Models]:
    with memory_folder() as folder, closing(Models(folder, EVERYTHING)) as models:
        yield models


@pytest.mark.parametrize("name", on_every_node())
def test_a_check_of_what_nobody_touched_reports_nothing(models: Models, name: str) -> None:
    outcome = models.rebuild(name, check=True)
    assert outcome.differences == []
    assert not outcome.swapped
    assert (outcome.rows, outcome.digest) == digest_in(models.file(name))


CHANGES = [
    ("sparse-index", "UPDATE versions SET yanked = 1 WHERE version = '2.0.0'", ["demo"]),
    ("sparse-index", "UPDATE versions SET cksum = '0' WHERE name = 'other'", ["other files"]),
    ("sparse-index", "DELETE FROM versions WHERE name = 'other'", ["other", "other files"]),
    ("sparse-index", "UPDATE crates SET head = replace(head, 'bob', 'eve') WHERE name = 'other'",
     ["other head"]),
    ("packuments", "UPDATE versions SET deprecated = '' WHERE deprecated <> ''",
     ["demo 1 abbreviated", "demo 2 full"]),
    ("packuments", "UPDATE versions SET tarball = 'x' WHERE name = '@acme/tool'",
     ["@acme/tool 3 tarballs"]),
    ("packuments", "UPDATE versions SET full_form = abbreviated WHERE name = 'demo'",
     ["demo 2 full"]),
    ("packuments", "DELETE FROM packages WHERE name = '@acme/tool'",
     ["@acme/tool 1 abbreviated", "@acme/tool 2 full", "@acme/tool 3 tarballs"]),
    ("search", "DELETE FROM words WHERE name = 'Other'", ["cargo:Other"]),
    ("search", "DELETE FROM found WHERE name = '@acme/tool'", ["npm:@acme/tool"]),
    ("search", "UPDATE found SET summary = '{}' WHERE name = 'demo' AND ecosystem = 'npm'",
     ["npm:demo"]),
    ("search", "UPDATE versions SET summary = '{}' WHERE version = '1.0.0'",
     ["the table versions"]),
    ("pages", "UPDATE versions SET state = 1 WHERE key = 'cargo:other'", ["cargo:other"]),
    ("pages", "UPDATE totals SET packages = 9 WHERE ecosystem = 'npm'", ["totals"]),
    ("accounts", "UPDATE accounts SET role = 'admin' WHERE name = 'bob'", ["account bob"]),
    ("accounts", "UPDATE tokens SET sha256 = 'x'", ["token bob-1-3"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "keys"), CHANGES)
def test_a_row_changed_by_hand_is_named_and_mended(
    models: Models, name: str, change: str, keys: list[str]
) -> None:
    whole = documents_in(models.file(name), name)
    with closing(sqlite3.connect(models.file(name), isolation_level=None)) as db:
        assert db.execute(change).rowcount > 0
    assert models.check(name) == keys
    assert models.check(name) == keys, "a check changes nothing"
    assert models.rebuild(name).differences == keys
    assert models.check(name) == []
    assert documents_in(models.file(name), name) == whole


def test_a_row_too_many_is_named(models: Models) -> None:
    with closing(sqlite3.connect(models.file("accounts"), isolation_level=None)) as db:
        db.execute("INSERT INTO accounts VALUES (99, 'eve', 'admin', '', 0)")
    assert models.check("accounts") == ["account eve"]


@pytest.mark.parametrize("name", on_every_node())
def test_a_model_that_cannot_be_compared_is_never_called_equal(models: Models, name: str) -> None:
    with closing(sqlite3.connect(models.file(name), isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'renderer'")
    assert models.check(name) != []
    with closing(sqlite3.connect(models.file(name), isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = value - 1 WHERE key = 'renderer'")
        db.execute("UPDATE meta SET value = 1000 WHERE key = 'position'")
    assert models.check(name) != []


@pytest.mark.parametrize("name", on_every_node())
def test_an_interrupted_rebuild_leaves_the_live_generation_alone(models: Models, name: str) -> None:
    class Broken(ListFeed):
        def read(self, after: int, limit: int) -> list[Recorded]:
            raise OSError("the disk is gone")

    live = models.file(name)
    with pytest.raises(OSError, match="gone"):
        rebuild(Broken(EVERYTHING), new_projection(name), models.root, models.board)
    assert models.file(name) == live
    assert models.check(name) == []


@pytest.mark.parametrize("name", on_every_node())
def test_a_feed_that_is_behind_takes_nothing_from_readers(models: Models, name: str) -> None:
    live, log = models.file(name), len(EVERYTHING)

    def rebuild_it() -> Outcome:
        projections = [new_projection(name)]
        (outcome,) = rebuild_all(
            models.feed, projections, models.root, models.board, log_position=lambda: log
        )
        return outcome

    models.feed.length = log - 1  # a topic that is being published again
    with pytest.raises(Unavailable, match=f"end at event {log - 1}, and what is served knows"):
        rebuild_it()
    assert models.file(name) == live
    assert models.board.position(name) == log
    assert len(list(live.parents[1].glob("0*"))) == 1, "what was built is removed"
    models.feed.length = log
    assert rebuild_it().differences == []
    assert models.file(name) != live


@pytest.mark.parametrize("name", on_every_node())
def test_a_log_from_a_backup_is_rebuilt_although_more_is_served(models: Models, name: str) -> None:
    models.feed.length -= 1
    outcome = models.rebuild(name)
    assert outcome.swapped
    assert models.board.position(name) == outcome.position == len(EVERYTHING) - 1


def test_what_is_written_while_both_are_compared_is_no_difference(models: Models) -> None:
    models.feed.length -= 6
    models.rebuild("sparse-index")
    models.projector.catch_up()

    class Busy(SparseIndex):
        def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
            models.feed.length = len(EVERYTHING)
            models.projector.catch_up()
            return super().documents(db)

    with closing(sqlite3.connect(models.file("sparse-index"), isolation_level=None)) as db:
        db.execute("UPDATE versions SET cksum = '0' WHERE name = 'other'")
    found = rebuild(models.feed, Busy(), models.root, models.board).differences
    assert found == ["other files"]
    assert models.check("sparse-index") == []


def test_a_rebuild_beside_a_working_projector_ends_equal_and_reports_nothing() -> None:
    log = long_history()
    with memory_folder() as folder, closing(Models(folder, log)) as models:
        models.feed.length = len(log) // 20
        stopping = threading.Event()

        def project() -> None:
            while not stopping.is_set():
                models.feed.length = min(len(log), models.feed.length + 7)
                models.projector.step()

        thread = threading.Thread(target=project)
        thread.start()
        try:
            while models.feed.length < len(log):
                projections = [new_projection(name) for name in on_every_node()]
                for outcome in rebuild_all(models.feed, projections, models.root, models.board):
                    assert outcome.differences == [], outcome
        finally:
            stopping.set()
            thread.join()
        models.projector.catch_up()
        for name in on_every_node():
            assert models.check(name) == []
            assert models.board.position(name) == len(log)
            model = ReadModel(folder / name, new_projection(name))
            model.apply(log)
            model.close()
            assert documents_in(models.file(name), name) == documents_in(folder / name, name)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ["sparse-index", "packuments", "pages", "search"])
def test_events_that_cannot_follow_are_told_and_nothing_is_swapped(name: str, check: bool) -> None:
    with memory_folder() as folder:
        verified = Verified(folder)
        for kind, package in (("crate", "demo"), ("npm", "@acme/tool")):
            verified.change(
                "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT),"
                f" '{package}', 'unheard-of') AS BLOB)"
                f" WHERE topic LIKE '{kind}.%' AND topic NOT LIKE '%registered%'"
            )
        live = Generations(folder / "read", name).live()
        with pytest.raises(DamagedLog, match="do not follow from each other"):
            rebuild_shown(verified.settings, [name], check)
        assert Generations(folder / "read", name).live() == live
