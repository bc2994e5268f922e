"""Several processes' logs on one store, tiny caches, snapshots lost at will: one truth."""

import random
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_stores import AT, STORES, execute_sql, new_place, open_log
from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.errors import LastOwner, NoSuchOwner
from packledger.domain.events.cargo import CrateRegistered
from packledger.domain.events.event import Event
from packledger.domain.streams import CRATES
from packledger.eventstore import log as log_module
from packledger.eventstore.log import Log

NAMES = ["a", "b", "c", "d"]
PEOPLE = ["alice", "bob", "carol", "dora"]
ADMIN = Actor(AT, "root", admin=True)
LOSSES: list[tuple[str, *tuple[bytes, ...]]] = [
    ("DELETE FROM stored_snapshots",),
    ("DELETE FROM stored_snapshots WHERE (originator_version & 1) = 1",),
    ("UPDATE stored_snapshots SET topic = 'crate.snapshot.v0', state = ?", b"{}"),
]


class Beside:
    """Owners by crate, as a dictionary, beside the logs."""

    def __init__(self, place: str, logs: list[Log]) -> None:
        self.place, self.logs = place, logs
        self.owners: dict[str, list[str]] = {}
        self.lengths = dict.fromkeys(NAMES, 0)

    def register(self, log: Log, name: str) -> None:
        event = CrateRegistered(at=AT, by="alice", name=name, owner="alice")
        log.execute(CRATES, name, lambda state, version: [] if state else [event])
        if name not in self.owners:
            self.owners[name] = ["alice"]
            self.lengths[name] = 1

    def change(self, log: Log, name: str, owner: str, rng: random.Random) -> None:
        if name not in self.owners:
            return self.register(log, name)
        owners, adding = self.owners[name], rng.random() < 0.6
        rival = rng.choice([None, *self.logs]) if adding else None
        decide = self._decide(name, owner, adding, rival)
        try:
            log.execute(CRATES, name, decide)
        except (LastOwner, NoSuchOwner):
            assert not adding
            assert owner not in owners or owners == [owner]
            return None
        if rival is not None:
            self._note(name, f"rival-of-{owner}", True)
        return self._note(name, owner, adding)

    def _note(self, name: str, owner: str, adding: bool) -> None:
        owners = self.owners[name]
        if adding is (owner in owners):
            return
        self.lengths[name] += 1
        if adding:
            owners.append(owner)
        else:
            owners.remove(owner)

    def _decide(
        self, name: str, owner: str, adding: bool, rival: Log | None
    ) -> Callable[[crate.Crate | None, int], list[Event]]:
        """A decision during which a rival, if any, appends once."""
        rivals = [rival] if rival is not None else []

        def decide(state: crate.Crate | None, version: int) -> list[Event]:
            if rivals:
                add = self._decide(name, f"rival-of-{owner}", True, None)
                rivals.pop().execute(CRATES, name, add)
            change = {"add" if adding else "remove": [owner]}
            return crate.decide_owners(state, ADMIN, name, **change)

        return decide

    def check(self, log: Log) -> None:
        for name in NAMES:
            loaded = log.load(CRATES, name)
            assert loaded.version == self.lengths[name]
            assert (list(loaded.state.owners) if loaded.state else None) == self.owners.get(name)


@pytest.mark.parametrize("kind", STORES)
def test_every_handle_loads_what_was_appended_through_any(
    kind: str, request: pytest.FixtureRequest
) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 4), st.integers(1, 4))
    def check(seed: int, steps: int, snapshot_every: int, cached_streams: int) -> None:
        with (
            new_place(kind, request) as place,
            pytest.MonkeyPatch.context() as patch,
            ExitStack() as opened,
        ):
            patch.setattr(log_module, "SNAPSHOT_EVERY", snapshot_every)
            patch.setattr(log_module, "CACHED_STREAMS", cached_streams)
            logs = [opened.enter_context(closing(open_log(place))) for _ in range(4)]
            act(place, logs[:3], random.Random(seed), steps).check(logs[3])

    check()


def act(place: str, logs: list[Log], rng: random.Random, steps: int) -> Beside:
    beside = Beside(place, logs)
    for _ in range(steps):
        beside.change(rng.choice(logs), rng.choice(NAMES), rng.choice(PEOPLE), rng)
        if rng.random() < 0.1:
            execute_sql(place, *rng.choice(LOSSES))
        if rng.random() < 0.3:
            beside.check(rng.choice(logs))
    for log in logs:
        beside.check(log)
    events = logs[0].read(0, 10_000)
    assert [one.position for one in events] == list(range(1, sum(beside.lengths.values()) + 1))
    return beside
