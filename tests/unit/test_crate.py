"""Crates: given what happened, when somebody asks, then these events, or a refusal."""

from typing import Any

import msgspec
import pytest

from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.cargo.crate import Crate
from packledger.domain.errors import (
    LastOwner,
    NameTaken,
    NoSuchOwner,
    NoSuchPackage,
    NoSuchVersion,
    NotOwner,
    VersionExists,
)
from packledger.domain.events.cargo import (
    CrateOwnerAdded,
    CrateOwnerRemoved,
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
)
from packledger.domain.events.event import Event
from packledger.domain.streams import CRATES

AT = "2026-11-21T10:00:00.000Z"
ALICE = Actor(AT, "alice", "token", "request")
EVE = Actor(AT, "eve")
ROOT = Actor(AT, "root", admin=True)
STAMP: dict[str, Any] = ALICE.stamp()


def published(version: str, name: str = "demo") -> CrateVersionPublished:
    manifest = msgspec.Raw(b"{}")
    return CrateVersionPublished(
        **STAMP, name=name, version=version, cksum=version, size_bytes=1, manifest=manifest
    )


REGISTERED = CrateRegistered(**STAMP, name="demo", owner="alice")
YANKED = CrateVersionYanked(**STAMP, name="demo", version="1.0.0")
UNYANKED = CrateVersionUnyanked(**STAMP, name="demo", version="1.0.0")
BOB_ADDED = CrateOwnerAdded(**STAMP, name="demo", owner="bob")


def given(*events: Event) -> Crate:
    state = CRATES.fold(None, events)
    assert isinstance(state, Crate)
    return state


def test_the_first_publish_takes_the_name() -> None:
    assert crate.decide_publish(None, ALICE, published("1.0.0")) == [REGISTERED, published("1.0.0")]


def test_a_later_publish_is_one_event() -> None:
    state = given(REGISTERED, published("1.0.0"))
    assert crate.decide_publish(state, ALICE, published("1.0.1")) == [published("1.0.1")]


@pytest.mark.parametrize("version", ["1.0.0", "1.0.0+build", "1.0.0+other"])
def test_a_version_is_published_once_whatever_its_build_metadata(version: str) -> None:
    for first in ("1.0.0", "1.0.0+build"):
        state = given(REGISTERED, published(first))
        with pytest.raises(VersionExists, match=first.replace("+", r"\+")):
            crate.decide_publish(state, ALICE, published(version))


def test_a_yanked_version_is_still_taken() -> None:
    state = given(REGISTERED, published("1.0.0"), YANKED)
    with pytest.raises(VersionExists):
        crate.decide_publish(state, ALICE, published("1.0.0"))


def test_another_spelling_of_a_name_is_refused_before_ownership_is_looked_at() -> None:
    with pytest.raises(NameTaken, match="`demo`"):
        crate.decide_publish(given(REGISTERED), EVE, published("1.0.0", name="Demo"))


def test_a_stranger_may_not_publish_but_an_administrator_may() -> None:
    state = given(REGISTERED)
    with pytest.raises(NotOwner, match="`eve`"):
        crate.decide_publish(state, EVE, published("1.0.0"))
    assert crate.decide_publish(state, ROOT, published("1.0.0")) == [published("1.0.0")]


def test_yank_twice_records_once() -> None:
    state = given(REGISTERED, published("1.0.0"))
    assert crate.decide_yank(state, ALICE, "demo", "1.0.0", True) == [YANKED]
    state = given(REGISTERED, published("1.0.0"), YANKED)
    assert crate.decide_yank(state, ALICE, "demo", "1.0.0", True) == []
    assert crate.decide_yank(state, ALICE, "demo", "1.0.0", False) == [UNYANKED]
    state = given(REGISTERED, published("1.0.0"), YANKED, UNYANKED)
    assert crate.decide_yank(state, ALICE, "demo", "1.0.0", False) == []


def test_a_version_is_yanked_by_its_exact_text() -> None:
    state = given(REGISTERED, published("1.0.0+build"))
    with pytest.raises(NoSuchVersion):
        crate.decide_yank(state, ALICE, "demo", "1.0.0", True)
    (yanked,) = crate.decide_yank(state, ALICE, "demo", "1.0.0+build", True)
    assert CRATES.fold(state, [yanked]).versions["1.0.0"].yanked  # type: ignore[union-attr]


def test_what_is_not_there_cannot_be_yanked() -> None:
    with pytest.raises(NoSuchPackage):
        crate.decide_yank(None, ALICE, "demo", "1.0.0", True)
    with pytest.raises(NoSuchPackage, match="`Demo`"):
        crate.decide_yank(given(REGISTERED), ALICE, "Demo", "1.0.0", True)
    with pytest.raises(NoSuchVersion):
        crate.decide_yank(given(REGISTERED), ALICE, "demo", "1.0.0", True)


def test_a_stranger_may_neither_yank_nor_change_owners() -> None:
    state = given(REGISTERED, published("1.0.0"))
    with pytest.raises(NotOwner):
        crate.decide_yank(state, EVE, "demo", "1.0.0", True)
    with pytest.raises(NotOwner):
        crate.decide_owners(state, EVE, "demo", add=["eve"])


def test_owners_come_once_in_the_order_given() -> None:
    events = crate.decide_owners(given(REGISTERED), ALICE, "demo", add=["bob", "alice", "bob", "c"])
    assert [event.owner for event in events] == ["bob", "c"]  # type: ignore[attr-defined]
    assert list(given(REGISTERED, *events).owners) == ["alice", "bob", "c"]


def test_an_owner_may_leave_when_another_one_stays() -> None:
    state = given(REGISTERED, BOB_ADDED)
    events = crate.decide_owners(state, ALICE, "demo", remove=["alice", "alice"])
    assert events == [CrateOwnerRemoved(**STAMP, name="demo", owner="alice")]


@pytest.mark.parametrize("remove", [["alice"], ["alice", "alice"]])
def test_the_last_owner_stays(remove: list[str]) -> None:
    with pytest.raises(LastOwner):
        crate.decide_owners(given(REGISTERED), ALICE, "demo", remove=remove)
    with pytest.raises(LastOwner):
        crate.decide_owners(given(REGISTERED, BOB_ADDED), ALICE, "demo", remove=["alice", "bob"])


def test_who_is_no_owner_cannot_be_removed() -> None:
    with pytest.raises(NoSuchOwner, match="`bob` is no owner of `demo`"):
        crate.decide_owners(given(REGISTERED), ALICE, "demo", remove=["bob"])


def test_ownership_may_be_handed_over_in_one_request() -> None:
    events = crate.decide_owners(given(REGISTERED), ALICE, "demo", add=["bob"], remove=["alice"])
    assert list(given(REGISTERED, *events).owners) == ["bob"]


def test_deciding_and_folding_leave_the_given_state_alone() -> None:
    state = given(REGISTERED, published("1.0.0"))
    before = state.copy()
    CRATES.fold(state, crate.decide_yank(state, ALICE, "demo", "1.0.0", True))
    CRATES.fold(state, crate.decide_owners(state, ALICE, "demo", add=["bob"]))
    CRATES.fold(state, crate.decide_publish(state, ALICE, published("2.0.0")))
    assert state == before


def test_every_event_says_who_when_and_how() -> None:
    for event in crate.decide_publish(None, ALICE, published("1.0.0")):
        assert (event.at, event.by, event.token, event.request) == (AT, "alice", "token", "request")
