"""READMEs as HTML: rendered in a process of their own, once, and kept.

Rendering is Python that holds the interpreter for a second where a hit takes 50 µs, and hostile
texts make it longer: a process can be ended, a thread cannot. It begins when it is needed, which
takes a tenth of a second, and ends with its text.
"""

import logging
import os
import subprocess
import sys
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from html import escape

from markupsafe import Markup

from packledger.api.http.pools import Pool
from packledger.domain.errors import TooMany

log = logging.getLogger("packledger.readmes")

RENDERER = "packledger.api.web.readme_html"
"""Not imported here: it takes 8 MB in every process that has it."""
MAX_README_BYTES = 64 * 1024
"""More is cut: 64 KiB are 25 printed pages."""
KEPT_BYTES = 8 * 1024 * 1024
"""Rendered READMEs in the memory of each web process, compressed: 2,000 of an ordinary length."""
RENDERED_AT_ONCE = 1
WAITING = 15
TIMEOUT_S = 20.0
"""Of the clock, should the machine be so busy that the budget of processor time is not used up."""
_ENVIRONMENT = ("PYTHON", "LD_", "LANG", "LC_", "PATH")
"""What an interpreter may need; the rest may hold secrets, and is no reader's affair."""

_CUT = Markup("<p><em>The rest of this README is in the package itself.</em></p>")
_LATER = Markup("<p><em>This README is not rendered yet; load the page again in a moment.</em></p>")
_PLAIN = Markup("<p><em>This README takes too long to render; here is its text.</em></p>")


class Readmes:
    """Rendered READMEs by the digest of their text; a digest never gets another text."""

    def __init__(self, read: Callable[[str, int], bytes]) -> None:
        self._read = read
        self._pool = Pool("READMEs", RENDERED_AT_ONCE, WAITING)
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    async def html(self, digest: str) -> Markup | None:
        """Return a README as safe HTML, None when there is none.

        While too many wait to be rendered, it is a sentence that says so.

        Raises:
            MissingBlob: its blob was lost.
        """
        if not digest:
            return None
        kept = self._find(digest)
        if kept is not None:
            return kept
        try:
            return await self._pool.run(partial(self._find_or_render, digest))
        except (TooMany, subprocess.TimeoutExpired):
            return _LATER

    def _find_or_render(self, digest: str) -> Markup:
        return self._find(digest) or self._render(digest)

    def _find(self, digest: str) -> Markup | None:
        with self._lock:
            kept = self._kept.get(digest)
            if kept is None:
                return None
            self._kept.move_to_end(digest)
        # It was markup when it was kept.
        return Markup(zlib.decompress(kept).decode())  # noqa: S704

    def _render(self, digest: str) -> Markup:
        text = self._read(digest, MAX_README_BYTES)
        html = _rendered(text)
        if html is None:
            log.warning("a README was not rendered in time and space", extra={"digest": digest})
            html = _PLAIN + Markup(f"<pre>{escape(text.decode(errors='replace'))}</pre>")  # noqa: S704
        if len(text) == MAX_README_BYTES:
            html += _CUT
        self._keep(digest, zlib.compress(html.encode("utf-8", "replace")))
        return html

    def _keep(self, digest: str, packed: bytes) -> None:
        with self._lock:
            self._size_bytes += len(packed) - len(self._kept.pop(digest, b""))
            self._kept[digest] = packed
            while self._size_bytes > KEPT_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._size_bytes -= len(oldest)


def _rendered(text: bytes) -> Markup | None:
    """Return a text as HTML, None if that takes too much time, memory or space.

    Raises:
        TimeoutExpired: the machine is too busy.
    """
    finished = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-P", "-m", RENDERER],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        env={name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)},
        check=False,
    )
    if finished.returncode:
        return None
    return Markup(finished.stdout.decode())  # noqa: S704 - `render_readme` has cleaned it
