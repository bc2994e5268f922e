"""Purging: given a crate or package, when its bytes must go, then these events, or a refusal."""

from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given as drawn
from hypothesis import settings

from histories import EVERYTHING, histories
from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.errors import (
    Invalid,
    NoSuchPackage,
    NoSuchVersion,
    NotAllowed,
    VersionExists,
    VersionPurged,
    VersionUnpublished,
)
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import (
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionYanked,
)
from packledger.domain.events.event import Event
from packledger.domain.events.npm import (
    NpmDistTagSet,
    NpmRegistered,
    NpmUnpublished,
    NpmVersionPublished,
    NpmVersionUnpublished,
)
from packledger.domain.npm import package as npm_package
from packledger.domain.purge import check_reason, decide_purge_crate, decide_purge_package
from packledger.domain.streams import CRATES, PACKAGES, evolve
from packledger.feeds.feed import Recorded

AT = "2026-11-21T10:00:00.000Z"
ALICE = Actor(AT, "alice")
ROOT = Actor(AT, "root", admin=True)
STAMP: dict[str, Any] = ROOT.stamp()


def crate_of(*versions: str) -> list[Event]:
    published = [
        CrateVersionPublished(
            **STAMP, name="demo", version=one, cksum="c", size_bytes=1, manifest=msgspec.Raw(b"{}")
        )
        for one in versions
    ]
    return [CrateRegistered(**STAMP, name="demo", owner="alice"), *published]


def package_of(*versions: str) -> list[Event]:
    published = [
        NpmVersionPublished(
            **STAMP,
            name="demo",
            version=one,
            tarball="c",
            size_bytes=1,
            shasum="s",
            integrity="i",
            file_count=1,
            unpacked_bytes=1,
            manifest=msgspec.Raw(b"{}"),
            maintainers=(),
        )
        for one in versions
    ]
    latest = NpmDistTagSet(**STAMP, name="demo", dist_tag="latest", version=versions[-1])
    return [NpmRegistered(**STAMP, name="demo", owner="alice"), *published, latest]


def purged(ecosystem: str, version: str = "1.0.0", reason: str = "a secret") -> BlobPurged:
    return BlobPurged(
        **STAMP, ecosystem=ecosystem, name="demo", version=version, digest="c", reason=reason
    )


def decided(events: list[Event], event: BlobPurged, actor: Actor = ROOT) -> list[Event]:
    if event.ecosystem == "cargo":
        return [*decide_purge_crate(CRATES.fold(None, events), actor, event)]  # type: ignore[arg-type]
    return [*decide_purge_package(PACKAGES.fold(None, events), actor, event)]  # type: ignore[arg-type]


def test_a_crates_version_is_yanked_and_purged() -> None:
    yanked = CrateVersionYanked(**STAMP, name="demo", version="1.0.0")
    events = crate_of("1.0.0", "2.0.0")
    assert decided(events, purged("cargo")) == [yanked, purged("cargo")]
    assert decided([*events, yanked], purged("cargo")) == [purged("cargo")]


def test_a_listed_npm_version_is_unpublished_and_purged() -> None:
    gone = NpmVersionUnpublished(**STAMP, name="demo", version="1.0.0")
    assert decided(package_of("1.0.0", "2.0.0"), purged("npm")) == [gone, purged("npm")]
    everything = NpmUnpublished(**STAMP, name="demo")
    assert decided(package_of("1.0.0"), purged("npm")) == [everything, purged("npm")]
    latest = NpmDistTagSet(**STAMP, name="demo", dist_tag="latest", version="1.0.0")
    events = decided(package_of("1.0.0", "2.0.0"), purged("npm", "2.0.0"))
    assert events[0] == latest


def test_an_unpublished_npm_version_is_only_purged() -> None:
    whole = [*package_of("1.0.0"), NpmUnpublished(**STAMP, name="demo")]
    assert decided(whole, purged("npm")) == [purged("npm")]
    gone = NpmVersionUnpublished(**STAMP, name="demo", version="1.0.0")
    one = [*package_of("1.0.0", "2.0.0"), gone]
    assert decided(one, purged("npm")) == [purged("npm")]


@pytest.mark.parametrize("ecosystem", ["cargo", "npm"])
def test_purging_twice_records_once(ecosystem: str) -> None:
    events = (crate_of if ecosystem == "cargo" else package_of)("1.0.0", "2.0.0")
    once = [*events, *decided(events, purged(ecosystem))]
    assert decided(once, purged(ecosystem, reason="another")) == []


@pytest.mark.parametrize("ecosystem", ["cargo", "npm"])
def test_what_cannot_be_purged_is_refused(ecosystem: str) -> None:
    events = (crate_of if ecosystem == "cargo" else package_of)("1.0.0")
    with pytest.raises(NotAllowed, match="administrator"):
        decided(events, purged(ecosystem), ALICE)
    with pytest.raises(NoSuchVersion):
        decided(events, purged(ecosystem, "1.0.1"))
    with pytest.raises(NoSuchVersion):
        decided(events, purged(ecosystem, "1.0.0+build"))
    with pytest.raises(NoSuchPackage):
        decided([], purged(ecosystem))
    whole = [*package_of("1.0.0"), NpmUnpublished(**STAMP, name="demo")]
    with pytest.raises(NoSuchVersion):
        decided(whole, purged("npm", "2.0.0"))


def test_a_purged_crate_version_stays_yanked_and_used() -> None:
    events = crate_of("1.0.0")
    state = CRATES.fold(None, [*events, *decided(events, purged("cargo"))])  # type: ignore[list-item]
    assert isinstance(state, crate.Crate)
    with pytest.raises(VersionPurged, match="a secret"):
        crate.decide_yank(state, ALICE, "demo", "1.0.0", yanked=False)
    with pytest.raises(VersionExists):
        crate.check_publish(state, ALICE, "demo", "1.0.0")


def test_a_purged_npm_version_is_never_published_again() -> None:
    events = package_of("1.0.0", "2.0.0")
    state = PACKAGES.fold(None, [*events, *decided(events, purged("npm"))])  # type: ignore[list-item]
    assert isinstance(state, npm_package.NpmPackage)
    with pytest.raises(VersionUnpublished):
        npm_package.check_publish(state, ALICE, "demo", "1.0.0")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 301, "\x1b[2J"])
def test_a_reason_is_a_line_of_text(reason: str) -> None:
    with pytest.raises(Invalid, match="the reason must be one line"):
        check_reason(reason)
    assert check_reason(" a secret in it ") == "a secret in it"


@settings(max_examples=60, deadline=None)
@drawn(histories())
def test_whatever_is_purged_is_hidden_for_ever(events: list[Recorded]) -> None:
    streams: dict[str, list[Event]] = {}
    for one in events:
        streams.setdefault(one.stream, []).append(one.event)
    for history in streams.values():
        state: Any = reduce(evolve, history, None)
        for version, reason in getattr(state, "purged", {}).items():
            assert reason == "a secret in it"
            if isinstance(state, crate.Crate):
                assert state.find(version).yanked
            else:
                assert isinstance(state, npm_package.NpmPackage)
                assert version in state.removed.values()
                assert version not in state.dist_tags.values()


def test_the_fixed_history_has_purges_of_both_kinds() -> None:
    kinds = {one.event.ecosystem for one in EVERYTHING if isinstance(one.event, BlobPurged)}
    assert kinds == {"cargo", "npm"}
