"""Semantic versions as both ecosystems use them. Source: https://semver.org/spec/v2.0.0.html"""

import re

import semver

from packledger.domain.errors import Invalid

MAX_VERSION_LENGTH = 150
"""crates.io's limit; npm's own is 256. One limit serves both: no real version is near it."""

_CLEAN = re.compile(r"^\s*[=v]*\s*|\s+$")


def parse_version(text: str) -> semver.Version:
    """Return the strict semantic version written in `text`.

    Raises:
        Invalid: not strict SemVer 2, or longer than `MAX_VERSION_LENGTH`.
    """
    if len(text) > MAX_VERSION_LENGTH:
        raise Invalid(f"the version `{text[:40]}…` is longer than {MAX_VERSION_LENGTH} characters")
    try:
        return semver.Version.parse(text)
    except ValueError as error:
        raise Invalid(
            f"`{text}` is not a semantic version; write MAJOR.MINOR.PATCH, as in `1.4.0`"
        ) from error


def without_build(text: str) -> str:
    """Return the version without build metadata: what makes a version unique in both ecosystems."""
    return text.partition("+")[0]


def clean_npm_version(text: str) -> str:
    """Return an npm version as npm itself cleans it: blanks, a leading `v` or `=` are dropped.

    Raises:
        Invalid: what remains is not a semantic version.
    """
    cleaned = _CLEAN.sub("", text)
    parse_version(cleaned)
    return cleaned


def precedence(text: str) -> semver.Version:
    """Return the sort key of a valid version: SemVer precedence, build metadata ignored."""
    return semver.Version.parse(without_build(text))
