"""What the descriptive fields of a manifest may hold. The rules are crates.io's.

A description and a licence are optional here.
"""

import re
import urllib.parse
from collections.abc import Sequence

from packledger.domain.cargo.requirements import check_rust_version
from packledger.domain.cargo.toml import TomlPackage
from packledger.domain.errors import Invalid

MAX_KEYWORDS = 5
MAX_KEYWORD_LENGTH = 20
MAX_CATEGORIES = 5

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
MAX_CATEGORY_LENGTH = 100
_LINKS = re.compile(r"[!-~]{1,200}")
_REGISTRY = re.compile(r"(?:sparse\+https?://[!-~]*/|(?:https?|ssh|git|file)://[!-~]+)")


def check_texts(package: TomlPackage) -> None:
    """Accept the descriptive fields of `[package]`.

    Raises:
        Invalid: one of them is not as crates.io would have it.
    """
    if package.rust_version is not None:
        check_rust_version(package.rust_version)
    if package.links is not None and _LINKS.fullmatch(package.links) is None:
        raise Invalid(f"`links = {package.links[:80]!r}` names no native library; correct it")
    for field in ("homepage", "documentation", "repository"):
        _check_link(field, getattr(package, field))
    _check_keywords(package.keywords)
    _check_categories(package.categories)


def _check_link(field: str, url: str | None) -> None:
    if url is None:
        return
    try:
        parts = urllib.parse.urlsplit(url)
        usable = url.startswith(("http://", "https://")) and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise Invalid(f"`{field} = {url[:200]!r}` is not a link; write one with `https://`")


def _check_keywords(keywords: Sequence[str]) -> None:
    if len(keywords) > MAX_KEYWORDS:
        raise Invalid(f"the crate has {len(keywords)} keywords; {MAX_KEYWORDS} are allowed")
    for keyword in keywords:
        if len(keyword) > MAX_KEYWORD_LENGTH or _KEYWORD.fullmatch(keyword) is None:
            raise Invalid(
                f"`{keyword[:80]}` is not a keyword; use 1 to {MAX_KEYWORD_LENGTH} ASCII letters, "
                "digits, `_`, `-` or `+`, beginning with a letter or digit"
            )


def _check_categories(categories: Sequence[str]) -> None:
    if len(categories) > MAX_CATEGORIES:
        raise Invalid(f"the crate has {len(categories)} categories; {MAX_CATEGORIES} are allowed")
    for category in categories:
        # cargo only warns of unknown ones, so old releases of crates have any text here
        if len(category) > MAX_CATEGORY_LENGTH or not category.isprintable():
            raise Invalid(f"`{category[:80]!r}` is not a category; use a slug as `command-line`")


def check_registry_url(dependency: str, url: str) -> None:
    """Accept the index URL of another registry, as cargo writes it into a published manifest.

    Raises:
        Invalid: cargo could not use it: a sparse one needs `sparse+` before and `/` after it.
    """
    try:
        parts = urllib.parse.urlsplit(url.removeprefix("sparse+"))
        port_fits = parts.port is None or parts.port >= 0
        usable = port_fits and (bool(parts.hostname) or parts.scheme == "file")
    except ValueError:
        usable = False
    if not usable or len(url) > 2048 or _REGISTRY.fullmatch(url) is None:
        raise Invalid(
            f"the dependency `{dependency}` comes from the registry `{url[:200]}`, which is no "
            "index URL that cargo can read; write one such as `sparse+https://HOST/index/`"
        )
