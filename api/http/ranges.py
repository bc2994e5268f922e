"""One part of a file: for who goes on with a download, and for proxies that keep pieces.

Several ranges at once, and what is no range, mean the whole file, as the RFC allows.
Source: https://www.rfc-editor.org/rfc/rfc9110#section-14
"""

import re
from typing import NamedTuple

_ONE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)


class Part(NamedTuple):
    """A part of a file. whole_bytes: the size of the file."""

    first: int
    size_bytes: int
    whole_bytes: int

    @property
    def content_range(self) -> str:
        """What the answer says about it."""
        return f"bytes {self.first}-{self.first + self.size_bytes - 1}/{self.whole_bytes}"


class Range(NamedTuple):
    """Bytes as they are asked for. last: None for all that follow; suffix: so many at the end."""

    first: int = 0
    last: int | None = None
    suffix: int | None = None

    @property
    def begins(self) -> bool:
        """Whether it is where a download begins."""
        return self.first == 0 and self.suffix is None

    def of(self, whole_bytes: int) -> Part | None:
        """Return what that is of a file, None for nothing."""
        first, end = self.first, whole_bytes
        if self.suffix is not None:
            first = max(0, whole_bytes - self.suffix)
        if self.last is not None:
            end = min(self.last + 1, whole_bytes)
        return Part(first, end - first, whole_bytes) if first < end else None


def range_of(value: str | None, if_range: str | None, etag: str) -> Range | None:
    """Return what `Range` asks for, None for the whole file.

    if_range: `If-Range`: only if the file is still that one. Compared strongly, and no file here
    has a date.
    """
    if value is None or (if_range is not None and if_range.strip() != etag):
        return None
    found = _ONE.fullmatch(value.replace(" ", ""))
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return Range(suffix=int(suffix))
    if last and int(last) < int(first):
        return None
    return Range(int(first), int(last) if last else None)
