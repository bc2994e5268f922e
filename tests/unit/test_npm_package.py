"""npm packages: given what happened, when somebody asks, then these events, or a refusal."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from packledger.domain.accounts.actor import Actor
from packledger.domain.errors import (
    Invalid,
    LastOwner,
    NameTaken,
    NoSuchPackage,
    NoSuchVersion,
    NotFound,
    NotOwner,
    VersionExists,
    VersionUnpublished,
)
from packledger.domain.events.event import Event
from packledger.domain.events.npm import (
    NpmDistTagRemoved,
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmOwnerRemoved,
    NpmRegistered,
    NpmStarred,
    NpmUnpublished,
    NpmUnstarred,
    NpmVersionDeprecated,
    NpmVersionPublished,
    NpmVersionUndeprecated,
    NpmVersionUnpublished,
)
from packledger.domain.npm import package as npm_package
from packledger.domain.npm.package import NpmPackage, highest
from packledger.domain.streams import PACKAGES

AT = "2026-11-21T10:00:00.000Z"
ALICE = Actor(AT, "alice", "token", "request")
EVE = Actor(AT, "eve")
ROOT = Actor(AT, "root", admin=True)
S: dict[str, Any] = {**ALICE.stamp(), "name": "demo"}


def published(version: str, name: str = "demo", by: Sequence[str] = ("alice",)) -> Any:
    return NpmVersionPublished(
        **{**S, "name": name},
        version=version,
        tarball=version,
        size_bytes=1,
        shasum="s",
        integrity="i",
        file_count=1,
        unpacked_bytes=1,
        manifest=msgspec.Raw(b"{}"),
        maintainers=tuple(by),
    )


def tagged(tag: str, version: str) -> Event:
    return NpmDistTagSet(**S, dist_tag=tag, version=version)


REGISTERED = NpmRegistered(**S, owner="alice")


def given(*versions: str, then: Sequence[Event] = ()) -> NpmPackage:
    """A package with these versions, `latest` the last of them."""
    events: list[Event] = [REGISTERED, *map(published, versions)]
    events += [tagged("latest", versions[-1])] if versions else []
    state = PACKAGES.fold(None, [*events, *then])
    assert isinstance(state, NpmPackage)
    return state


def test_the_first_publish_takes_the_name_and_the_tags() -> None:
    events = npm_package.decide_publish(None, ALICE, published("1.0.0", by=()), ["latest"])
    assert events == [REGISTERED, published("1.0.0"), tagged("latest", "1.0.0")]


def test_a_package_without_latest_gets_it_whatever_tag_was_asked_for() -> None:
    events = npm_package.decide_publish(None, ALICE, published("1.0.0"), ["next"])
    assert events[2:] == [tagged("next", "1.0.0"), tagged("latest", "1.0.0")]
    events = npm_package.decide_publish(given("1.0.0"), ALICE, published("2.0.0-rc.1"), ["next"])
    assert events[1:] == [tagged("next", "2.0.0-rc.1")]


def test_a_version_names_the_owners_of_its_moment() -> None:
    state = given("1.0.0", then=[NpmOwnerAdded(**S, owner="bob")])
    (event, _) = npm_package.decide_publish(state, ALICE, published("1.1.0", by=()), ["latest"])
    assert event == published("1.1.0", by=("alice", "bob"))


@pytest.mark.parametrize("version", ["1.0.0", "1.0.0+build"])
def test_a_version_number_is_never_used_twice(version: str) -> None:
    with pytest.raises(VersionExists):
        npm_package.decide_publish(given("1.0.0"), ALICE, published(version), ["latest"])
    gone = NpmVersionUnpublished(**S, version="1.0.0")
    state = given("1.0.0", "1.1.0", then=[gone])
    with pytest.raises(VersionUnpublished):
        npm_package.decide_publish(state, ALICE, published(version), ["latest"])
    state = given("1.0.0", then=[NpmUnpublished(**S)])
    with pytest.raises(VersionUnpublished):
        npm_package.decide_publish(state, ALICE, published(version), ["latest"])


def test_after_unpublishing_all_the_owner_may_publish_again() -> None:
    state = given("1.0.0", then=[NpmUnpublished(**S)])
    events = npm_package.decide_publish(state, ALICE, published("1.0.1"), ["next"])
    assert events == [published("1.0.1"), tagged("next", "1.0.1"), tagged("latest", "1.0.1")]
    with pytest.raises(NotOwner):
        npm_package.decide_publish(state, EVE, published("1.0.1"), ["latest"])
    with pytest.raises(NameTaken):
        npm_package.decide_publish(state, ALICE, published("1.0.1", name="DEMO"), ["latest"])


def test_unpublishing_the_latest_moves_the_tag_and_drops_the_others() -> None:
    state = given("1.0.0", "10.0.0", "9.0.0", "11.0.0-rc.1", "12.0.0", then=[tagged("x", "12.0.0")])
    assert npm_package.decide_unpublish(state, ALICE, "demo", ["12.0.0"]) == [
        tagged("latest", "10.0.0"),
        NpmDistTagRemoved(**S, dist_tag="x"),
        NpmVersionUnpublished(**S, version="12.0.0"),
    ]


def test_unpublishing_what_no_tag_names_is_one_event() -> None:
    events = npm_package.decide_unpublish(given("1.0.0", "2.0.0"), ALICE, "demo", ["1.0.0"])
    assert events == [NpmVersionUnpublished(**S, version="1.0.0")]
    assert npm_package.decide_unpublish(given("1.0.0"), ALICE, "demo", []) == []


def test_unpublishing_the_last_version_unpublishes_the_package() -> None:
    gone = [NpmUnpublished(**S)]
    assert npm_package.decide_unpublish(given("1.0.0"), ALICE, "demo", ["1.0.0"]) == gone
    both = ["1.0.0", "2.0.0"]
    assert npm_package.decide_unpublish(given(*both), ALICE, "demo", both) == gone
    assert npm_package.decide_unpublish_all(given(*both), ALICE, "demo") == gone


def test_what_was_unpublished_cannot_be_changed() -> None:
    state = given("1.0.0", then=[NpmUnpublished(**S)])
    for ask in (
        lambda: npm_package.decide_unpublish_all(state, ALICE, "demo"),
        lambda: npm_package.decide_unpublish(state, ALICE, "demo", ["1.0.0"]),
        lambda: npm_package.decide_set_tag(state, ALICE, "demo", "x", "1.0.0"),
        lambda: npm_package.decide_owners(state, ALICE, "demo", ["bob"]),
        lambda: npm_package.decide_deprecate(state, ALICE, "demo", {"1.0.0": "old"}),
        lambda: npm_package.decide_star(state, ALICE, "demo", True),
    ):
        with pytest.raises(NoSuchPackage):
            ask()


def test_unpublished_versions_lose_their_deprecation_with_their_place() -> None:
    deprecated = NpmVersionDeprecated(**S, version="1.0.0", message="old")
    gone = NpmVersionUnpublished(**S, version="1.0.0")
    state = given("1.0.0", "2.0.0", then=[deprecated, gone])
    assert list(state.versions) == ["2.0.0"]
    assert state.removed == {"1.0.0": "1.0.0"}


def test_a_tag_is_set_once_and_points_to_a_published_version() -> None:
    state = given("1.0.0", "2.0.0")
    assert npm_package.decide_set_tag(state, ALICE, "demo", "x", "1.0.0") == [tagged("x", "1.0.0")]
    assert npm_package.decide_set_tag(state, ALICE, "demo", "latest", "2.0.0") == []
    with pytest.raises(NoSuchVersion):
        npm_package.decide_set_tag(state, ALICE, "demo", "x", "3.0.0")
    with pytest.raises(NotOwner):
        npm_package.decide_set_tag(state, EVE, "demo", "x", "1.0.0")


def test_a_tag_may_go_but_not_latest() -> None:
    state = given("1.0.0", then=[tagged("x", "1.0.0")])
    removed = [NpmDistTagRemoved(**S, dist_tag="x")]
    assert npm_package.decide_remove_tag(state, ALICE, "demo", "x") == removed
    with pytest.raises(Invalid, match="`latest`"):
        npm_package.decide_remove_tag(state, ALICE, "demo", "latest")
    with pytest.raises(NotFound, match="`y`"):
        npm_package.decide_remove_tag(state, ALICE, "demo", "y")


def test_deprecating_records_what_changes_only() -> None:
    old = NpmVersionDeprecated(**S, version="1.0.0", message="old")
    state = given("1.0.0", "2.0.0")
    assert npm_package.decide_deprecate(state, ALICE, "demo", {"1.0.0": "old", "2.0.0": ""}) == [
        old
    ]
    state = given("1.0.0", "2.0.0", then=[old])
    assert npm_package.decide_deprecate(state, ALICE, "demo", {"1.0.0": "old"}) == []
    taken_back = [NpmVersionUndeprecated(**S, version="1.0.0")]
    assert npm_package.decide_deprecate(state, ALICE, "demo", {"1.0.0": ""}) == taken_back
    with pytest.raises(NoSuchVersion):
        npm_package.decide_deprecate(state, ALICE, "demo", {"1.0.1": "old"})


@pytest.mark.parametrize("stored", ["1.0.0", "1.0.0+a"])
@pytest.mark.parametrize("text", ["1.0.0", "v1.0.0", "01.0.0", "1.0.0+a", "1.0.0+b", " =1.0.0 "])
def test_any_text_that_npm_cleans_to_a_version_names_it(stored: str, text: str) -> None:
    """`stored` with build metadata stands in logs of earlier releases; events go on saying it."""
    state = given(stored, "2.0.0")
    with pytest.raises(VersionExists):
        npm_package.decide_publish(state, ALICE, published(text), ["latest"])
    assert npm_package.decide_set_tag(state, ALICE, "demo", "x", text) == [tagged("x", stored)]
    deprecated = NpmVersionDeprecated(**S, version=stored, message="old")
    assert npm_package.decide_deprecate(state, ALICE, "demo", {text: "old"}) == [deprecated]
    gone = NpmVersionUnpublished(**S, version=stored)
    assert npm_package.decide_unpublish(state, ALICE, "demo", [text]) == [gone]
    with pytest.raises(VersionUnpublished):
        npm_package.decide_publish(PACKAGES.fold(state, [gone]), ALICE, published(text), ["latest"])


def test_owners_are_made_to_be_those_of_a_list() -> None:
    state = given("1.0.0", then=[NpmOwnerAdded(**S, owner="bob")])
    assert npm_package.decide_owners(state, ALICE, "demo", ["carol", "bob"]) == [
        NpmOwnerAdded(**S, owner="carol"),
        NpmOwnerRemoved(**S, owner="alice"),
    ]
    assert npm_package.decide_owners(state, ALICE, "demo", ["bob", "alice"]) == []
    with pytest.raises(LastOwner):
        npm_package.decide_owners(state, ALICE, "demo", [])
    with pytest.raises(NotOwner):
        npm_package.decide_owners(state, EVE, "demo", ["eve"])


def test_anybody_may_star_once() -> None:
    starred = NpmStarred(**EVE.stamp(), name="demo")
    assert npm_package.decide_star(given("1.0.0"), EVE, "demo", True) == [starred]
    state = given("1.0.0", then=[starred])
    assert npm_package.decide_star(state, EVE, "demo", True) == []
    unstarred = NpmUnstarred(**EVE.stamp(), name="demo")
    assert npm_package.decide_star(state, EVE, "demo", False) == [unstarred]
    assert npm_package.decide_star(given("1.0.0"), EVE, "demo", False) == []


def test_an_administrator_may_do_what_an_owner_may() -> None:
    assert npm_package.decide_unpublish_all(given("1.0.0"), ROOT, "demo")
    assert npm_package.decide_set_tag(given("1.0.0"), ROOT, "demo", "x", "1.0.0")


def test_other_spellings_are_other_packages_to_readers() -> None:
    with pytest.raises(NoSuchPackage, match="`Demo`"):
        npm_package.decide_unpublish_all(given("1.0.0"), ALICE, "Demo")


@pytest.mark.parametrize(
    ("versions", "wanted"),
    [
        (["1.0.0", "10.0.0", "9.0.0"], "10.0.0"),
        (["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        (["1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-beta"], "1.0.0-rc.10"),
        (["1.0.0+b", "0.9.0"], "1.0.0+b"),
    ],
)
def test_the_highest_is_a_release_if_there_is_one(versions: list[str], wanted: str) -> None:
    assert highest(versions) == wanted


def test_deciding_and_folding_leave_the_given_state_alone() -> None:
    state = given("1.0.0", "2.0.0", then=[tagged("x", "1.0.0")])
    before = state.copy()
    for events in (
        npm_package.decide_publish(state, ALICE, published("3.0.0"), ["latest"]),
        npm_package.decide_unpublish(state, ALICE, "demo", ["1.0.0"]),
        npm_package.decide_unpublish_all(state, ALICE, "demo"),
        npm_package.decide_deprecate(state, ALICE, "demo", {"1.0.0": "old"}),
        npm_package.decide_owners(state, ALICE, "demo", ["bob"]),
        npm_package.decide_star(state, EVE, "demo", True),
    ):
        assert PACKAGES.fold(state, events) != before
    assert state == before
