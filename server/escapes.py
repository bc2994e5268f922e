"""Text as it may be printed: no sign in it moves a cursor, colours, or turns a line around.

As JSON escapes (`\\u001b`): what is JSON stays the same JSON.
"""

import re

_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but the tab and the end of a line (C0, DEL, C1), separators and marks of lines
and directions, and halves of surrogates, which no stream takes."""


def escaped(text: str) -> str:
    """Return a text that is safe to print, with `\\uXXXX` for each character that is not."""
    return _HARMFUL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
