"""What a rebuild keeps of each package in memory: nothing that an event replaces (ADR 0033)."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from packledger.domain.cargo.manifest import CrateManifest
from packledger.domain.events.cargo import CrateOwnerAdded, CrateRegistered, CrateVersionPublished
from packledger.domain.events.event import Event, encode, tag_of
from packledger.domain.events.npm import (
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmRegistered,
    NpmStarred,
    NpmVersionPublished,
)
from packledger.eventstore.log import Recorded
from packledger.eventstore.mapper import decode_event
from packledger.projections.heads import FragmentProjection
from packledger.projections.packuments.fold import Packuments
from packledger.projections.pages.fold import Pages
from packledger.projections.read_model import run_script
from packledger.projections.search.fold import Search
from packledger.projections.sparse_index.fold import SparseIndex

AT = "2026-11-21T10:00:00.000Z"
OF_ITS_OWN = {"name", "created", "modified"}


def crate(name: str) -> Iterator[Event]:
    manifest = msgspec.Raw(encode(CrateManifest(name=name, version="1.2.3")))
    yield CrateRegistered(at=AT, name=name, owner="alice")
    yield CrateVersionPublished(
        at=AT, name=name, version="1.2.3", cksum="0" * 64, size_bytes=1, manifest=manifest
    )
    yield CrateOwnerAdded(at=AT, name=name, owner="carol")


def package(name: str) -> Iterator[Event]:
    yield NpmRegistered(at=AT, name=name, owner="alice")
    yield NpmVersionPublished(
        at=AT, name=name, version="1.2.3", tarball="0" * 64, size_bytes=1, shasum="0" * 40,
        integrity="sha512-", file_count=1, unpacked_bytes=1, maintainers=("alice",),
        manifest=msgspec.Raw(encode({"name": name, "version": "1.2.3"})),
    )  # fmt: skip
    yield NpmDistTagSet(at=AT, name=name, dist_tag="latest", version="1.2.3")
    yield NpmOwnerAdded(at=AT, name=name, owner="carol")
    yield NpmStarred(at=AT, by="dave", name=name)


def stored(events: list[Event]) -> list[Recorded]:
    """The events as a log gives them: each text is an object of its own."""
    rows = [(tag_of(type(event)), encode(event)) for event in events]
    return [
        Recorded(position, 1, decode_event(tag, state), "0" * 32, tag, state)
        for position, (tag, state) in enumerate(rows, 1)
    ]


def texts(value: Any) -> Iterator[str]:
    """Every text in a head, in order, but those that no other head has."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from texts(list(pair))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, msgspec.Struct):
        fields = set(value.__struct_fields__) - OF_ITS_OWN
        for field in sorted(fields):
            yield from texts(getattr(value, field))


@pytest.mark.parametrize("kind", [SparseIndex, Packuments, Pages, Search])
def test_heads_share_their_texts(kind: type[FragmentProjection[Any]]) -> None:
    projection: Any = kind()
    db = sqlite3.connect(":memory:")
    run_script(db, projection.tables)
    events = [*crate("one"), *crate("two"), *package("one"), *package("two")]
    projection.apply(db, stored(events))
    heads: dict[str, Any] = projection._heads.changed()
    pairs = [("one", "two"), ("cargo:one", "cargo:two"), ("npm:one", "npm:two")]
    compared = 0
    for one, two in pairs:
        if one in heads:
            ours, theirs = list(texts(heads[one])), list(texts(heads[two]))
            assert ours == theirs
            assert [id(text) for text in ours] == [id(text) for text in theirs]
            compared += len(ours)
    assert compared >= len(heads)
    db.close()
