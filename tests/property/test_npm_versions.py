"""What we call an npm version is what node-semver makes of its text."""

from collections.abc import Iterator

import pytest
import semver
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node_script import NodeScript, node_script
from packledger.domain.errors import Invalid
from packledger.domain.npm.versions import clean_npm_version, npm_version_key
from packledger.domain.versions import MAX_VERSION_LENGTH

BLANKS = st.text(" \t\n\v\f\r\u00a0\u1680\u2003\u200b\u2028\u3000\ufeff\x1c\x85", max_size=2)
NUMBER = st.one_of(
    st.sampled_from(["0", "1", "00", "01", "10", "9007199254740991", "9007199254740992", "٣"]),
    st.from_regex(r"[0-9]{1,20}", fullmatch=True),
)
WORD = st.text("0123456789abzAZ-", max_size=5) | NUMBER
DOTTED = st.lists(WORD, min_size=1, max_size=3).map(".".join)
VERSION = st.builds(
    "{}{}{}{}{}{}{}".format,
    BLANKS,
    st.text("v= ", max_size=3),
    st.lists(NUMBER, min_size=2, max_size=4).map(".".join),
    st.sampled_from(["", "-", "--", "."]),
    DOTTED | st.just(""),
    st.just("") | DOTTED.map("+".__add__),
    BLANKS,
)


@pytest.fixture(scope="module")
def clean() -> Iterator[NodeScript]:
    with node_script("text => require('semver').clean(text, { loose: true })") as script:
        yield script


@settings(deadline=None)
@given(VERSION)
@example("1.2.3-rc.1+build.7")
@example("v1.2.3")
@example("1.2.3beta")
@example("01.02.03")
@example("1.2.3-" + "a" * 245)
@example("1.2.3+" + "a" * 250)
@example("1.2.3+" + "a" * 251)
@example("v" * 300 + "1.2.3")
@example("v " * 120 + "1.2.3")
@example("1.2.3-0009007199254740991")
@example("1.2.3\n")
def test_a_text_is_the_version_that_npm_makes_of_it_or_refused(
    clean: NodeScript, text: str
) -> None:
    theirs = clean(text)
    try:
        ours = clean_npm_version(text)
    except Invalid:
        # what npm cleans and we refuse is long, or no version to a strict reader
        assert theirs is None or (
            len(theirs) > MAX_VERSION_LENGTH or not semver.Version.is_valid(theirs)
        )
        return
    assert ours == theirs
    assert clean_npm_version(ours) == npm_version_key(text) == ours


@given(st.text())
def test_what_is_no_version_is_looked_up_as_it_is(text: str) -> None:
    assert npm_version_key(text) == text or clean_npm_version(text)
