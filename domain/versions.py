"""Semantic versions as both ecosystems use them. Source: https://semver.org/spec/v2.0.0.html"""

from functools import lru_cache

import semver

from packledger.domain.errors import Invalid

MAX_VERSION_LENGTH = 150
"""crates.io's limit; npm's own is 256. One limit serves both: no real version is near it."""


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


@lru_cache(maxsize=8_192)
def standing(text: str) -> tuple[object, ...]:
    """Return the key by which the version that stands for a package is its highest.

    Any release is above any prerelease; among themselves they sort by SemVer precedence, which
    ignores build metadata. Source: https://semver.org/spec/v2.0.0.html#spec-item-11
    """
    version = semver.Version.parse(without_build(text))
    identifiers = version.prerelease.split(".") if version.prerelease else []
    return (
        not identifiers,
        *(version.major, version.minor, version.patch),
        [(0, int(one), "") if one.isdigit() else (1, 0, one) for one in identifiers],
    )
