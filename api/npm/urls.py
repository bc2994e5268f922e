"""What an npm URL names, read from the raw path: `%2f` inside a scoped name must survive.

Clients send `/@s/n`, `/@s%2fn` and `/@s%2Fn`; Falcon's `req.path` is decoded already.
"""

from urllib.parse import unquote_to_bytes

import msgspec

from packledger.domain.errors import Invalid


class PackagePath(msgspec.Struct, frozen=True):
    """A package's name and what follows it, decoded, one item a segment."""

    name: str
    rest: tuple[str, ...]


def segments(raw_path: bytes, prefix: str) -> list[str]:
    """Return the decoded segments of a raw path after a prefix.

    Raises:
        Invalid: not UTF-8, a NUL, or a `.` or `..` segment.
    """
    path = raw_path.partition(b"?")[0]
    parts = [_decode(part) for part in path.split(b"/")[len(prefix.split("/")) :]]
    if parts and parts[-1] == "":
        parts.pop()
    return parts


def _decode(part: bytes) -> str:
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise Invalid(
            "the path is not UTF-8; percent-encode the package's name as UTF-8"
        ) from error
    if "\0" in text or text in {".", ".."}:
        raise Invalid("the path holds a NUL, `.` or `..`, which no package has")
    return text


def package_path(parts: list[str]) -> PackagePath:
    """Return the package that the segments begin with: `@s/n` as one segment or two.

    Raises:
        Invalid: a scope without a name.
    """
    if not parts or not parts[0]:
        raise Invalid("the path names no package")
    first = parts[0]
    if first.startswith("@") and "/" not in first:
        if len(parts) < 2:
            raise Invalid(f"`{first}` is a scope; name a package in it, as in `{first}/name`")
        return PackagePath(f"{first}/{parts[1]}", tuple(parts[2:]))
    return PackagePath(first, tuple(parts[1:]))
