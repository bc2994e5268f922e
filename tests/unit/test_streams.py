"""Streams keep their ids, hold their own events alone, and are decided on as what they are."""

import re
import subprocess
import sys
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histories import histories
from packledger.domain.events import EVENTS
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.streams import (
    ACCOUNTS,
    CRATES,
    DOWNLOADS,
    PACKAGES,
    REGISTRY,
    STREAMS,
    AnyStream,
    stream_of,
)
from packledger.feeds.feed import Recorded

ROOT = Path(__file__).parents[2]
PINNED: list[tuple[AnyStream, str, str]] = [
    (CRATES, "A-b_C", "packledger:crate/a_b_c"),
    (PACKAGES, "@Acme/A-b", "packledger:npm/@acme/a-b"),
    (ACCOUNTS, "Ann-a", "packledger:account/ann-a"),
    (DOWNLOADS, "Node-1", "packledger:downloads/Node-1"),
    (REGISTRY, "", "packledger:registry/"),
]


@pytest.mark.parametrize(("kind", "name", "identifier"), PINNED)
def test_the_id_of_a_stream_never_changes(kind: AnyStream, name: str, identifier: str) -> None:
    assert kind.id(name) == uuid5(NAMESPACE_URL, identifier)


def test_every_kind_of_stream_has_a_pinned_id() -> None:
    assert {kind for kind, _, _ in PINNED} == set(STREAMS)


@given(st.sampled_from(STREAMS), st.text(max_size=8))
def test_a_canonical_name_has_the_stream_of_every_spelling(kind: AnyStream, name: str) -> None:
    assert kind.id(kind.canonical(name)) == kind.id(name)


def test_every_event_is_in_streams_of_one_kind_but_for_purges() -> None:
    homes = {event: [one for one in STREAMS if event in one.events] for event in EVENTS.values()}
    assert homes.pop(BlobPurged) == [CRATES, PACKAGES]
    assert {len(kinds) for kinds in homes.values()} == {1}


@settings(max_examples=60, deadline=None)
@given(histories())
def test_an_event_says_the_stream_that_it_is_in(log: list[Recorded]) -> None:
    for one in log:
        kind = stream_of(one.event)
        assert type(one.event) in kind.events
        assert kind.id(kind.name_in(one.event)).hex == one.stream


SNIPPET = """\
from packledger.domain.accounts import account
from packledger.domain.accounts.account import Account
from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.events.npm import NpmStarred
from packledger.domain.streams import ACCOUNTS, CRATES
from packledger.eventstore.log import Log


def decide(log: Log, actor: Actor, starred: NpmStarred) -> Account | None:
    log.execute(CRATES, "a", lambda state, _: crate.decide_yank(state, actor, "a", "1.0.0", True))
    log.execute(ACCOUNTS, "a", lambda state, _: account.decide_disable(state, actor, "a"))
    log.execute(CRATES, "a", lambda state, _: account.decide_disable(state, actor, "a"))  # wrong
    log.execute(ACCOUNTS, "a", lambda state, _: crate.decide_owners(state, actor, "a"))  # wrong
    log.execute(CRATES, "a", lambda state, _: [starred])  # wrong
    CRATES.fold(None, [starred])  # wrong
    log.execute("account", "a", lambda state, _: [])  # wrong
    if actor.admin:
        return log.load(CRATES, "a").state  # wrong
    return log.load(ACCOUNTS, "a").state
"""


def test_a_decision_on_one_kind_of_stream_is_refused_for_another(tmp_path: Path) -> None:
    """By mypy, which sees the package as `make types` does: it cannot follow the install."""
    package = tmp_path / "packledger"
    package.mkdir()
    for layer in ("domain", "eventstore"):
        (package / layer).symlink_to(ROOT / layer)
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    args = ["--strict", "--explicit-package-bases", "--follow-untyped-imports", "snippet.py"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "", *args],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    refused = {int(line) for line in re.findall(r"snippet\.py:(\d+): error", checked.stdout)}
    lines = enumerate(SNIPPET.splitlines(), 1)
    assert refused == {number for number, line in lines if "# wrong" in line}, checked.stdout
