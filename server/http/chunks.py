"""A body in chunks, and where it ends.

Source: https://www.rfc-editor.org/rfc/rfc9112#section-7.1
"""

from gunicorn.asgi.parser import (
    RFC9110_6_5_1_FORBIDDEN_TRAILER,
    InvalidHeaderName,
    LimitRequestHeaders,
    ParseError,
)
from httptools import HttpParserCallbackError, HttpParserError, HttpRequestParser

FRAMING_BYTES = 64 * 1024
"""How much may arrive without a byte of the body: extensions and trailers, which nobody reads."""
_OPENING = b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
_END, _LINE_FEED = b"\r\n\r\n", 10


class Chunks:
    """Reads one body.

    llhttp would go on with the next request and does not say where that begins. But a body in
    chunks ends by an empty line behind one that is not, so it is given up to each of these in turn.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._begun = self._over = False
        self._framing_bytes = 0
        self._last = b""
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(_OPENING)
        self._begun = True

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return what data holds of the body, and what follows the body if that has ended.

        Raises:
            ParseError: these are no chunks.
        """
        self._pieces.clear()
        try:
            end = self._read(data)
        except HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except HttpParserError as error:
            raise ParseError(f"the body is not in chunks: {error}") from error
        self._framing_bytes = 0 if self._pieces else self._framing_bytes + len(data)
        if not self._over and self._framing_bytes > FRAMING_BYTES:
            raise LimitRequestHeaders("too much beside the body arrives")
        return b"".join(self._pieces), data[end:] if self._over else None

    def _read(self, data: bytes) -> int:
        """Return where the body ends in data; its length, if that is not sure to be."""
        view, at = memoryview(data), 0
        seamed, seam = self._last + data, len(self._last)
        found = seamed.find(_END, 1)
        while found > 0:
            end = found + len(_END) - seam
            # Not in a row of empty lines, of which a body may consist.
            if seamed[found - 1] != _LINE_FEED:
                self._parser.feed_data(view[at:end])
                if self._over:
                    return end
                at = end
            found = seamed.find(_END, found + 2)
        self._parser.feed_data(view[at:])
        self._last = seamed[-len(_END) :]
        return len(data)

    def on_message_begin(self) -> None:
        """Refuse to read on behind the body."""
        if self._begun:
            raise ParseError("the body ends where none can end")

    def on_body(self, piece: bytes) -> None:
        """Be told of bytes of the body."""
        self._pieces.append(piece)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse a trailer that would have meant something before the body."""
        if self._begun and name.lower() in RFC9110_6_5_1_FORBIDDEN_TRAILER:
            raise InvalidHeaderName(f"`{name.decode()}` may not stand behind the body")

    def on_message_complete(self) -> None:
        """Be told that the body has ended."""
        self._over = True
