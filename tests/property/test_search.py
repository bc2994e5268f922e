"""Whatever is typed into a search gets an answer, and pages of it do not overlap."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histories import histories, long_history
from packledger.projections.read_model import ReadModel
from packledger.projections.search.reads import search
from small_registry import memory_folder, new_projection

TYPED = st.one_of(
    st.text(max_size=30),
    st.text('"*^:-+(){}ab AND OR NOT NEAR_/@.\0', max_size=30),
    st.sampled_from(["crate", "crate-1", "packagee-2", "about demo", "keywords:k", "owner:alice"]),
)


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    with memory_folder() as folder:
        model = ReadModel(Path(folder, "search"), new_projection("search"))
        model.apply(long_history())
        yield model.db
        model.close()


@settings(max_examples=300, deadline=None)
@given(text=TYPED, ecosystem=st.sampled_from(["cargo", "npm", ""]))
def test_whatever_is_typed_gets_pages_that_are_cut_from_one_list(
    db: sqlite3.Connection, text: str, ecosystem: str
) -> None:
    hits, total = search(db, ecosystem, text, 1_000)
    assert len(hits) == total
    found = [(hit.ecosystem, hit.name) for hit in hits]
    assert len(set(found)) == total
    assert {kind for kind, _ in found} <= ({ecosystem} if ecosystem else {"cargo", "npm"})
    for offset in (0, 3, total - 1, total, total + 5):
        if offset >= 0:
            page, same_total = search(db, ecosystem, text, 3, offset)
            assert page == hits[offset : offset + 3]
            assert same_total == total


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=histories())
def test_everything_listed_is_found_by_its_name_and_nothing_else_is(log: list) -> None:
    with memory_folder() as folder:
        model = ReadModel(Path(folder, "search"), new_projection("search"))
        model.apply(log)
        for ecosystem in ("cargo", "npm"):
            listed, _ = search(model.db, ecosystem, "", 100)
            for hit in listed:
                found, _ = search(model.db, ecosystem, hit.name, 100)
                assert found[0] == hit, "the name that was typed comes first"
            everything = {hit.name for hit in listed}
            assert {hit.name for hit in search(model.db, ecosystem, "about", 100)[0]} == everything
        model.close()
