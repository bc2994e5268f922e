"""The same commands on SQLite and on PostgreSQL with Kafka: the same log, the same documents."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import argon2
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from packledger.eventstore import credentials
from packledger.eventstore.log import Recorded
from packledger.projections.catalogue import on_every_node
from postgres_server import PostgresServer
from registry_machine import SEEDS, Registry
from relayed import RelayedFeed
from small_registry import SmallRegistry, assembled

pytestmark = pytest.mark.service


class RepeatingSigner:
    """Signs one text in one way, which a real key does not."""

    def sign(self, text: bytes, algorithm: object) -> bytes:
        return hashlib.sha256(text).digest()


class RepeatingHasher(argon2.PasswordHasher):
    """Salts with nothing but zeros, so that one password has one digest."""

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        return super().hash(password, salt=bytes(16))


class RelayedPages(RelayedFeed):
    page_events = 500

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Return a page as soon as there is one: what is committed is visible a little later."""
        while not (page := super().read(after, min(limit, self.page_events))):
            if after >= self._log.last_position():
                break
            self.wait(0.05)
        return page


class Embedded(Registry):
    def open_small(self, folder: Path) -> SmallRegistry:
        return SmallRegistry(folder, signer=RepeatingSigner())  # type: ignore[arg-type]


class Distributed(Registry):
    server: PostgresServer

    def open_small(self, folder: Path) -> SmallRegistry:
        url = self.opened.enter_context(self.server.store())
        signer: Any = RepeatingSigner()
        return SmallRegistry(folder, url, RelayedPages, signer)


class Both(RuleBasedStateMachine):
    """Two registries, each beside its model, that are asked the same."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded, self.distributed = self.both = Embedded(), Distributed()

    def teardown(self) -> None:
        with ExitStack() as stack:
            for one in self.both:
                stack.enter_context(one.opened)
            for one in self.both:
                one.look()
            self._compare()

    def _compare(self) -> None:
        logs, documents, etags = [], [], []
        for one in self.both:
            small = one.small
            logs.append(small.log.read(0, 1_000_000))
            documents.append(small.live_documents())
            readers = (small.reader("sparse-index").db(), small.reader("packuments").db())
            etags.append(list(assembled(*readers)))
        assert logs[0] == logs[1]
        assert documents[0] == documents[1]
        assert etags[0] == etags[1]

    def each(self, ask: Callable[[Registry], object]) -> None:
        for one in self.both:
            ask(one)

    @rule(seed=SEEDS, page_events=st.integers(1, 5), pages=st.integers(1, 4))
    def project_some(self, seed: int, page_events: int, pages: int) -> None:
        self.each(lambda one: one.project_some(seed, page_events, pages))

    @rule(seed=SEEDS)
    def restart_projector(self, seed: int) -> None:
        self.each(lambda one: one.restart_projector(seed))

    @rule(seed=SEEDS, projection=st.sampled_from(on_every_node()))
    def rebuild(self, seed: int, projection: str) -> None:
        self.each(lambda one: one.rebuild(seed, projection))


def test_every_store_and_every_feed_give_the_same(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Distributed.server = postgres
    monkeypatch.setattr(credentials, "_HASHER", RepeatingHasher(1, 8, parallelism=1))
    run_state_machine_as_test(
        Both,
        settings=settings(
            max_examples=6,
            stateful_step_count=8,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
