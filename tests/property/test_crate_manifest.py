"""Whatever stands in a `Cargo.toml`, the registry makes a manifest of it or refuses it."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.cargo.manifest import CrateManifest, read_cargo_toml
from packledger.domain.errors import RegistryError

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
SCALAR = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.sampled_from(["1.0.0", "*", "foo", "dep:x", "x?/y", "cfg(unix)", "https://a.example"]),
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def table(*keys: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables of which each value may be of the right kind or of any."""
    return st.fixed_dictionaries(
        {}, optional={**dict.fromkeys(keys, VALUE), **{k: v | VALUE for k, v in known.items()}}
    )


DEPENDENCY = VALUE | table(
    "package", "registry", "registry-index", "default-features", "default_features", "optional",
    "artifact", "lib", "public", "target", "workspace",
    version=st.just("1"),
    features=st.just(["a"]),
)  # fmt: skip
NAMES = TEXT | st.sampled_from(["a", "b", "x", "_c"])
DEPENDENCIES = st.dictionaries(NAMES, DEPENDENCY, max_size=3)
TABLES = {
    name: DEPENDENCIES
    for name in (
        "dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies",
        "build_dependencies",
    )
}  # fmt: skip
PACKAGE = table(
    "authors", "categories", "description", "documentation", "homepage", "keywords", "license",
    "links", "metadata", "readme", "repository", "rust-version", "workspace", "edition",
    name=st.just("foo"),
    version=st.just("1.0.0"),
)  # fmt: skip
DOCUMENT = table(
    "bin", "lib", "lints", "patch", "project", "workspace",
    package=PACKAGE,
    features=st.dictionaries(NAMES, st.lists(NAMES, max_size=3) | VALUE, max_size=3),
    target=st.dictionaries(st.sampled_from(["cfg(unix)", "cfg(", "x"]), table(**TABLES)),
    **TABLES,
)  # fmt: skip


def toml(value: Any) -> str:
    """Return a value as TOML, tables inline."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k, ensure_ascii=False)} = {toml(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return '"none"' if value is None else json.dumps(value, ensure_ascii=False)


def read(text: str) -> CrateManifest | None:
    with contextlib.suppress(RegistryError):
        return read_cargo_toml(text.encode(errors="surrogatepass"), frozenset())
    return None


@given(DOCUMENT)
def test_values_of_any_type_anywhere_give_a_manifest_or_a_refusal(document: Any) -> None:
    read("\n".join(f"{key} = {toml(value)}" for key, value in document.items()))


@given(st.text())
def test_any_text_gives_a_manifest_or_a_refusal(text: str) -> None:
    assert read(text) is None
    read('[package]\nname = "foo"\nversion = "1.0.0"\n' + text)


@given(st.binary())
def test_any_bytes_give_a_refusal(data: bytes) -> None:
    with pytest.raises(RegistryError):
        read_cargo_toml(data, frozenset())
