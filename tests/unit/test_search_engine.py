"""The search that cargo, npm and the pages share."""

import sqlite3
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from event_stores import recorded
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.events.cargo import CrateRegistered, CrateVersionPublished
from packledger.domain.events.event import Event
from packledger.domain.events.npm import (
    NpmDistTagSet,
    NpmOwnerAdded,
    NpmRegistered,
    NpmVersionPublished,
)
from packledger.domain.events.registry import DownloadsCounted
from packledger.projections.read_model import ReadModel
from packledger.projections.search.fold import Search
from packledger.projections.search.query import close_enough, parse_query, slips
from packledger.projections.search.reads import search

OLD, NEW = "2025-01-01T00:00:00.000Z", "2026-11-21T00:00:00.000Z"


def crate(name: str, description: str = "", keywords: list[str] = [], at: str = NEW) -> list[Event]:  # noqa: B006
    manifest = {"name": name, "description": description, "keywords": keywords}
    published = CrateVersionPublished(
        at=at, by="alice", name=name, version="1.0.0", cksum="", size_bytes=1,
        manifest=msgspec.Raw(msgspec.json.encode(manifest)),
    )  # fmt: skip
    return [CrateRegistered(at=at, by="alice", name=name, owner="alice"), published]


def package(
    name: str, version: str = "1.0.0", by: str = "alice", **manifest: object
) -> list[Event]:
    said = {"name": name, "version": version, **manifest}
    published = NpmVersionPublished(
        at=NEW, by=by, name=name, version=version, tarball="", size_bytes=1, shasum="",
        integrity="", file_count=1, unpacked_bytes=1, maintainers=(by,),
        manifest=msgspec.Raw(msgspec.json.encode(said)),
    )  # fmt: skip
    tag = NpmDistTagSet(at=NEW, by=by, name=name, dist_tag="latest", version=version)
    return [NpmRegistered(at=NEW, by=by, name=name, owner=by), published, tag]


class Engine:
    def __init__(self, folder: Path) -> None:
        self._model = ReadModel(folder / "model.sqlite", Search())
        self._events = 0

    @property
    def db(self) -> sqlite3.Connection:
        return self._model.db

    def add(self, *events: Event) -> None:
        page = [recorded(self._events + n, n, event) for n, event in enumerate(events, 1)]
        self._model.apply(page)
        self._events += len(events)

    def names(
        self, text: str, ecosystem: str = CARGO, limit: int = 50, offset: int = 0
    ) -> list[str]:
        return [hit.name for hit in search(self.db, ecosystem, text, limit, offset)[0]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    engine.db.close()


def test_the_exact_name_comes_first_then_those_that_begin_with_it(engine: Engine) -> None:
    engine.add(
        *crate("my-serde", "serde serde serde", ["serde"]),
        *crate("serde-json", "json"),
        *crate("serde", "a framework"),
    )
    assert engine.names("serde") == ["serde", "serde-json", "my-serde"]


def test_words_of_description_and_keywords_are_found(engine: Engine) -> None:
    engine.add(*crate("a", "parse dates quickly"), *crate("b", keywords=["dates"]), *crate("c"))
    assert sorted(engine.names("dates")) == ["a", "b"]
    assert engine.names("parse quick") == ["a"]


def test_a_slip_is_forgiven_when_nothing_matches(engine: Engine) -> None:
    engine.add(*crate("tokio"), *crate("serde_json"), *package("@acme/express"))
    assert engine.names("tokoi") == ["tokio"]
    assert engine.names("serde-jsno") == ["serde_json"]
    assert engine.names("expresss", NPM) == ["@acme/express"]
    assert engine.names("nothing-like-it") == []


def test_of_what_may_be_meant_the_nearest_comes_first(engine: Engine) -> None:
    engine.add(*(event for number in range(5) for event in crate(f"wanted-{number}")))
    engine.add(DownloadsCounted(at=NEW, node="n", counts={"cargo:wanted-0": 100}))
    assert engine.names("wantde-3")[:2] == ["wanted-3", "wanted-0"]


def test_among_equals_more_downloads_come_first(engine: Engine) -> None:
    engine.add(*crate("http-one", "http"), *crate("http-two", "http"))
    assert engine.names("http") == ["http-one", "http-two"]
    engine.add(DownloadsCounted(at=NEW, node="n", counts={"cargo:http-two": 600}))
    engine.add(DownloadsCounted(at=NEW, node="n", counts={"cargo:http-two": 400}))
    assert engine.names("http") == ["http-two", "http-one"]
    assert search(engine.db, CARGO, "http-two", 1)[0][0].downloads == 1_000


def test_among_equals_the_fresher_comes_first_by_the_logs_own_time(engine: Engine) -> None:
    engine.add(*crate("yaml-one", "yaml", at=OLD), *crate("yaml-two", "yaml", at=NEW))
    assert engine.names("yaml") == ["yaml-two", "yaml-one"]


def test_npm_qualifiers_narrow_down(engine: Engine) -> None:
    engine.add(
        *package("@acme/ui", keywords=["React", "ui"]),
        *package("ui", "0.1.0", by="bob", keywords=["ui"]),
        NpmOwnerAdded(at=NEW, name="ui", owner="carol"),
    )
    found = {
        query: sorted(engine.names(query, NPM))
        for query in (
            "scope:acme",
            "scope:@acme ui",
            "keywords:react",
            "keywords:ui,-react",
            "author:bob",
            "maintainer:carol",
            "not:unstable",
            "is:unstable",
            "keywords:ui+react",
            "scope:none",
        )
    }
    assert found == {
        "scope:acme": ["@acme/ui"],
        "scope:@acme ui": ["@acme/ui"],
        "keywords:react": ["@acme/ui"],
        "keywords:ui,-react": ["ui"],
        "author:bob": ["ui"],
        "maintainer:carol": ["ui"],
        "not:unstable": ["@acme/ui"],
        "is:unstable": ["ui"],
        "keywords:ui+react": ["@acme/ui"],
        "scope:none": [],
    }


def test_a_bare_name_finds_the_scoped_package_before_longer_names(engine: Engine) -> None:
    engine.add(*package("button-group"), *package("@acme/button"))
    assert engine.names("button", NPM) == ["@acme/button", "button-group"]


def test_pages_do_not_overlap_and_the_total_is_true(engine: Engine) -> None:
    for number in range(25):
        engine.add(*crate(f"page-{number:02}", "same words"))
    pages = [engine.names("same", limit=10, offset=offset) for offset in (0, 10, 20)]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert len({name for page in pages for name in page}) == 25
    assert search(engine.db, CARGO, "same", 3)[1] == 25
    assert search(engine.db, CARGO, "", 3)[1] == 25


def test_both_ecosystems_are_searched_at_once_for_the_pages(engine: Engine) -> None:
    engine.add(*crate("both"), *package("both"))
    hits, total = search(engine.db, "", "both", 10)
    assert [(hit.ecosystem, hit.name) for hit in hits] == [("cargo", "both"), ("npm", "both")]
    assert total == 2


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = Engine(tmp_path_factory.mktemp("searched"))
    engine.add(*crate("serde", "a framework", ["json"]), *package("@acme/ui", keywords=["ui"]))
    return engine


@given(text=st.text(max_size=60), ecosystem=st.sampled_from([CARGO, NPM, ""]))
def test_whatever_is_typed_finds_something_or_nothing(
    searched: Engine, text: str, ecosystem: str
) -> None:
    hits, total = search(searched.db, ecosystem, text, 10)
    assert len(hits) == min(total, 10)


@given(
    parts=st.lists(
        st.sampled_from(
            ["author:", "keywords:a,-b", "scope:@s", "not:unstable", 'x"y', '"a b"', "*", "NEAR(",
             "a-b", "é", "keywords:", ":", "boost-exact:false", "'", "OR", "AND", "NOT"]
        )
    )
)  # fmt: skip
def test_qualifiers_and_fts_syntax_never_break_a_search(searched: Engine, parts: list[str]) -> None:
    hits, total = search(searched.db, "", " ".join(parts), 10)
    assert len(hits) == min(total, 10)


def test_the_words_around_qualifiers_remain() -> None:
    query = parse_query('web "two words" scope:@acme framework')
    assert query.text == "web two words framework"
    assert query.scope == "acme"


@given(name=st.text("abc", min_size=8, max_size=12), at=st.integers(0, 6))
def test_one_slip_of_any_kind_is_close_enough(name: str, at: int) -> None:
    swapped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    for slip in (name[:at] + name[at + 1 :], name[:at] + "x" + name[at:], swapped):
        assert close_enough(slip, name)
    assert not close_enough(name, "xyz" + name[3:])


NAMES = 1_500
WORDS = [a + b + c for a in "acpfnsht" for b in "aeiou" for c in ("re", "st", "n", "de")]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A registry in which every word is common, and words look alike."""
    engine = Engine(tmp_path_factory.mktemp("crowded"))
    for number in range(NAMES):
        some = [WORDS[(number * step) % len(WORDS)] for step in range(3, 15)]
        engine.add(*package(f"{'-'.join(some)}-{number}", description=" ".join(some)))
    return engine


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([*"acpfnshto", *WORDS[:20], "ca", "keywords:a,-b", "not:unstable"])
        | st.sampled_from(["keywords", "author", "maintainer"]).flatmap(
            lambda name: st.integers(0, 99).map(lambda number: f"{name}:-x{number}")
        ),
        min_size=1,
        max_size=200,
    )
)
@example(parts=list("acpfnshto"))
@example(parts=[f"keywords:-x{number}" for number in range(160)])
@example(parts=[f"keywords:-x{number}" for number in range(40)])
@example(parts=["-".join(WORDS)])
def test_no_text_costs_more_than_a_tenth_of_a_second(crowded: Engine, parts: list[str]) -> None:
    began_s = time.thread_time()
    search(crowded.db, NPM, " ".join(parts), 20)
    assert time.thread_time() - began_s < 0.1


def test_slow_searches_find_the_names_that_begin_with_what_was_typed(crowded: Engine) -> None:
    hits, total = search(crowded.db, NPM, "ca", NAMES, budget_s=0)
    found = [hit.name for hit in hits]
    assert found == sorted(found)
    assert found
    assert all(name.startswith("ca") for name in found)
    assert total == len(found) < len(crowded.names("ca", NPM, NAMES))
    # The next search has all of its time again.
    assert len(crowded.names("ca", NPM)) == 50


def test_one_letter_stands_for_itself_and_two_begin_words(engine: Engine) -> None:
    engine.add(*crate("lang", "a language like C"), *crate("cargo"), *crate("calm"))
    assert engine.names("c") == ["lang"]
    assert sorted(engine.names("ca")) == ["calm", "cargo"]


def test_qualifiers_beyond_the_eighth_are_not_looked_at() -> None:
    query = parse_query(" ".join(f"author:a{n} keywords:k{n},-x{n}" for n in range(20)))
    assert len(query.people + query.keywords + query.without_keywords) == 8
    assert query.people == tuple(f"a{n}" for n in range(8))


@given(left=st.text("ab", max_size=9), right=st.text("ab", max_size=9))
def test_slips_are_counted_alike_from_both_sides_and_up_to_three(left: str, right: str) -> None:
    assert slips(left, right) == slips(right, left) == min(_all_slips(left, right), 3)


def _all_slips(left: str, right: str) -> int:
    """Optimal string alignment as its definition has it."""

    @cache
    def count(i: int, j: int) -> int:
        if not (i and j):
            return i + j
        best = [count(i - 1, j) + 1, count(i, j - 1) + 1]
        best.append(count(i - 1, j - 1) + (left[i - 1] != right[j - 1]))
        if min(i, j) > 1 and left[i - 1] == right[j - 2] and left[i - 2] == right[j - 1]:
            best.append(count(i - 2, j - 2) + 1)
        return min(best)

    return count(len(left), len(right))
