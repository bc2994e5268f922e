"""What sections of the settings are made of; in the domain, for every layer configures something.

A section is a struct beside what it configures. Each field is annotated with `setting`; what the
whole cannot be it says in `__post_init__`, as a ValueError whose sentence names the field in
backticks and holds no secret. `server/settings/settings.py` has the list of sections.
"""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

HIDDEN = "(hidden)"
"""Instead of a secret, wherever settings are printed."""


def setting(
    text: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    flat: str = "",
    secret: bool = False,
    path: bool = False,
) -> msgspec.Meta:
    """Return what is said of a field of a section; from `text` the documentation is made.

    flat: its name above the first table and in the environment, for what had one before there were
    sections; secret: it is or holds a password; path: in a file, relative to that file.
    """
    extra = {"flat": flat, "secret": secret, "path": path}
    return msgspec.Meta(description=text, ge=ge, le=le, extra=extra)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that belong together; printed anywhere, no secret is shown."""

    def __repr__(self) -> str:
        shown = (f"{name}={self.shown(name)!r}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(shown)})"

    def shown(self, name: str) -> Any:
        """Return the value of a field as it may be printed."""
        value = getattr(self, name)
        return HIDDEN if value and name in secrets_of(type(self)) else value


def secrets_of(section: type[Section]) -> frozenset[str]:
    """Return the fields that are or hold a password."""
    return frozenset(name for name, meta in _metas_of(section) if meta.extra["secret"])


def _metas_of(section: type[Section]) -> Iterator[tuple[str, Any]]:
    for name, hint in get_type_hints(section, include_extras=True).items():
        if get_origin(hint) is Annotated:
            yield name, get_args(hint)[1]


def is_plain_url(url: str) -> bool:
    """Return whether more of a path can be written behind a URL."""
    try:
        parts = urlsplit(url)
        has_host = parts.hostname is not None and parts.port != 0
    except ValueError:
        return False
    characters = url.isascii() and url.isprintable() and not set(url) & set(' "<>?#@\\^`{|}')
    return has_host and characters and parts.scheme in {"http", "https"}
