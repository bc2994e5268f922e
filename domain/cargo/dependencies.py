"""A crate's dependencies, as the index has them.

Source: https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema
"""

import re
from collections.abc import Iterator
from itertools import chain

import msgspec

from packledger.domain.cargo.features import check_feature_name
from packledger.domain.cargo.names import check_alias, check_dependency_name
from packledger.domain.cargo.requirements import normalise_requirement, normalise_target
from packledger.domain.cargo.texts import check_registry_url
from packledger.domain.cargo.toml import CargoToml, TomlDependencies, TomlDependency, TomlTarget
from packledger.domain.errors import Invalid, TooLarge

CRATES_IO = "https://github.com/rust-lang/crates.io-index"
"""How cargo names crates.io in every index, sparse or not."""

MAX_DEPENDENCIES = 500
"""crates.io's limit."""

_KINDS = ("normal", "build", "dev")
_NOTHING = TomlDependency()


class CrateDependency(msgspec.Struct, frozen=True, omit_defaults=True):
    """One dependency, with the fields and the order of an index entry.

    name: in the code; package: the crate's real name when that differs; req: as cargo prints it;
    kind: `normal`, `build` or `dev`; registry: index URL, None = this registry.
    """

    name: str
    req: str
    features: tuple[str, ...]
    optional: bool
    default_features: bool
    target: str | None
    kind: str
    registry: str | None = None
    package: str | None = None
    public: bool | None = None
    artifact: tuple[str, ...] | None = None
    bindep_target: str | None = None
    lib: bool | None = None


def read_dependencies(
    document: CargoToml, own_index_urls: frozenset[str]
) -> tuple[CrateDependency, ...]:
    """Return every dependency of a manifest, in crates.io's order.

    A dependency without `registry-index` is from crates.io, one with an own URL is from here:
    the manifest says it the opposite way to the index.

    Raises:
        Invalid: cargo could not read it in the index entry.
        TooLarge: more than `MAX_DEPENDENCIES`.
    """
    tables: Iterator[tuple[str | None, TomlTarget]] = chain(
        [(None, document)], document.target.items()
    )
    found = [
        _dependency(name, wanted, kind, target, own_index_urls)
        for target, table in tables
        for kind, dependencies in zip(_KINDS, _by_kind(table), strict=True)
        for name, wanted in dependencies.items()
    ]
    if len(found) > MAX_DEPENDENCIES:
        raise TooLarge(f"the crate has {len(found)} dependencies; {MAX_DEPENDENCIES} are allowed")
    return tuple(sorted(found, key=_index_order))


def _by_kind(table: TomlTarget) -> tuple[TomlDependencies, TomlDependencies, TomlDependencies]:
    """Return the tables in the order of `_KINDS`; cargo prefers the spelling with a hyphen."""
    build, dev = table.build_dependencies, table.dev_dependencies
    return (
        table.dependencies,
        (table.build_dependencies_old or {}) if build is None else build,
        (table.dev_dependencies_old or {}) if dev is None else dev,
    )


def _dependency(
    name: str,
    wanted: str | TomlDependency,
    kind: str,
    target: str | None,
    own_index_urls: frozenset[str],
) -> CrateDependency:
    check_alias(name)
    if isinstance(wanted, str):
        detail, requirement = _NOTHING, wanted
    else:
        detail, requirement = wanted, "*" if wanted.version is None else wanted.version
    _check_detail(name, detail, kind)
    default = detail.default_features
    if default is None:
        default = detail.default_features_old
    artifact = (detail.artifact,) if isinstance(detail.artifact, str) else detail.artifact
    _check_artifact(name, artifact or ())
    return CrateDependency(
        name=name,
        req=normalise_requirement(requirement),
        features=detail.features,
        optional=detail.optional,
        default_features=default is not False,
        target=None if target is None else normalise_target(target),
        kind=kind,
        registry=_registry(name, detail, own_index_urls),
        package=detail.package,
        public=detail.public,
        artifact=artifact,
        bindep_target=detail.target,
        lib=detail.lib,
    )


def _check_detail(name: str, detail: TomlDependency, kind: str) -> None:
    check_dependency_name(name if detail.package is None else detail.package)
    if detail.optional and kind == "dev":
        raise Invalid(
            f"the dev-dependency `{name}` is optional; cargo allows that for no other use"
        )
    for feature in detail.features:
        # cargo ignores empty ones, and old releases of crates have them
        if feature:
            check_feature_name(feature.rpartition("/")[2])


def _check_artifact(name: str, artifact: tuple[str, ...]) -> None:
    for kind in artifact:
        if kind not in {"bin", "cdylib", "staticlib"} and not re.fullmatch(r"bin:[!-~]+", kind):
            raise Invalid(
                f"the dependency `{name}` asks for the artifact `{kind[:80]}`; cargo knows `bin`, "
                "`bin:NAME`, `cdylib` and `staticlib`"
            )


def _registry(name: str, detail: TomlDependency, own_index_urls: frozenset[str]) -> str | None:
    """Return the registry as the index names it; the manifest has nothing for crates.io."""
    url = detail.registry_index
    if url is None:
        if detail.registry is not None:
            raise Invalid(
                f"the dependency `{name}` names its registry `{detail.registry[:80]}`, a name that "
                "only your machine knows; let `cargo publish` write `registry-index`"
            )
        return CRATES_IO
    if url in own_index_urls:
        return None
    check_registry_url(name, url)
    return url


def _index_order(dep: CrateDependency) -> tuple[object, ...]:
    """Return crates.io's sort key: old cargo wants the normal one first of several of a name."""
    return (
        dep.name, _KINDS.index(dep.kind), dep.req, dep.optional, dep.default_features,
        dep.target or "", dep.package or "", dep.features, dep.registry or "",
    )  # fmt: skip
