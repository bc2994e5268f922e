"""The one table of what begins with which prefix: who asks there, who may, how they are refused.

Routing, the gate, refusals, pages and hot reads read it. A route below no row cannot be added; a
path below no row is closed to strangers in a private registry (`ELSEWHERE`).
"""

import re
from collections.abc import Iterable
from enum import Enum

import msgspec

_SLASHES = re.compile("//+")
ANY = "*"
"""Stands in a prefix for one segment, whatever it is."""


class Access(Enum):
    """Who may use a route of a private registry.

    A public one leaves that to each resource; a token that readers give must be good there, too.
    """

    OPEN = "whoever comes"
    READER = "whoever has a valid credential"
    VISITOR = "whoever is signed in; others are sent to the form"
    UNSAID = "nobody: neither the route nor its row says"


class ErrorFormat(Enum):
    """The body of a refusal, as its client reads it."""

    CARGO = '{"errors": [{"detail": …}]}'
    NPM = '{"error": …}, as npm, pnpm, yarn and bun print it'
    PLAIN = '{"error": …}'


class Mount(msgspec.Struct, frozen=True):
    """A prefix, in whole segments.

    access: of what does not say otherwise, and of paths that no route has. people: a browser is
    refused with a page; elsewhere only programs ask.
    """

    prefix: str
    errors: ErrorFormat
    access: Access = Access.UNSAID
    people: bool = False


class MountTable:
    """Finds the row of a path: the one with the longest prefix."""

    def __init__(self, rows: Iterable[Mount]) -> None:
        self.rows = tuple(rows)
        self._by_length = sorted(
            ((_segments(row.prefix), row) for row in self.rows), key=lambda one: -len(one[0])
        )
        self._depth = max((len(segments) for segments, _ in self._by_length), default=0)

    def find(self, path: str) -> Mount | None:
        """Return the row of a decoded path, or of a route's template; None where there is none."""
        # A path that is refused for its slashes was meant for the same client.
        asked = _segments(_SLASHES.sub("/", path), self._depth)
        for segments, row in self._by_length:
            if len(segments) <= len(asked) and all(map(_is_in, asked, segments)):
                return row
        return None


def _segments(path: str, most: int = -1) -> list[str]:
    """Return the segments of a path, what is behind the first `most` as one more."""
    return path.removeprefix("/").split("/", most)


def _is_in(segment: str, wanted: str) -> bool:
    return wanted in {segment, ANY}


CARGO_AT, NPM_AT = "/cargo", "/npm"
MAY_READ_AT = "/internal/may-read"
_OPEN, _READER, _VISITOR = Access.OPEN, Access.READER, Access.VISITOR
_PLAIN = ErrorFormat.PLAIN

MOUNTS = MountTable(
    (
        Mount(CARGO_AT, ErrorFormat.CARGO, _READER),
        Mount("/cargo/me", ErrorFormat.CARGO, _OPEN, people=True),
        Mount(NPM_AT, ErrorFormat.NPM, _READER),
        Mount("/as-of", _PLAIN, _READER),
        Mount("/as-of/*/cargo", ErrorFormat.CARGO, _READER),
        Mount("/as-of/*/npm", ErrorFormat.NPM, _READER),
        Mount("/audit", _PLAIN, _READER),
        Mount("/log", _PLAIN, _READER),
        Mount("/health", _PLAIN, _OPEN),
        Mount(MAY_READ_AT, _PLAIN, _OPEN),
        Mount("/", _PLAIN, _VISITOR, people=True),  # the start page alone
        Mount("/search", _PLAIN, _VISITOR, people=True),
        Mount("/crates", _PLAIN, _VISITOR, people=True),
        Mount("/packages", _PLAIN, _VISITOR, people=True),
        Mount("/account", _PLAIN, _VISITOR, people=True),
        Mount("/login", _PLAIN, _OPEN, people=True),
        Mount("/logout", _PLAIN, _OPEN, people=True),
        Mount("/setup", _PLAIN, _OPEN, people=True),
        Mount("/static", _PLAIN, _OPEN, people=True),
    )
)
ELSEWHERE = Mount("", _PLAIN, _READER, people=True)
"""What no row begins."""


def mount_of(path: str) -> Mount:
    """Return the row of a decoded path."""
    return MOUNTS.find(path) or ELSEWHERE
