"""A package's repository is what npm's own module makes of the author's text."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node_script import NodeScript, node_script
from packledger.domain.npm.repository import normalise_repository, repository_page

ASK = """text => {
  const hosted = require('hosted-git-info').fromUrl(text)
  if (!hosted) return [text, null]
  const short = hosted.getDefaultRepresentation() === 'shortcut'
  return [short ? hosted.https() : hosted.toString(), hosted.browse()]
}"""
"""As npm's `normalize.js` does."""
SEGMENT = st.text("abcAZ019_.-~", min_size=1, max_size=5) | st.just("repo.git")
PLACE = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)
HASH = st.sampled_from(
    ["", "#", "#main", "#v1.0.0", "#a/b", "#semver:^1", "/", "/#x", "/tree/main"]
)
BEFORE = st.sampled_from(
    ["", "github:", "gitlab:", "bitbucket:", "gist:", "sourcehut:", "git@github.com:", "/", "./"]
    + [
        f"{scheme}://{user}{host}/"
        for scheme in ("https", "http", "git", "ssh", "git+ssh", "git+https", "git+http", "ftp")
        for user in ("", "git@", "me:secret@", "www.")
        for host in ("github.com", "gitlab.com", "bitbucket.org", "gist.github.com", "example.com")
    ]
)
TEXT = st.builds("{}{}{}".format, BEFORE, PLACE, HASH)
USUAL = [
    "owner/repo",
    "owner/repo#v1",
    "github:owner/repo",
    "gitlab:group/sub/repo",
    "bitbucket:owner/repo",
    "gist:11081aaa281",
    "git@github.com:owner/repo.git",
    "git+ssh://git@github.com/owner/repo.git",
    "git://github.com/owner/repo.git",
    "https://github.com/owner/repo",
    "https://github.com/owner/repo/tree/main",
    "http://github.com/owner/repo.git",
    "git+https://gitlab.com/owner/repo.git",
]


@pytest.fixture(scope="module")
def theirs() -> Iterator[NodeScript]:
    with node_script(ASK) as script:
        yield script


@settings(deadline=None)
@given(TEXT | st.text(max_size=20))
@example("...")
@example("a/.git")
@example("github:a/.git")
@example("a/b\n")
def test_a_repository_is_what_npm_makes_of_it_or_what_the_author_wrote(
    theirs: NodeScript, text: str
) -> None:
    answer = theirs(text)
    ours = normalise_repository(text)
    assert ours == text or ours == answer[0]
    page = repository_page(text)
    assert page == text or page == answer[1]


@pytest.mark.parametrize("text", USUAL)
def test_what_authors_write_is_understood(theirs: NodeScript, text: str) -> None:
    assert [normalise_repository(text), repository_page(text)] == theirs(text)
    # a group's name, or a gist's, is not taken apart again
    if not text.startswith(("gist:", "gitlab:group/sub")):
        assert repository_page(normalise_repository(text)) == repository_page(text)


def test_an_unbounded_text_costs_nothing() -> None:
    assert normalise_repository("a/" * 100_000) == "a/" * 100_000
