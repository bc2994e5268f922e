"""A README as safe HTML: Markdown read by markdown-it-py, the result cleaned by nh3.

Nothing is fetched from elsewhere: an image becomes a link with its alternative text, so that no
third party learns who reads what. Headings move two levels down, below the page's own.
Source: https://spec.commonmark.org/0.31.2/ with tables and strikethrough of GitHub.
"""

import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup

MAX_README_BYTES = 64 * 1024
"""More is cut: 64 KiB are 25 printed pages; the worst text of that length takes a second, once."""
KEPT = 64
"""Rendered READMEs in memory: at most 64 times a few hundred KiB, usually 64 times 20 KiB."""

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
        for one in (token, *(token.children or ())):
            if one.type in {"html_block", "html_inline"}:
                one.content = _HEADING.sub(lambda found: found[1] + _lower(found[2]), one.content)


def _lower(level: str) -> str:
    lowered = str(min(int(level[-1]) + 2, 6))
    return level[:-1] + lowered


def _image(tokens: Sequence[Token], place: int, options: OptionsDict, env: Any) -> str:
    """Return an image's alternative text, linked to it unless it is in a link already."""
    image = tokens[place]
    text = escape(image.content or "image")
    opened = sum((one.type == "link_open") - (one.type == "link_close") for one in tokens[:place])
    if opened:
        return text
    return f'<a href="{escape(str(image.attrs.get("src", "")))}">{text}</a>'


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader.core.ruler.push("prepare", _prepare)
    reader.add_render_rule("image", lambda _, *rest: _image(*rest))
    return reader


_local = threading.local()
_CUT = Markup("<p><em>The rest of this README is in the package itself.</em></p>")


def render_readme(text: str) -> Markup:
    """Return safe HTML of a README. Slow for long ones: not for the event loop."""
    reader: MarkdownIt | None = getattr(_local, "reader", None)
    if reader is None:
        reader = _local.reader = _reader()
    cleaned = nh3.clean(
        reader.render(text),
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes=_SCHEMES,
        link_rel="nofollow noopener noreferrer",
        strip_comments=True,
    )
    # nh3 has cleaned it: this is the one place where text becomes markup.
    return Markup(cleaned)  # noqa: S704


class Readmes:
    """Rendered READMEs by the digest of their text; a digest never gets another text."""

    def __init__(self, read: Callable[[str, int], bytes]) -> None:
        self._read = read
        self._kept: OrderedDict[str, Markup] = OrderedDict()
        self._lock, self._rendering = threading.Lock(), threading.Lock()

    def html(self, digest: str) -> Markup | None:
        """Return a README as safe HTML, None when there is none.

        Raises:
            MissingBlob: its blob was lost.
        """
        if not digest:
            return None
        kept = self._find(digest)
        if kept is not None:
            return kept
        # One at a time: hostile ones are slow, and everything else shares the interpreter.
        with self._rendering:
            return self._find(digest) or self._render(digest)

    def _find(self, digest: str) -> Markup | None:
        with self._lock:
            kept = self._kept.get(digest)
            if kept is not None:
                self._kept.move_to_end(digest)
            return kept

    def _render(self, digest: str) -> Markup:
        text = self._read(digest, MAX_README_BYTES)
        html = render_readme(text.decode(errors="replace"))
        if len(text) == MAX_README_BYTES:
            html += _CUT
        with self._lock:
            self._kept[digest] = html
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return html
