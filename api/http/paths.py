"""Which paths are refused, because they can be read in two ways.

A proxy in front, the router and our own code each decode and normalise in their own way, and what
one of them guards another may hand out under a second spelling. So no path is routed that has one.
"""

import re
from urllib.parse import unquote_to_bytes

from packledger.domain.errors import Invalid

_SUSPICIOUS = re.compile(rb"[^!-~]|//|/\.|[%\\#]|^(?!/)")
"""What an ordinary path has nothing of, besides the escapes of npm's scopes."""
_AS_SENT = (
    (re.compile(rb"^(?!/)"), "the request names no path of this registry; they begin with `/`"),
    (re.compile(rb"//"), "the path has an empty segment, `//`; write one slash"),
    (
        re.compile(rb"%(?![0-9A-Fa-f]{2})|#"),
        "the path has a `#`, or a `%` that escapes nothing; percent-encode them",
    ),
)
_DECODED = (
    (
        re.compile(r"[\\%\x00-\x1f\x7f-\x9f]"),
        "the path holds a backslash, a percent sign or a control character, which no name here has",
    ),
    (
        re.compile(r"/\.{1,2}(?:/|$)"),
        "the path has a segment `.` or `..`; name what you mean",
    ),
)
_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_SCOPED = re.compile(rb"(?:@|%40)(?:(?!%2f)[^/])+%2f(?:(?!%2f)[^/])+", re.IGNORECASE)
"""npm, pnpm and yarn escape the slash in `@scope/name`."""
_TOKEN = re.compile(rb"/npm/-/(?:user/token|npm/v1/tokens/token)/[^/]")
"""Behind this a path names a token, whatever it is made of; nothing else begins like that."""


def check_plain(raw_path: bytes) -> None:
    """Refuse a path with another reading. raw_path: as it was sent, without a query.

    Refused: no leading slash, empty and dot segments, escaped slashes but npm's, backslashes,
    control characters, escaped percent signs, broken escapes, and what is not UTF-8.

    Raises:
        Invalid: the sentence says what is wrong with it.
    """
    if _SUSPICIOUS.search(raw_path) is None:
        return
    for wrong, sentence in _AS_SENT:
        if wrong.search(raw_path):
            raise Invalid(sentence)
    try:
        path = unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError as error:
        raise Invalid("the path is not UTF-8; percent-encode what it names as UTF-8") from error
    for pattern, sentence in _DECODED:
        if pattern.search(path):
            raise Invalid(sentence)
    if _TOKEN.match(raw_path) is None:
        _check_slashes(raw_path)


def _check_slashes(raw_path: bytes) -> None:
    for segment in raw_path.split(b"/"):
        if _SLASH.search(segment) and not _SCOPED.fullmatch(segment):
            raise Invalid("the path has an escaped slash, which only `@scope%2fname` may have")
