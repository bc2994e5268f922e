"""READMEs become HTML that can do nothing but be read."""

import asyncio
import re
import resource
import threading
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.api.web import readme
from packledger.api.web.readme import MAX_README_BYTES, Readmes
from packledger.api.web.readme_html import BASE_S, budget_s, render_readme
from packledger.api.web.words import ago, host, safe_url, size, ticks

ALLOWED = {
    *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt"),
    *("em", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "ol", "p", "pre", "q", "s"),
    *("samp", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "th"),
    *("thead", "tr", "ul", "var"),
}
ATTRIBUTES = {"href", "title", "align", "start", "open", "id", "rel"}


class Checker(HTMLParser):
    """Fails at the first tag, attribute or link that a README may not have."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, (tag, name)
            if name == "href":
                link = (value or "").lower()
                assert link.startswith(("http:", "https:", "mailto:", "#readme-")), value
            if name == "id":
                assert (value or "").startswith("readme-")


PIECES = st.sampled_from(
    ["<script>", "</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![",
     "<a href='", "javascript:", "data:text/html,", "'>", '">', "<svg/onload=", "<!--", "-->",
     "<style>", "<math><mtext><table><mglyph>", "<noscript>", "<p id=content>", "<h1 onclick=x>",
     "&#106;avascript:", "\t", "\n", "\n\n", "# ", "- ", "> ", "`", "```", "|", "\x00", "<x:y ",
     "<title>", "<textarea>", "<template>", "<base href=//e>", "é", "\u202e", "<h2>", "&lt;b&gt;",
     "[x]: javascript:alert(1)\n", "[x]", "~~", "**", "](", "<div style='top:0'>", "<a id=x>"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=6), max_size=40).map("".join))
def test_no_text_becomes_anything_but_allowed_tags(text: str) -> None:
    Checker().feed(render_readme(text))


def test_headings_go_below_the_pages_own_and_their_links_work() -> None:
    html = render_readme("[to it](#a-b)\n\n# A & B\n\n# A b\n\n###### Deep\n\n<H1 id=x>Raw</H1>")
    assert re.findall(r"<(h\d)", html) == ["h3", "h3", "h6", "h3"]
    assert 'href="#readme-a-b"' in html
    assert re.findall(r'id="([^"]*)"', html) == [
        "readme-a--b",
        "readme-a-b",
        "readme-deep",
        "readme-x",
    ]


def test_equal_headings_get_different_names() -> None:
    assert re.findall(r'id="([^"]*)"', render_readme("# A\n\n# A\n\n# A")) == [
        "readme-a", "readme-a-1", "readme-a-2",
    ]  # fmt: skip


def test_images_become_links_and_fetch_nothing() -> None:
    html = render_readme(
        "![a chart](https://x.example.com/c.png) [![ci](b.svg)](https://ci.example.com)"
    )
    assert "<img" not in html
    assert (
        '<a href="https://x.example.com/c.png" rel="nofollow noopener noreferrer">a chart</a>'
        in html
    )
    assert html.count("<a ") == 2


def test_relative_links_lead_nowhere() -> None:
    assert "href" not in render_readme("[guide](docs/guide.md) [up](../x) [root](/account)")


def test_a_readme_is_rendered_once_and_cut_when_it_is_long() -> None:
    asked: list[int] = []

    def read(digest: str, limit_bytes: int) -> bytes:
        asked.append(limit_bytes)
        return (b"word \xff" * 100_000)[:limit_bytes]

    readmes = Readmes(read)
    assert html_of(readmes, "") is None
    first = html_of(readmes, "digest")
    assert first == html_of(readmes, "digest")
    assert asked == [MAX_README_BYTES]
    assert first is not None
    assert "The rest of this README is in the package itself." in first


def html_of(readmes: Readmes, digest: str) -> str | None:
    return asyncio.run(readmes.html(digest))


SIZE_BYTES = MAX_README_BYTES - 1
START_S = 0.5
"""What starting the process may take: half a second of a slow machine."""
ROW = SIZE_BYTES // 4
LINEAR = {
    "images": "![]()", "lines of images": "a\n![]()", "lines": "a\n", "links": "[a](b) ",
    "headings": "# a\n", "lists": "1. a\n", "quotes": "> a\n", "references": "[a]: b\n",
    "emphasis": "*a **b ", "entities": "&amp;", "backticks": "`a` ", "escapes": "\\*",
    "tags": "<sub><b>", "comments": "<!--", "instructions": "<?", "data": "<![CDATA[",
}  # fmt: skip
QUADRATIC = {
    "a wide table": "|a" * ROW + "\n" + "|-" * ROW + "\n|\n",
    "a wide and long table": "|a" * 800 + "\n" + "|-" * 800 + "\n" + "|\n" * 20_000,
    "open images": "![" * 2 * ROW,
    "open links to images": "[![](" * 2 * ROW,
    "open labels": "[a\n" * 2 * ROW,
    "runs of backticks": " ".join("`" * length for length in range(1, 360)),
    "deep lists": "".join(" " * depth + "- a\n" for depth in range(360)),
    "deep tags": "<div>" * ROW,
}


def spent_s(text: bytes) -> tuple[str, float]:
    """What a text becomes, and the processor time of all that this takes, here and elsewhere."""

    def now_s() -> float:
        used = [resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    began_s = now_s()
    html = html_of(Readmes(lambda _, limit_bytes: text[:limit_bytes]), "digest")
    return str(html), now_s() - began_s


@pytest.mark.parametrize("piece", LINEAR.values(), ids=LINEAR)
def test_what_makes_many_tokens_is_rendered_in_linear_time(piece: str) -> None:
    html, took_s = spent_s((piece * SIZE_BYTES)[:SIZE_BYTES].encode())
    assert "takes too long" not in html
    assert took_s < START_S + budget_s(SIZE_BYTES)


@pytest.mark.parametrize("text", QUADRATIC.values(), ids=QUADRATIC)
def test_what_takes_the_square_of_its_length_is_ended(text: str) -> None:
    html, took_s = spent_s(text.encode()[:SIZE_BYTES])
    assert took_s < START_S + budget_s(SIZE_BYTES)
    Checker().feed(html)


HOSTILE = st.sampled_from(
    ["[", "]", "(", ")", "![", "](", "*", "**", "_", "~~", "`", "``", "<", ">", "<!--", "<?", "<a ",
     "<div>", "</div>", "<table>", "<td>", "&", "&#", "\\", "|", "|-", "\n", "\n\n", "- ", "1. ",
     "> ", "    ", "\t", "# ", "=", "a", " ", '"', "'", "[a]: b\n", "[a]", "<http:", "<a@b>", "é"]
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=6).map("".join), st.sampled_from([16, 1_024, 4_096]))
def test_processor_time_is_bounded_by_the_length(piece: str, times: int) -> None:
    text = (piece * times).encode()[:SIZE_BYTES]
    html, took_s = spent_s(text)
    assert took_s < START_S + budget_s(len(text))
    Checker().feed(html)


def test_a_readme_that_takes_too_long_is_shown_as_its_text() -> None:
    text = "<b>not bold</b>\n\n" + QUADRATIC["a wide and long table"]
    html, took_s = spent_s(text.encode())
    assert "takes too long" in html
    assert "&lt;b&gt;not bold" in html
    assert took_s > BASE_S, "it was tried"


def test_many_readmes_are_kept_in_bounded_memory() -> None:
    texts = {f"digest-{number}": b"# %d" % number for number in range(20)}
    asked: list[str] = []

    def read(digest: str, limit_bytes: int) -> bytes:
        asked.append(digest)
        return texts[digest]

    readmes = Readmes(read)
    first = {digest: html_of(readmes, digest) for digest in texts}
    assert {digest: html_of(readmes, digest) for digest in texts} == first
    assert len(asked) == len(texts)
    for number in range(2_000):
        readmes._keep(f"other-{number}", bytes(readme.KEPT_BYTES // 1_000))
    assert sum(map(len, readmes._kept.values())) <= readme.KEPT_BYTES
    assert html_of(readmes, "digest-0") == first["digest-0"]
    assert asked[-1] == "digest-0", "the oldest was forgotten and is rendered again"


def test_while_others_are_rendered_a_page_says_so_and_keeps_nothing() -> None:
    go_on = threading.Event()

    def read(digest: str, limit_bytes: int) -> bytes:
        go_on.wait()
        return b"a text"

    async def main() -> None:
        readmes = Readmes(read)
        waiting = [asyncio.ensure_future(readmes.html(f"d{n}")) for n in range(readme.WAITING + 1)]
        await asyncio.sleep(0)
        assert "not rendered yet" in str(await readmes.html("late"))
        go_on.set()
        assert {"a text" in str(one) for one in await asyncio.gather(*waiting)} == {True}
        assert "a text" in str(await readmes.html("late"))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://x.example.com/a", "https://x.example.com/a"),
        ("git+https://x.example.com/a.git", "https://x.example.com/a"),
        ("git://x.example.com/a", ""), ("javascript:alert(1)", ""), ("git+javascript:x", ""),
        ("//x.example.com", ""), ("http://", ""), ("https://[", ""), ("", ""), (None, ""),
        (" https://x.example.com ", "https://x.example.com"),
    ],
)  # fmt: skip
def test_only_links_to_the_web_are_kept(url: str | None, kept: str) -> None:
    assert safe_url(url) == kept


@given(st.text())
def test_a_sentence_is_escaped_whatever_is_in_its_backticks(text: str) -> None:
    html = ticks(f"`{text}` is not {text}")
    assert "<" not in re.sub(r"</?code>", "", html)


def test_a_links_text_is_escaped() -> None:
    assert "<b>" not in host("https://x.example.com/<b>/y")


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1536, "1.5 KiB"),
        (1_048_576, "1 MiB"),
        (2**31, "2 GiB"),
    ],
)
def test_sizes_are_short(size_bytes: int, words: str) -> None:
    assert size(size_bytes) == words


def test_times_are_told_by_how_long_ago_they_were() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    said = {
        "2026-11-21T11:59:30.000Z": "just now",
        "2026-11-21T12:30:00.000Z": "just now",
        "2026-11-21T11:00:00.000Z": "1 hour ago",
        "2026-11-18T11:00:00.000Z": "3 days ago",
        "2026-01-02T00:00:00.000Z": "2 Jan 2026",
        "no time at all": "no time at",
    }
    assert {at: ago(at, now) for at in said} == said
