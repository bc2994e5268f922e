"""The parser of a connection, as gunicorn asks for one: told bytes, it tells of one request.

Heads and chunks are understood by llhttp (`head.py`, `chunks.py`); what is left is to find where a
request ends, however the network has divided it, and to keep what follows.
"""

from collections.abc import Callable

from packledger.server.http.chunks import Chunks
from packledger.server.http.head import END, Headers, Limits, check_beginning, read_head

NEXT_REQUEST_BYTES = 2 * 1024 * 1024
"""What may arrive of a connection's next request before the last one is quite over. uvloop reads up
to 256 KiB at once, and a client may send an upload right after reading an answer."""


class Parser:
    """Of one connection; `reset` makes it ready for its next request.

    on_headers_complete, on_body and on_message_complete are called while bytes are fed, on_body
    with as much as there is at once. Headers have their names in lower case. `remaining_truncated`:
    what follows the request was too much, and some of it is not kept.
    """

    def __init__(
        self,
        on_headers_complete: Callable[[], object],
        on_body: Callable[[bytes], None],
        on_message_complete: Callable[[], None],
        limits: Limits,
    ) -> None:
        self._on_headers_complete, self._on_body = on_headers_complete, on_body
        self._on_message_complete, self._limits = on_message_complete, limits
        self.reset()

    def reset(self) -> None:
        """Forget the last request, and what remained."""
        self.is_idle = True
        self.is_complete = self.is_chunked = False
        self.should_keep_alive = True
        self.method = self.path = b""
        self.http_version = (1, 1)
        self.headers: Headers = []
        self.asgi_headers: Headers = []
        self.content_length: int | None = None
        self._beginning, self._following = b"", bytearray()
        self.remaining_truncated = False
        self._left_bytes = 0
        self._chunks: Chunks | None = None
        self._in_head, self._may_be_empty = True, True

    def remaining(self) -> bytes:
        """Return what was fed beyond the end of the request."""
        return bytes(self._following)

    def feed(self, data: bytes) -> None:
        """Read what arrived.

        Raises:
            ParseError: it is no request, or none that everybody reads alike.
        """
        self.is_idle = False
        if self._in_head:
            self._feed_head(data)
        elif self.is_complete:
            self._keep(data)
        elif self._chunks is not None:
            self._feed_chunks(self._chunks, data)
        else:
            self._feed_body(data)

    def _feed_head(self, data: bytes) -> None:
        seen = len(self._beginning)
        data = self._beginning + data
        # One empty line may come first: old clients end a body so. RFC 9112, section 2.2.
        if self._may_be_empty and data.startswith(b"\r\n"):
            data, seen = data[2:], 0
            self._may_be_empty = False
        end = data.find(END, max(0, seen - len(END))) + len(END)
        if end < len(END):
            check_beginning(data, seen, self._limits)
            self._beginning = data
            return
        head = read_head(data[:end], self._limits)
        self._beginning, self._in_head = b"", False
        self.method, self.path, self.http_version, self.headers = head[:4]
        self.content_length, self.is_chunked, self.should_keep_alive = head[4:]
        self.asgi_headers = self.headers
        self._on_headers_complete()
        self._begin_body(data[end:])

    def _begin_body(self, data: bytes) -> None:
        self._left_bytes = self.content_length or 0
        if self.is_chunked:
            self._chunks = Chunks()
        elif not self._left_bytes:
            self._complete(data)
            return
        if data:
            self.feed(data)

    def _feed_body(self, data: bytes) -> None:
        piece = data[: self._left_bytes]
        self._left_bytes -= len(piece)
        self._on_body(piece)
        if not self._left_bytes:
            self._complete(data[len(piece) :])

    def _feed_chunks(self, chunks: Chunks, data: bytes) -> None:
        piece, rest = chunks.feed(data)
        if piece:
            self._on_body(piece)
        if rest is not None:
            self._chunks = None
            self._complete(rest)

    def _complete(self, rest: bytes) -> None:
        self.is_complete = True
        self._on_message_complete()
        self._keep(rest)

    def _keep(self, data: bytes) -> None:
        if len(self._following) + len(data) > NEXT_REQUEST_BYTES:
            self.remaining_truncated = True
        if not self.remaining_truncated:
            self._following += data
