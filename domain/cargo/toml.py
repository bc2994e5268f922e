"""The parts of a crate's own `Cargo.toml` that the registry reads, as written there.

Keys that cargo still accepts in an older spelling (`dev_dependencies`, `default_features`,
`[project]`) are fields of their own. Everything else in the file is ignored.
Source: https://doc.rust-lang.org/cargo/reference/manifest.html
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import field

from packledger.domain.errors import Invalid, TooLarge

MAX_CARGO_TOML_BYTES = 1 << 20
"""The largest that people depend on is 60 KB (web-sys)."""

_DEEP_KEY = re.compile(
    rb"""(?<![A-Za-z0-9_.-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){50}"""
)
"""tomllib needs time by the square of a dotted key's parts; a manifest has five at most."""


class TomlDependency(msgspec.Struct, frozen=True, rename="kebab"):
    """A dependency written as a table."""

    version: str | None = None
    features: tuple[str, ...] = ()
    optional: bool = False
    default_features: bool | None = None
    default_features_old: bool | None = field(name="default_features", default=None)
    package: str | None = None
    registry: str | None = None
    registry_index: str | None = None
    public: bool | None = None
    artifact: str | tuple[str, ...] | None = None
    target: str | None = None
    lib: bool | None = None


TomlDependencies = dict[str, str | TomlDependency]


class TomlTarget(msgspec.Struct, frozen=True, rename="kebab"):
    """The dependency tables of one target, or of all."""

    dependencies: TomlDependencies = {}
    dev_dependencies: TomlDependencies | None = None
    dev_dependencies_old: TomlDependencies | None = field(name="dev_dependencies", default=None)
    build_dependencies: TomlDependencies | None = None
    build_dependencies_old: TomlDependencies | None = field(name="build_dependencies", default=None)


class TomlPackage(msgspec.Struct, frozen=True, rename="kebab"):
    """`[package]`."""

    name: str
    version: str
    edition: str | None = None
    rust_version: str | None = None
    links: str | None = None
    authors: tuple[str, ...] = ()
    description: str | None = None
    homepage: str | None = None
    documentation: str | None = None
    repository: str | None = None
    readme: str | bool | None = None
    license: str | None = None
    license_file: str | None = None
    keywords: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class TomlProduct(msgspec.Struct, frozen=True, rename="kebab"):
    """`[lib]` or one `[[bin]]`."""

    name: str | None = None
    proc_macro: bool | None = None
    proc_macro_old: bool | None = field(name="proc_macro", default=None)


class CargoToml(TomlTarget, frozen=True, rename="kebab"):
    """The whole file."""

    package: TomlPackage | None = None
    project: TomlPackage | None = None
    features: dict[str, tuple[str, ...]] = {}
    target: dict[str, TomlTarget] = {}
    lib: TomlProduct | None = None
    bin: tuple[TomlProduct, ...] = ()


def parse_cargo_toml(toml: bytes) -> CargoToml:
    """Return what a `Cargo.toml` says.

    Raises:
        Invalid: not TOML, a value of the wrong type, left for a workspace to fill in, `[patch]`.
        TooLarge: over `MAX_CARGO_TOML_BYTES`.
    """
    document = _load(toml)
    _refuse_inheritance(document)
    if document.get("patch"):
        raise Invalid("`Cargo.toml` has a `[patch]` table, which no dependant would see; drop it")
    try:
        return msgspec.convert(document, CargoToml)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"`Cargo.toml` cannot be used: {str(error).replace('$.', '')}; "
            "let `cargo publish` write it"
        ) from error


def _load(toml: bytes) -> dict[str, Any]:
    if len(toml) > MAX_CARGO_TOML_BYTES:
        raise TooLarge(f"`Cargo.toml` is over {MAX_CARGO_TOML_BYTES} bytes; make it smaller")
    if any(line.count(b".") >= 50 and _DEEP_KEY.search(line) for line in toml.split(b"\n")):
        raise Invalid("`Cargo.toml` has a key of 50 parts or more; write shorter keys")
    try:
        return tomllib.loads(toml.decode())
    except RecursionError as error:
        raise Invalid("`Cargo.toml` is nested too deeply; flatten it") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and int() of 4,300 digits
        raise Invalid(f"`Cargo.toml` is not TOML: {str(error)[:200]}; correct it") from error


def _refuse_inheritance(document: Mapping[str, Any]) -> None:
    """Refuse `workspace = true`: a published crate has no workspace to ask."""
    for name in ("package", "project"):
        package = document.get(name)
        if isinstance(package, dict):
            _refuse_inherited(name, {k: v for k, v in package.items() if k != "metadata"})
    _refuse_inherited("Cargo.toml", {"lints": document.get("lints")})
    targets = document.get("target")
    for tables in [document, *(targets.values() if isinstance(targets, dict) else ())]:
        for name, table in tables.items() if isinstance(tables, dict) else ():
            if name.endswith("dependencies") and isinstance(table, dict):
                _refuse_inherited(name, table)


def _refuse_inherited(table: str, values: Mapping[str, Any]) -> None:
    for key in _inherited(values):
        raise Invalid(
            f"`{key[:80]}` in `{table}` of `Cargo.toml` is still to be filled in by a workspace; "
            "let `cargo publish` write the file"
        )


def _inherited(values: Mapping[str, Any]) -> Iterable[str]:
    return (k for k, v in values.items() if isinstance(v, dict) and v.get("workspace") is True)
