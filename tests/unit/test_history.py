"""The log as people read it."""

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from packledger.audit.history import Chosen, Entry, entry_of, full_entry_of, history
from packledger.commands import accounts, tokens
from packledger.commands.npm import edits as npm_edits
from packledger.commands.tokens import TokenWish
from packledger.domain.accounts.permissions import OPERATOR
from packledger.domain.errors import Invalid
from small_registry import SmallRegistry, memory_folder


@pytest.fixture(scope="module")
def small() -> Iterator[SmallRegistry]:
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        accounts.register(small.registry, small.actor("root"), "alice", "a password")
        small.publish_crate("alice", "demo", "1.0.0")
        small.publish_npm("alice", "demo", "1.0.0")
        alice = small.caller("alice")
        npm_edits.set_tag(small.registry, alice, "demo", "next", "1.0.0")
        wish = TokenWish(label="laptop")
        tokens.issue_token(small.registry, alice.proving(OPERATOR), "alice", wish)
        yield small


def entries(small: SmallRegistry, **chosen: str) -> list[Entry]:
    return [entry_of(one) for one in history(small.log, Chosen(**chosen))]


def test_every_event_is_an_entry_in_order(small: SmallRegistry) -> None:
    found = entries(small)
    assert [one.position for one in found] == list(range(1, small.log.last_position() + 1))
    assert [(one.subject, one.what, one.by) for one in found] == [
        ("registry", "configured", ""),
        ("registry", "signing_key_added", ""),
        ("user:alice", "registered", "root"),
        ("cargo:demo", "registered", "alice"),
        ("cargo:demo", "version_published", "alice"),
        ("npm:demo", "registered", "alice"),
        ("npm:demo", "version_published", "alice"),
        ("npm:demo", "dist_tag_set", "alice"),
        ("npm:demo", "dist_tag_set", "alice"),
        ("user:alice", "issued", "alice"),
    ]
    assert found[8].version == "next 1.0.0"


def test_a_subject_chooses(small: SmallRegistry) -> None:
    assert [one.position for one in entries(small, subject="cargo:demo")] == [4, 5]
    assert [one.position for one in entries(small, subject="npm:demo")] == [6, 7, 8, 9]
    assert [one.position for one in entries(small, subject="user:root")] == [3]
    assert len(entries(small, subject="user:alice")) == 8, "what alice did, and what befell alice"
    assert entries(small, subject="cargo:dem") == []


def test_positions_choose_both_ends_included(small: SmallRegistry) -> None:
    assert [one.position for one in entries(small, since="3", until="5")] == [3, 4, 5]
    assert [one.position for one in entries(small, since="10")] == [10]
    assert entries(small, since="11") == []
    assert len(entries(small, since="0")) == 10
    assert entries(small, until="0") == []


def test_times_choose_both_ends_included(small: SmallRegistry) -> None:
    everything = entries(small)
    middle = everything[3].at
    assert [one.at >= middle for one in entries(small, since=middle)].count(False) == 0
    assert entries(small, since=middle)[0].at == middle
    assert entries(small, until=middle)[-1].at == middle
    assert entries(small, since="2026-11-21", until="2026-11-21") == everything
    assert entries(small, since="2026-11-22") == []
    assert entries(small, until="2026-11-20") == []


def test_a_whole_second_is_all_of_it(small: SmallRegistry) -> None:
    everything = entries(small)
    begins, ends = everything[0].at[:19] + "Z", everything[-1].at[:19] + "Z"
    assert everything[0].at > begins.removesuffix("Z")
    assert entries(small, since=begins, until=ends) == everything


@pytest.mark.parametrize(
    "text", ["²", "①", "9" * 19, "yesterday", "2026-11-21T06:00:00+01:00", "2026-1", "Z", "-1"]
)
def test_what_is_neither_a_position_nor_a_time_is_refused(small: SmallRegistry, text: str) -> None:
    with pytest.raises(Invalid, match="neither a position nor a time"):
        entries(small, since=text)


@pytest.mark.parametrize("subject", ["demo", "cargo:", "crate:demo", ":"])
def test_a_subject_that_is_none_is_refused(small: SmallRegistry, subject: str) -> None:
    with pytest.raises(Invalid, match="must be cargo:NAME"):
        entries(small, subject=subject)


def test_a_package_is_found_by_any_spelling_of_its_name(small: SmallRegistry) -> None:
    assert entries(small, subject="cargo:DEMO") == entries(small, subject="cargo:demo") != []


def test_auditors_see_the_stored_bytes(small: SmallRegistry) -> None:
    for recorded in small.log.read(0, 100):
        line = msgspec.json.encode(full_entry_of(recorded))
        begin = line.index(b',"event":') + len(b',"event":')
        assert line[begin:-1] == recorded.state, "the event is the last field"
        assert msgspec.json.decode(line)["number"] == recorded.version
