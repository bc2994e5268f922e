"""A README as safe HTML: Markdown read by markdown-it-py, the result cleaned by nh3.

Nothing is fetched from elsewhere: an image becomes a link with its alternative text, so that no
third party learns who reads what. Headings move two levels down, below the page's own.
As a program it reads Markdown and writes HTML, with an end to its time and memory: some texts take
markdown-it-py the square of their length, and not all of those are known.
Source: https://spec.commonmark.org/0.31.2/ with tables and strikethrough of GitHub.
"""

import os
import re
import resource
import signal
import sys
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup

BASE_S = 0.2
S_PER_BYTE = 20e-6
"""Processor time: ordinary READMEs take 1 to 2 µs a byte, one of headings alone 8."""
MEMORY_BYTES = 384 * 1024 * 1024
"""Address space; 90 MiB of it are Python's own."""
MAX_HTML_BYTES = 1024 * 1024
PATIENT = 10
"""How much nicer than whoever waits for something quick."""

_HEADING = re.compile(r"(?i)(</?h)([1-6])(?=[\s>/])")
_TAGS = frozenset(
    """a abbr b blockquote br code dd del details div dl dt em h3 h4 h5 h6 hr i ins kbd li ol p
    pre q s samp small span strong sub summary sup table tbody td th thead tr ul var""".split()  # noqa: SIM905
)
_ATTRIBUTES = {
    "a": {"href", "title"},
    "td": {"align"},
    "th": {"align"},
    "ol": {"start"},
    "details": {"open"},
    **{f"h{level}": {"id"} for level in range(3, 7)},
}
_SCHEMES = {"http", "https", "mailto"}


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep links that lead somewhere, and ids that cannot meet the page's own."""
    if name == "id":
        return value if value.startswith("readme-") else f"readme-{value}"
    if name != "href":
        return value
    if value.startswith("#"):
        return f"#readme-{value[1:]}" if len(value) > 1 else None
    # A relative link means a file of a repository that is not here.
    return value if value.partition(":")[0].lower() in _SCHEMES else None


def _slug(text: str) -> str:
    kept = unicodedata.normalize("NFC", text).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", kept).strip())


def _prepare(state: StateCore) -> None:
    """Lower headings, name them as links in READMEs expect, and say alignment without a style."""
    seen: dict[str, int] = {}
    for place, token in enumerate(state.tokens):
        if token.type in {"heading_open", "heading_close"}:
            token.tag = _lower(token.tag)
            if token.type == "heading_open":
                slug = _slug(state.tokens[place + 1].content)
                seen[slug] = count = seen.get(slug, -1) + 1
                token.attrSet("id", f"{slug}-{count}" if count else slug)
        elif token.type in {"th_open", "td_open"} and "style" in token.attrs:
            token.attrSet("align", str(token.attrs.pop("style")).rpartition(":")[2])
        depth = 0
        for one in (token, *(token.children or ())):
            depth += (one.type == "link_open") - (one.type == "link_close")
            if one.type == "image" and depth:
                one.meta["linked"] = True
            if one.type in {"html_block", "html_inline"}:
                one.content = _HEADING.sub(lambda found: found[1] + _lower(found[2]), one.content)


def _lower(level: str) -> str:
    lowered = str(min(int(level[-1]) + 2, 6))
    return level[:-1] + lowered


def _image(tokens: Sequence[Token], place: int, options: OptionsDict, env: Any) -> str:
    """Return an image's alternative text, linked to it unless it is in a link already."""
    image = tokens[place]
    text = escape(image.content or "image")
    if "linked" in image.meta:
        return text
    return f'<a href="{escape(str(image.attrs.get("src", "")))}">{text}</a>'


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader.core.ruler.push("prepare", _prepare)
    reader.add_render_rule("image", lambda _, *rest: _image(*rest))
    return reader


def budget_s(size_bytes: int) -> float:
    """Return the processor time that a text of this size may take."""
    return BASE_S + S_PER_BYTE * size_bytes


def render_readme(text: str) -> Markup:
    """Return safe HTML of a README."""
    cleaned = nh3.clean(
        _reader().render(text),
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes=_SCHEMES,
        link_rel="nofollow noopener noreferrer",
        strip_comments=True,
    )
    # nh3 has cleaned it: this is the one place where text becomes markup.
    return Markup(cleaned)  # noqa: S704


def main() -> None:
    """Render what stands on the standard input; the kernel ends what takes too long."""
    os.nice(PATIENT)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    text = sys.stdin.buffer.read()
    signal.setitimer(signal.ITIMER_PROF, budget_s(len(text)))
    html = render_readme(text.decode(errors="replace")).encode()
    if len(html) > MAX_HTML_BYTES:
        sys.exit(1)
    sys.stdout.buffer.write(html)


if __name__ == "__main__":
    main()
