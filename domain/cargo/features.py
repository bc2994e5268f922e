"""Which `[features]` tables cargo accepts.

cargo checks a table again each time it reads the index entry, and drops the entry when a value
names something absent; the rules here are those of its `build_feature_map`.
Source: https://doc.rust-lang.org/cargo/reference/features.html
"""

import re
from collections.abc import Mapping, Sequence

from packledger.domain.cargo.names import check_alias
from packledger.domain.errors import Invalid

MAX_FEATURES = 4096
"""Features of a crate, and values of a feature. crates.io stops at 300 with exceptions on request;
of those the largest that people depend on declares 1,727 (web-sys), so twice that and some air.
The manifest's size limit bounds the whole table."""

_ASCII_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]*")

Features = Mapping[str, Sequence[str]]


def check_features(features: Features, optional: Mapping[str, bool]) -> None:
    """Accept a table that cargo can read beside these dependencies.

    optional: the name of each dependency in the code, and whether it is optional anywhere.

    Raises:
        Invalid: a bad name, too many, or a value that names something absent.
    """
    if len(features) > MAX_FEATURES:
        raise Invalid(f"the crate has {len(features)} features; {MAX_FEATURES} are allowed")
    explicit = {
        value[4:]
        for values in features.values()
        for value in values
        if value.startswith("dep:") and "/" not in value
    }
    used = set(explicit)
    for name, values in features.items():
        check_feature_name(name)
        if len(values) > MAX_FEATURES:
            raise Invalid(
                f"the feature `{name}` enables {len(values)} others; {MAX_FEATURES} are allowed"
            )
        for value in values:
            if value in features:
                continue
            problem = _problem(value, optional, explicit, used)
            if problem:
                raise Invalid(f"the feature `{name}` includes `{value[:200]}`, {problem}")
    _check_each_is_used(features, optional, used)


def check_feature_name(name: str) -> None:
    """Accept a feature's name.

    Raises:
        Invalid: empty, or a character that cargo refuses.
    """
    if _ASCII_NAME.fullmatch(name) is None and not _is_unicode_name(name):
        raise Invalid(
            f"`{name[:80]}` is not a feature name; begin with a letter, a digit or `_`, "
            "go on with those, `-`, `+` or `.`"
        )


def _is_unicode_name(name: str) -> bool:
    """Tell XID_Start (or `_`, digit), then XID_Continue (or `+`, `-`, `.`)."""
    rest = re.sub(r"[+.-]", "_", name[1:])
    return (name[:1].isidentifier() or name[:1] in set("0123456789")) and f"_{rest}".isidentifier()


def _problem(
    value: str, optional: Mapping[str, bool], explicit: set[str], used: set[str]
) -> str | None:
    """Return what is wrong with a value that is no feature, or None; note the dependency used."""
    if "/" in value:
        return _dependency_feature_problem(value, optional, used)
    name = value.removeprefix("dep:")
    if name not in optional:
        what = "a dependency" if value != name else "a feature or a dependency"
        return f"but `{name[:80]}` is not {what} of this crate; add it or drop the value"
    if not optional[name]:
        return f"but the dependency `{name}` is not optional; add `optional = true` to it"
    if value == name and name in explicit:
        return f"but `{name}` is used with `dep:` elsewhere; write `dep:{name}` here too"
    return None


def _dependency_feature_problem(
    value: str, optional: Mapping[str, bool], used: set[str]
) -> str | None:
    dependency, _, feature = value.partition("/")
    name = dependency.removesuffix("?")
    if name.startswith("dep:"):
        return "with both `dep:` and `/`; drop the `dep:`"
    if name not in optional:
        return f"but `{name[:80]}` is not a dependency of this crate; add it or drop the value"
    if name != dependency and not optional[name]:
        return f"with a `?`, but the dependency `{name}` is not optional; drop the `?`"
    check_alias(name)
    check_feature_name(feature)
    used.add(name)
    return None


def _check_each_is_used(features: Features, optional: Mapping[str, bool], used: set[str]) -> None:
    """Refuse an optional dependency that nothing can enable.

    One that no value names as `dep:` has a feature of its own, unless there is one of that name.
    """
    for name, is_optional in optional.items():
        if is_optional and name in features and name not in used:
            raise Invalid(
                f"nothing enables the optional dependency `{name}`, as a feature has its name; "
                f"add `dep:{name}` to a feature"
            )
