"""What a crate may be called, and where its index file lies.

Source: https://doc.rust-lang.org/cargo/reference/registry-index.html#name-restrictions
"""

import re

from packledger.domain.errors import Invalid

MAX_NAME_LENGTH = 64

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

_RUST = """
    alloc arena ast builtins collections compiler-builtins compiler-rt compiletest core coretest
    debug driver flate fmt_macros grammar graphviz macro macros proc_macro rbml rust-installer
    rustbook rustc rustc_back rustc_borrowck rustc_driver rustc_llvm rustc_resolve rustc_trans
    rustc_typeck rustdoc rustllvm rustuv serialize std syntax test unicode
"""
"""Names that mean something else to rustc; crates.io reserves the same."""

_WINDOWS = [
    "nul",
    "con",
    "prn",
    "aux",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
]
"""Device names: no Windows machine could check out an index or a vendor folder holding them."""

_ROUTES = ["new"]
"""`/api/v1/crates/new` is the publish route, so a crate `new` could never be asked for."""


def canonical_crate_name(name: str) -> str:
    """Return the form in which two colliding names are equal: lower case, `-` as `_`."""
    return name.lower().replace("-", "_")


_RESERVED = frozenset(map(canonical_crate_name, [*_RUST.split(), *_WINDOWS, *_ROUTES]))


def check_crate_name(name: str) -> None:
    """Accept a name that a crate of this registry may have.

    Raises:
        Invalid: other characters than cargo's, too long, or reserved.
    """
    check_dependency_name(name)
    if canonical_crate_name(name) in _RESERVED:
        raise Invalid(f"the crate name `{name}` is reserved; choose another name")


def check_dependency_name(name: str) -> None:
    """Accept the name of a crate in any registry: the reserved names too.

    Raises:
        Invalid: other characters than cargo's, or too long.
    """
    if len(name) > MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        raise Invalid(
            f"`{name[:80]}` is not a crate name; use 1 to {MAX_NAME_LENGTH} ASCII letters, digits, "
            "`-` or `_`, beginning with a letter"
        )


def check_alias(alias: str) -> None:
    """Accept the name by which a manifest calls a dependency: a crate name, or one with `_` first.

    Raises:
        Invalid: other characters, or too long.
    """
    if len(alias) > MAX_NAME_LENGTH or _ALIAS.fullmatch(alias) is None:
        raise Invalid(
            f"`{alias[:80]}` is not a dependency name; use 1 to {MAX_NAME_LENGTH} ASCII letters, "
            "digits, `-` or `_`, beginning with a letter or `_`"
        )


def index_path(name: str) -> str:
    """Return the path of a crate's index file, such as `se/rd/serde`; always lower case."""
    lower = name.lower()
    if len(lower) <= 2:
        return f"{len(lower)}/{lower}"
    if len(lower) == 3:
        return f"3/{lower[0]}/{lower}"
    return f"{lower[:2]}/{lower[2:4]}/{lower}"
