"""What is printed cannot move the cursor, colour, retitle, or turn the text of a terminal around.

Names, reasons, labels, user agents and mistyped arguments come from others. So the streams
themselves escape, as JSON does (`\\u001b`): what is JSON stays the same JSON.
"""

import sys
from typing import Any

from packledger.server.escapes import escaped


def on_one_line(text: str) -> str:
    """Return a text without ends of lines, for a list where each line is a thing of its own."""
    return text.replace("\n", "\\u000a")


class _Bytes:
    """The bytes below a stream: what is printed there is UTF-8, such as a JSON object."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, content: bytes) -> int:
        """Write UTF-8, escaped."""
        self._stream.write(escaped(content.decode()).encode())
        return len(content)


class SafeStream:
    """A text stream that escapes. unsafe: the one below, for a progress bar's own signs."""

    def __init__(self, unsafe: Any) -> None:
        self.unsafe, self.buffer = unsafe, _Bytes(unsafe.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unsafe, name)

    def write(self, text: str) -> int:
        """Write a text, escaped."""
        self.unsafe.write(escaped(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write texts, escaped."""
        for line in lines:
            self.write(line)


def escape_streams() -> None:
    """Have everything escaped that this process prints from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, SafeStream):
            setattr(sys, name, SafeStream(stream))


def unsafe_stderr() -> Any:
    """Return standard error without escapes."""
    return sys.stderr.unsafe if isinstance(sys.stderr, SafeStream) else sys.stderr
