"""SIGKILL at random moments while eight clients publish: what was acknowledged stays."""

import itertools
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from process_tree import ProcessTree
from publications import (
    SAID_YES,
    Publication,
    check_whole,
    publication,
    sentence_of,
)

CLIENTS = 8
MIN_PUBLISHED = 200
KILLS = 12
LIMIT_S = 120
SHARED_NAMES = 3
PATIENCE_S = 60
"""A killed registry is started again meanwhile, which takes ten seconds on a busy machine."""


class Crowd:
    """Clients that publish until they are told to stop, and remember what they were answered."""

    def __init__(self, url: str, token: str, seed: int) -> None:
        self._url, self._token = url, token
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: dict[tuple[str, str, str], Publication] = {}
        self.unknown: dict[tuple[str, str, str], Publication] = {}
        self.wrong: list[str] = []
        self._threads = [
            threading.Thread(target=self._publish, args=(random.Random(seed + number), number))
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _publish(self, chance: random.Random, client: int) -> None:
        with httpx.Client(base_url=self._url, timeout=20) as http:
            while not self._stopping.is_set():
                one = self._next(chance, client)
                try:
                    self._settle(http, one, chance)
                except Exception as error:
                    self.wrong.append(f"{one.key}: {error!r}")
                time.sleep(chance.uniform(0, 0.04))

    def _next(self, chance: random.Random, client: int) -> Publication:
        number = next(self._numbers)
        ecosystem = chance.choice(("cargo", "npm"))
        name = (
            f"shared-{ecosystem}-{chance.randrange(SHARED_NAMES)}"
            if chance.random() < 0.5
            else f"single-{ecosystem}-{client}-{number}"
        )
        return publication(ecosystem, name, f"1.0.{number}", chance.randbytes(4_000))

    def _settle(self, http: httpx.Client, one: Publication, chance: random.Random) -> None:
        """Upload; after a lost answer half of the clients give up, the others try again."""
        with self._lock:
            self.unknown[one.key] = one
        stubborn = chance.random() < 0.5
        deadline_s = time.monotonic() + PATIENCE_S
        for attempt in itertools.count():
            try:
                answer = one.put(http, self._token)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in SAID_YES:
                self._acknowledge(one)
                return
            if answer is not None and answer.status_code == 409:
                # Only the lost first attempt can have taken the version.
                assert attempt > 0, f"a conflict with nobody: {answer.text}"
                assert "already exists" in sentence_of(one.ecosystem, answer)
                self._acknowledge(one)
                return
            # 503 while the read models are opened anew; nothing else may come.
            assert answer is None or answer.status_code == 503, (
                f"{answer.status_code} {answer.text}"
            )
            if not stubborn or self._stopping.is_set():
                return
            assert time.monotonic() < deadline_s, f"no answer in {attempt} attempts"
            time.sleep(0.1)

    def _acknowledge(self, one: Publication) -> None:
        with self._lock:
            self.acknowledged[one.key] = self.unknown.pop(one.key)


def kill_at_random(tree: ProcessTree, crowd: Crowd, chance: random.Random) -> list[str]:
    """Kill each kind of process at least twice, at random moments; return what was killed."""

    def restart_all() -> None:
        tree.kill_everything()
        tree.start()

    kinds: dict[str, Callable[[], None]] = {
        "worker": lambda: tree.kill(chance.choice(tree.workers())),
        "projector": lambda: tree.kill(tree.projector()),
        "arbiter": lambda: tree.kill(tree.arbiter()),
        "service": restart_all,
    }
    deadline = time.monotonic() + LIMIT_S
    plan = [kind for kind in kinds for _ in range(KILLS // len(kinds))]
    chance.shuffle(plan)
    for kind in plan:
        time.sleep(chance.uniform(0.3, 1.2))
        kinds[kind]()
        if chance.random() < 0.7:  # else the next one hits a tree that is still mending
            tree.wait_healthy()
        assert time.monotonic() < deadline, "too slow"
        wait_for_tree(tree)
    while len(crowd.acknowledged) < MIN_PUBLISHED:
        assert time.monotonic() < deadline, f"only {len(crowd.acknowledged)} were published"
        time.sleep(0.1)
    return plan


def wait_for_tree(tree: ProcessTree) -> None:
    """Wait until there is again one of each kind to be killed."""
    deadline = time.monotonic() + 20
    while True:
        try:
            if tree.workers() and tree.projector():
                return
        except StopIteration:
            pass
        assert time.monotonic() < deadline, "the supervisor did not start again what was killed"
        time.sleep(0.02)


def positions(data: Path) -> list[int]:
    db = sqlite3.connect(data / "events.sqlite")
    try:
        return [row[0] for row in db.execute("SELECT position FROM stored_events ORDER BY 1")]
    finally:
        db.close()


@pytest.mark.timeout(400)
def test_sigkill_at_any_moment_loses_nothing_that_was_acknowledged(
    start_tree: Callable[..., ProcessTree],
) -> None:
    seed = int(os.environ.get("FAULT_SEED", str(random.randrange(2**32))))
    print(f"FAULT_SEED={seed}")
    tree = start_tree()
    crowd = Crowd(tree.direct, tree.tokens["alice"], seed)
    crowd.start()
    try:
        killed = kill_at_random(tree, crowd, random.Random(seed))
    finally:
        crowd.stop()
    assert not crowd.wrong, f"seed {seed}, killed {killed}: {crowd.wrong[:5]}"
    tree.wait_healthy()
    tree.wait_for_orphans()
    print(f"{len(crowd.acknowledged)} acknowledged, {len(crowd.unknown)} unknown, killed {killed}")

    with httpx.Client(base_url=tree.direct, timeout=20) as http:
        known = [*crowd.acknowledged.values(), *crowd.unknown.values()]
        visible = check_whole(http, known)
        lost = set(crowd.acknowledged) - visible
        assert not lost, f"seed {seed}: acknowledged and not served: {sorted(lost)[:5]}"
        assert http.get("/health").status_code == 200
    assert len(crowd.acknowledged) >= MIN_PUBLISHED
    log = positions(tree.data)
    assert log == list(range(1, len(log) + 1)), "the log has a gap"
    tree.cli("rebuild", "--check")
    tree.stop()
    tree.cli("rebuild", "--check")
