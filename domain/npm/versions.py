"""What npm calls a version: node-semver's cleaned form, which is the version's identity.

npm, pnpm and bun clean a version before they publish it, and send the cleaned form; the archive
keeps the author's text, and the yarns send that. Both name the same version.

Source: `functions/clean.js` and `classes/semver.js` of https://github.com/npm/node-semver, in its
loose mode, as npm asks for it when it publishes
"""

import re

from packledger.domain.errors import Invalid
from packledger.domain.versions import parse_version

MAX_NUMBER = 2**53 - 1
"""JavaScript's `Number.MAX_SAFE_INTEGER`: node-semver refuses a version with a larger part."""
MAX_TEXT_LENGTH = 256
"""node-semver's limit for a text; the cleaned form has a smaller one, `parse_version`'s."""

_BLANKS = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What JavaScript trims, and what `\\s` means to it; Python knows others."""
_IDENTIFIER = r"(?:[0-9]*[A-Za-z-][A-Za-z0-9-]*|[0-9]+)"
_BUILD = r"[A-Za-z0-9-]+"
_LOOSE = re.compile(
    rf"[v={_BLANKS}]*([0-9]+)\.([0-9]+)\.([0-9]+)"
    rf"(?:-?({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+{_BUILD}(?:\.{_BUILD})*)?"
)


def clean_npm_version(text: str) -> str:
    """Return an npm version as npm cleans it, without build metadata.

    `v1.2.3`, ` =1.2.3 ` and `01.02.03+build` are `1.2.3`, `1.2.3beta` is `1.2.3-beta`.

    Raises:
        Invalid: npm could not clean it, or the strict readers of what it makes of it not read it.
    """
    cleaned = _cleaned(text)
    if cleaned is None:
        raise Invalid(
            f"`{text[:80]}` is not a version to npm; write MAJOR.MINOR.PATCH, as in `1.4.0`"
        )
    parse_version(cleaned)
    return cleaned


def npm_version_key(text: str) -> str:
    """Return what a text about a version is looked up by; a text that names none stays as it is."""
    return _cleaned(text) or text


def _cleaned(text: str) -> str | None:
    # no real text has so many blanks, and trimming them must cost nothing
    stripped = text[: 4 * MAX_TEXT_LENGTH].strip(_BLANKS).lstrip("=v")
    if len(stripped) > MAX_TEXT_LENGTH:
        return None
    match = _LOOSE.fullmatch(stripped.strip(_BLANKS))
    if match is None:
        return None
    *digits, prerelease = match.groups()
    numbers = [int(one) for one in digits]
    if max(numbers) > MAX_NUMBER:
        return None
    release = ".".join(map(str, numbers))
    if not prerelease:
        return release
    return f"{release}-{'.'.join(map(_identifier, prerelease.split('.')))}"


def _identifier(text: str) -> str:
    """Return an identifier of a prerelease; a number loses its leading zeros, if it is safe."""
    if text.isdecimal() and int(text) < MAX_NUMBER:
        return str(int(text))
    return text
