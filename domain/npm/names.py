"""Names of npm packages, files and dist-tags.

The rules are those of npm's own `validate-npm-package-name`, what it calls legacy refused, but for
names of Node's own modules: `events`, `punycode` and others stand in most real dependency trees,
and a registry must be able to hold those.
Source: https://github.com/npm/validate-npm-package-name, https://github.com/npm/cli
"""

import re

from packledger.domain.errors import Invalid

MAX_NAME_LENGTH = 214
"""npm's limit: scope, `@` and `/` included."""
MAX_DIST_TAG_LENGTH = 128
"""Our limit, npm has none; a packument repeats every tag. The longest in use are near 60."""

_URL_SAFE = re.compile(r"[A-Za-z0-9\-_.!~*'()]+")  # what encodeURIComponent leaves alone
_NEW = re.compile(r"[a-z0-9\-_.]+")
_RESERVED = frozenset({"node_modules", "favicon.ico"})
_NUMBER = r"(?:0|[1-9][0-9]*)"
_PART = rf"(?:[xX]|{_NUMBER})"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][A-Za-z0-9-]*)"
_RANGE = re.compile(
    rf"~?v*{_PART}(?:\.{_PART}(?:\.{_PART}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?)?)?"
)


def parse_name(text: str) -> tuple[str | None, str]:
    """Return (scope without its `@`, or None; the name after it) of a readable name.

    Names that could be published once, such as those with capitals, are readable.

    Raises:
        Invalid: it never was a package name.
    """
    scope, slash, bare = text[1:].partition("/") if text.startswith("@") else ("", "", text)
    parts = [scope, bare] if text.startswith("@") else [bare]
    if not all(map(_URL_SAFE.fullmatch, parts)) or any(part.startswith(".") for part in parts):
        raise Invalid(
            f"`{_shown(text)}` is not a package name; use letters, digits, `-`, `_` and `.`, not "
            "`.` at the start, and `@scope/name` for a scoped one"
        )
    if text[0] in "-_":
        raise Invalid(f"the package name `{_shown(text)}` must not start with `{text[0]}`")
    return (scope if slash else None), bare


def check_new_npm_name(name: str) -> None:
    """Check that `name` may be taken by a new package.

    Raises:
        Invalid: it may not, and why.
    """
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise Invalid(
            f"the package name `{_shown(name)}` has {len(name)} characters; a new name has 1 to "
            f"{MAX_NAME_LENGTH}, scope included"
        )
    scope, bare = parse_name(name)
    if name != canonical_npm_name(name):
        raise Invalid(f"the package name `{name}` has capital letters; use `{name.lower()}`")
    if not all(_NEW.fullmatch(part) for part in (scope or "x", bare)):
        raise Invalid(f"the package name `{name}` has one of `~'!()*`; leave them out")
    if name in _RESERVED or bare == "-":
        raise Invalid(f"the package name `{name}` is reserved; choose another one")


def canonical_npm_name(name: str) -> str:
    """Return the form in which two names must differ."""
    return name.lower()


def tarball_filename(name: str, version: str) -> str:
    """Return the file under which clients look for a version: `<unscoped name>-<version>.tgz`."""
    return f"{name.rpartition('/')[2]}-{version}.tgz"


def version_of_tarball(name: str, filename: str) -> str | None:
    """Return the version in a file name made by `tarball_filename`, `None` for another file.

    A name may hold hyphens, so the known name is taken off instead of splitting.
    """
    prefix = name.rpartition("/")[2] + "-"
    if not filename.startswith(prefix) or not filename.endswith(".tgz"):
        return None
    return filename[len(prefix) : -len(".tgz")] or None


def check_dist_tag(tag: str) -> None:
    """Check that `tag` may name a version.

    Raises:
        Invalid: empty, long, not URL-safe, or a version range: `npm install a@1.x` would be
            ambiguous.
    """
    if not 0 < len(tag) <= MAX_DIST_TAG_LENGTH:
        raise Invalid(
            f"the dist-tag `{_shown(tag)}` has {len(tag)} characters; use 1 to "
            f"{MAX_DIST_TAG_LENGTH}"
        )
    if "*" in tag or _RANGE.fullmatch(tag):
        raise Invalid(f"the dist-tag `{tag}` is a version range; use a word such as `next`")
    # `__proto__` is no key to the JavaScript clients that copy the map of tags
    if not _URL_SAFE.fullmatch(tag) or tag in {"__proto__", ".", ".."}:
        raise Invalid(f"the dist-tag `{_shown(tag)}` is not URL-safe; use letters, digits and `-`")


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:60])
