"""What cargo must be able to read in an index entry: version requirements, targets, rust-version.

An entry with one that cargo cannot read is an "invalid" version which nobody can use, so all of
them are refused at publish. Sources: the `semver` and `cargo-platform` crates, whose parsers these
functions follow, and
https://doc.rust-lang.org/cargo/reference/specifying-dependencies.html#version-requirement-syntax
"""

import re
from functools import lru_cache

from packledger.domain.errors import Invalid

MAX_COMPARATORS = 32
"""The `semver` crate's own limit."""

MAX_REQUIREMENT_LENGTH = 2048
"""32 comparators of 20 characters, thrice: pre-releases are long. Bounds what the cache holds."""

MAX_NUMBER = 2**64 - 1
"""The `semver` crate keeps a version's numbers in a u64."""

MAX_TARGET_LENGTH = 4096
MAX_CFG_DEPTH = 64
"""cargo parses `cfg(…)` by recursion: a deeper one could exhaust the stack of every client."""

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"[0-9A-Za-z-]+"
_COMPARATOR = re.compile(
    rf"(?P<op>>=|<=|[=><~^])? *(?P<major>{_NUMBER})"
    rf"(?:\.(?:(?P<any_minor>[*xX](?:\.[*xX])?)|(?P<minor>{_NUMBER})"
    rf"(?:\.(?:(?P<any_patch>[*xX])|(?P<patch>{_NUMBER})"
    rf"(?:-(?P<pre>{_PRE}(?:\.{_PRE})*))?(?:\+{_BUILD}(?:\.{_BUILD})*)?))?))? *"
)
_RUST_VERSION = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){0,2}")
_CFG_TOKEN = re.compile(r' *(?:(?P<word>(?:r#)?[A-Za-z_][A-Za-z0-9_]*)|(?P<text>"[^"]*")|([(),=]))')


@lru_cache(maxsize=4096)
def normalise_requirement(text: str) -> str:
    """Return a version requirement as cargo prints it, and so as the index has it.

    `1.0` becomes `^1.0`, `>=1,<2` becomes `>=1, <2`, build metadata is dropped.

    Raises:
        Invalid: cargo could not read it.
    """
    bare = text.strip(" ")
    if bare in {"*", "x", "X"}:
        return "*"
    comparators = bare.split(",")
    if len(comparators) > MAX_COMPARATORS or len(text) > MAX_REQUIREMENT_LENGTH:
        raise Invalid(
            f"the version requirement `{text[:40]}…` has more than {MAX_COMPARATORS} parts or "
            f"{MAX_REQUIREMENT_LENGTH} characters; write a shorter one"
        )
    return ", ".join(_comparator(part.lstrip(" "), text) for part in comparators)


def _comparator(part: str, whole: str) -> str:
    match = _COMPARATOR.fullmatch(part)
    if match is None:
        raise _unreadable(whole)
    op, major, any_minor, minor, any_patch, patch, pre = match.groups()
    numbers = [number for number in (major, minor, patch) if number is not None]
    if not all(map(fits_u64, numbers)):
        raise _unreadable(whole)
    dotted = ".".join(numbers)
    if (any_minor or any_patch) and op is None:
        return f"{dotted}.*"
    return f"{op or '^'}{dotted}{f'-{pre}' if pre else ''}"


def fits_u64(digits: str) -> bool:
    """Tell whether a decimal number is one that the `semver` crate can hold."""
    return len(digits) < 20 or int(digits[:21]) <= MAX_NUMBER


def _unreadable(text: str) -> Invalid:
    return Invalid(
        f"`{text[:80]}` is not a version requirement that cargo can read; "
        "write one such as `1.2`, `=1.2.3` or `>=1.2, <1.5`"
    )


def check_rust_version(text: str) -> None:
    """Accept a bare, complete or partial version, such as `1.60`.

    Raises:
        Invalid: an operator, a pre-release or other text; cargo would drop the index entry.
    """
    if _RUST_VERSION.fullmatch(text) is None:
        raise Invalid(
            f"`{text[:80]}` is not a rust-version; write a bare version such as `1.60` or `1.60.0`"
        )


@lru_cache(maxsize=1024)
def normalise_target(text: str) -> str:
    """Return a target triple, or a `cfg(…)` expression as cargo prints it, and so the index.

    `cfg(all(unix,target_os="hermit",))` becomes `cfg(all(unix, target_os = "hermit"))`.

    Raises:
        Invalid: cargo could not read it.
    """
    if len(text) <= MAX_TARGET_LENGTH:
        if text.startswith("cfg(") and text.endswith(")"):
            tokens = _cfg_tokens(text[4:-1])
            if tokens is not None and _is_cfg(tokens):
                return f"cfg({_printed(tokens)})"
        elif text and all(c.isalnum() or c in "_-." for c in text):
            return text
    raise Invalid(
        f"`{text[:80]}` is not a target that cargo can read; write a triple such as "
        "`x86_64-unknown-linux-gnu`, or `cfg(…)` as in `cfg(unix)`"
    )


def _cfg_tokens(text: str) -> list[str] | None:
    """Return words, texts in quotes, and single characters; None where there is something else."""
    tokens: list[str] = []
    at = 0
    while at < len(text.rstrip(" ")):
        match = _CFG_TOKEN.match(text, at)
        if match is None:
            return None
        tokens.append(match[0].lstrip(" "))
        at = match.end()
    return tokens


def _is_cfg(tokens: list[str]) -> bool:
    rest = ['"' if token.startswith('"') else token for token in reversed(tokens)]
    return _take_cfg(rest, MAX_CFG_DEPTH) and not rest


def _printed(tokens: list[str]) -> str:
    """Return a correct expression with cargo's own blanks, and without a comma after the last."""
    following = [*tokens[1:], ""]
    kept = [one for one, after in zip(tokens, following, strict=True) if (one, after) != (",", ")")]
    return "".join({"=": " = ", ",": ", "}.get(token, token) for token in kept)


def _take_cfg(tokens: list[str], depth: int) -> bool:
    """Take one expression from the end of the reversed tokens; False when there is none."""
    if not tokens or depth == 0:
        return False
    word = tokens.pop()
    if word == "not":
        return _take(tokens, "(") and _take_cfg(tokens, depth - 1) and _take(tokens, ")")
    if word in {"all", "any"}:
        return _take(tokens, "(") and _take_cfg_list(tokens, depth - 1)
    if word in {"(", ")", ",", "=", '"'}:
        return False
    return not _take(tokens, "=") or _take(tokens, '"')


def _take_cfg_list(tokens: list[str], depth: int) -> bool:
    while not _take(tokens, ")"):
        if not _take_cfg(tokens, depth):
            return False
        if not _take(tokens, ","):
            return _take(tokens, ")")
    return True


def _take(tokens: list[str], wanted: str) -> bool:
    if tokens and tokens[-1] == wanted:
        tokens.pop()
        return True
    return False
