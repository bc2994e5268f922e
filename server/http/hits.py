"""Finds the answers of hits by the bytes of requests, for all connections of a worker.

Clients repeat themselves: only the target differs from one request to the next, and another client
asks for the same targets. What a block of headers asks for follows from its bytes alone, and so
does what a request line names. So each is read once, and known from then on; whether a document is
current, and a token accepted, is asked each time.
"""

import re
from email.utils import formatdate

from gunicorn.asgi.parser import ParseError

from packledger.api.hot_reads import Asked, Hit, HotReads, Place
from packledger.server.http.head import END, Limits, read_head

KEPT = 4_000
"""Blocks and lines in memory, a few hundred bytes each; all are dropped when there are more."""
LONGEST_BYTES = 1024
"""Longer blocks are not ordinary: npm's have 300 to 700 bytes."""
_GET = re.compile(rb"GET (/[!-~]{0,500}) HTTP/1\.1").fullmatch
_ANY_GET = b"GET / HTTP/1.1\r\n"


class Hits:
    """What is in memory, and what is known of those who ask."""

    def __init__(self, hot_reads: HotReads, limits: Limits) -> None:
        self._hot_reads, self._limits = hot_reads, limits
        self._blocks: dict[bytes, Asked | None] = {}
        self._lines: dict[bytes, Place] = {}
        self._end, self._end_holds_until_s = b"", 0.0

    def find(self, data: bytes, now_s: float) -> Hit | None:
        """Return the answer if data is one request, whole and alone, and its answer is at hand.

        now_s: of a clock that only goes forward.
        """
        line, _, block = data.partition(b"\r\n")
        place = self._lines.get(line) or self._learn_line(line)
        if place is None:
            return None
        try:
            asked = self._blocks[block]
        except KeyError:
            asked = self._learn_block(block)
        hit = None if asked is None else self._hot_reads.answer(place, asked)
        if hit is None:
            return None
        if now_s >= self._end_holds_until_s:
            self._end = f"Date: {formatdate(usegmt=True)}\r\nServer: gunicorn/asgi\r\n\r\n".encode()
            self._end_holds_until_s = now_s + 1
        head, body = hit
        return head + self._end, body

    def _learn_line(self, line: bytes) -> Place | None:
        get = _GET(line)
        if get is None:
            return None
        place = self._hot_reads.place(get[1])
        if len(self._lines) >= KEPT:
            self._lines.clear()
        self._lines[line] = place
        return place

    def _learn_block(self, block: bytes) -> Asked | None:
        """Have the parser read a block, and remember what it asks for; None if not for a hit."""
        if not block.endswith(END) or len(block) > LONGEST_BYTES:
            return None
        try:
            head = read_head(_ANY_GET + block, self._limits)
        except ParseError:
            return None  # the connection's own parser says it, and ends the connection
        has_body = head.content_length is not None or head.is_chunked
        asked = None
        if head.keeps_alive and not has_body:
            asked = self._hot_reads.asked(head.headers)
        if len(self._blocks) >= KEPT:
            self._blocks.clear()
        self._blocks[block] = asked
        return asked
