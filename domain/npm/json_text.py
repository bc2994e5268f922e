"""JSON as npm reads and writes it, where a strict reader gives up.

node takes bytes that are no UTF-8 for U+FFFD, lets half of a surrogate pair stand in a text, and
writes U+FFFD for it. So do we, since what is stored must be JSON for every reader.
Source: https://encoding.spec.whatwg.org/#utf-8-decoder,
https://tc39.es/ecma262/#sec-json.stringify (well-formed)
"""

import re

MAX_MENDED_BYTES = 4 << 20
"""What is mended at all: half a second, if it is all escapes."""

# an escape of a whole pair, of half of one, or any other
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def mended(json: bytes) -> bytes:
    """Return a text as node reads it, in UTF-8 and without halves of pairs; else as it is."""
    if len(json) > MAX_MENDED_BYTES:
        return json
    text = json.decode(errors="replace")
    return _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text).encode()


def why(error: Exception) -> str:
    """Return what is wrong with a text that cannot be read, in words."""
    if "out of range" in str(error):
        return "it holds a number that is too large for JSON's readers, write it as a text"
    return str(error)[:200]
