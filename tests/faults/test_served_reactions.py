"""A registry with a reaction beside it: what a rebuild, a restore and a death replay of it."""

import os
import shutil
import signal
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import acting_process
from acting_process import QUICK, Acting, environment_of
from event_stores import execute_sql
from packledger.reactions.reaction import Begins
from process_tree import session, wait_until
from publications import check_served, publication
from recorded_answers import PUBLIC_URL
from running_registry import RunningRegistry

RECORDED = Path(__file__).parents[1] / "recorded"
SERVE = (sys.executable, acting_process.__file__)
TRIES = msgspec.structs.replace(QUICK, first_s=0.5, longest_s=0.5, tries=4)
soon = partial(wait_until, timeout_s=60)


class Reacting(RunningRegistry):
    """A registry that a program serves together with a reaction of its own."""

    def __init__(self, folder: Path, begins: Begins = Begins.BEGINNING) -> None:
        super().__init__(folder, SERVE)
        self.acting = Acting(folder / "acting", str(self.data / "events.sqlite"))
        self.env |= environment_of(self.acting.folder, TRIES, begins)
        # What a publish waits for is not this.
        self.env |= {"PACKLEDGER_PUBLIC_URL": self.url}

    def publish(self, name: str) -> None:
        one = publication("cargo", name, "1.0.0")
        answer = one.put(self.http, self.tokens["alice"])
        assert answer.status_code == 200, answer.text
        check_served(self.http, name, [one])

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/health").json()
        return found

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = self.health()["reactions"]["file"]
        return found

    def acted(self) -> list[int]:
        """What was done, once it is all that is in the log."""
        last = self.health()["position"]
        soon(lambda: self.acting.checkpoint() == last, f"{last} is acted on")
        return self.acting.positions()

    def child(self) -> int:
        (pid,) = children_of(self, "reactions")
        return pid


def children_of(registry: RunningRegistry, name: str) -> list[int]:
    return [
        process.pid
        for process in session(registry.pid)
        if Path(f"/proc/{process.pid}/comm").read_text().strip() == name
    ]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Reacting]:
    with closing(Reacting(tmp_path / "one")) as registry:
        registry.start()
        registry.add_user("alice")
        registry.publish("first")
        yield registry


def test_a_rebuild_and_the_loss_of_every_read_model_replay_nothing(registry: Reacting) -> None:
    before = registry.acted()
    assert before == list(range(1, len(before) + 1))
    registry.cli("rebuild")
    registry.cli("rebuild", "--check")
    registry.stop()
    for name in ("read", "run"):
        shutil.rmtree(registry.data / name)
    registry.cli("rebuild")
    registry.start()
    registry.publish("second")
    after = registry.acted()
    assert after == list(range(1, len(after) + 1))
    assert len(after) > len(before)
    registry.cli("verify")


def test_a_restored_backup_goes_on_from_its_checkpoint(registry: Reacting, tmp_path: Path) -> None:
    """What it had done is not done again; what it had not is, and so is what comes."""
    done = len(registry.acted())
    registry.acting.will(f"holds-{done + 2}")
    registry.publish("second")
    soon(lambda: registry.acting.has(f"held-{done + 2}"), "it is at it")
    registry.cli("backup", "--to", str(tmp_path / "backup"))
    last = registry.health()["position"]
    registry.stop()
    with closing(Reacting(tmp_path / "other")) as other:
        other.tokens = registry.tokens
        other.env |= {"PACKLEDGER_PUBLIC_URL": registry.url}
        other.cli("restore", "--from", str(tmp_path / "backup"))
        assert other.acting.checkpoint() == done + 1
        other.start()
        assert other.acted() == list(range(done + 2, last + 1))
        other.cli("verify")


def test_a_death_of_its_process_is_mended_and_nothing_is_missed(registry: Reacting) -> None:
    for number in range(3):
        registry.acted()
        pid = registry.child()
        os.kill(pid, signal.SIGKILL)
        registry.publish(f"crate-{number}")
        soon(lambda dead=pid: children_of(registry, "reactions") not in ([], [dead]), "it lives")
    acted = registry.acted()
    assert acted == list(range(1, len(acted) + 1)), "it had nothing to do when it died"


def test_nothing_waits_for_one_that_is_at_it(registry: Reacting) -> None:
    last = len(registry.acted())
    registry.acting.will(f"holds-{last + 1}")
    for number in range(3):
        registry.publish(f"crate-{number}")
    assert registry.health()["status"] == "ok"
    assert registry.told()["lag_events"] >= 3
    registry.acting.will(f"go-{last + 1}")
    registry.acted()


def test_health_tells_of_lag_errors_and_what_was_given_up(registry: Reacting) -> None:
    last = len(registry.acted())
    assert registry.told() == {
        "state": "ok",
        "position": last,
        "lag_events": 0,
        "error": "",
        "parked": 0,
        "newest_parked": [],
    }
    registry.acting.will(f"refuses-{last + 1}")
    registry.publish("refused")
    why = f"nobody takes {last + 1}"
    soon(lambda: registry.told()["error"] == why, "it says why")
    soon(lambda: registry.told()["parked"] == 1, "it gives up")
    registry.acted()
    told = registry.told()
    assert (told["state"], told["error"], told["lag_events"]) == ("ok", "", 0)
    parked = {"position": last + 1, "attempts": TRIES.tries, "reason": why}
    assert told["newest_parked"] == [parked]
    health = httpx.get(f"http://127.0.0.1:{registry.port}/health")
    assert health.status_code == 200


def test_without_a_reaction_there_is_no_process_and_no_table(tmp_path: Path) -> None:
    with closing(RunningRegistry(tmp_path)) as registry:
        registry.start()
        assert children_of(registry, "reactions") == []
        assert registry.http.get("/health").json()["reactions"] == {}
        rows = execute_sql(str(registry.data / "events.sqlite"), "SELECT name FROM sqlite_master")
        assert not {"reactions", "parked_events"} & {name for (name,) in rows}


@pytest.mark.parametrize("begins", Begins)
def test_a_registry_of_an_older_release_gets_one(tmp_path: Path, begins: Begins) -> None:
    with tarfile.open(RECORDED / "registry.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    with closing(Reacting(tmp_path, begins)) as registry:
        registry.env |= {"PACKLEDGER_PUBLIC_URL": PUBLIC_URL}
        registry.start()
        soon(lambda: registry.acting.checkpoint() >= 0, "it begins")
        last = registry.health()["position"]
        acted = registry.acted()
        if begins is Begins.BEGINNING:
            assert acted[: last - 1] == list(range(1, last))
        else:
            assert acted == list(range(last - len(acted) + 1, last + 1))
            assert len(acted) < 5, "only what this start appended"
        registry.cli("verify")
