"""What a crate's own `Cargo.toml` says, in the registry's terms: the truth about a version.

Every field of the index entry is derived from this; what the publish request says beside it is
ignored (design §1, I9). Dependencies are named as in the index: by their name in the code, with the
registry seen from here (`None` = this registry).
Source: https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema
"""

from collections.abc import Iterator
from itertools import chain

import msgspec

from packledger.domain.cargo_requirements import check_target, fits_u64, normalise_requirement
from packledger.domain.cargo_toml import (
    CargoToml,
    TomlDependencies,
    TomlDependency,
    TomlPackage,
    TomlTarget,
    parse_cargo_toml,
)
from packledger.domain.crate_features import check_feature_name, check_features
from packledger.domain.crate_names import check_alias, check_crate_name, check_dependency_name
from packledger.domain.crate_texts import check_registry_url, check_texts
from packledger.domain.errors import Invalid, TooLarge
from packledger.domain.events import encode
from packledger.domain.versions import parse_version

CRATES_IO = "https://github.com/rust-lang/crates.io-index"
"""How cargo names crates.io in every index, sparse or not."""

MAX_DEPENDENCIES = 500
"""crates.io's limit."""

MAX_MANIFEST_BYTES = (512 << 10) - 4096
"""A stored event is at most 512 KiB; its other fields (names, digests, times) take under 4 KiB."""

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


class CrateManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version's normalised manifest; stored in its event, so every later projection has it.

    deps: in crates.io's order; features: sorted by name, only those written down (an optional
    dependency's own feature is not); readme_file: empty for `readme = false`, None if not stated;
    lib, bins: names stated in the manifest, not found by looking at files.
    """

    name: str
    version: str
    deps: tuple[CrateDependency, ...] = ()
    features: dict[str, tuple[str, ...]] = {}
    links: str | None = None
    rust_version: str | None = None
    edition: str | None = None
    description: str | None = None
    homepage: str | None = None
    documentation: str | None = None
    repository: str | None = None
    readme_file: str | None = None
    license: str | None = None
    license_file: str | None = None
    authors: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    lib: str | None = None
    proc_macro: bool = False
    bins: tuple[str, ...] = ()


def read_cargo_toml(toml: bytes, own_index_urls: frozenset[str]) -> CrateManifest:
    """Return the manifest in a published crate's `Cargo.toml`.

    own_index_urls: every URL under which this registry's index is known, such as
    `sparse+http://127.0.0.1:8765/cargo/index/`; a dependency from there gets registry None.

    Raises:
        Invalid: cargo could not use the crate, or could not read its index entry.
        TooLarge: over `MAX_MANIFEST_BYTES`, or more dependencies or features than allowed.
    """
    document = parse_cargo_toml(toml)
    package = document.package or document.project
    if package is None:
        raise Invalid("`Cargo.toml` has no `[package]` table; only a package can be published")
    _check_identity(package)
    check_texts(package)
    deps = tuple(sorted(_dependencies(document, own_index_urls), key=_index_order))
    features = dict(sorted(document.features.items()))
    check_features(features, _optional(deps))
    manifest = _manifest(document, package, deps, features)
    if len(encode(manifest)) > MAX_MANIFEST_BYTES:
        raise TooLarge(
            f"the manifest of `{package.name}@{package.version}` takes over {MAX_MANIFEST_BYTES} "
            "bytes; shorten its lists of features and dependencies"
        )
    return manifest


def _check_identity(package: TomlPackage) -> None:
    check_crate_name(package.name)
    version = parse_version(package.version)
    if not all(fits_u64(str(part)) for part in (version.major, version.minor, version.patch)):
        raise Invalid(f"a number in the version `{package.version}` is over 64 bits; lower it")


def _manifest(
    document: CargoToml,
    package: TomlPackage,
    deps: tuple[CrateDependency, ...],
    features: dict[str, tuple[str, ...]],
) -> CrateManifest:
    lib = document.lib
    return CrateManifest(
        name=package.name,
        version=package.version,
        deps=deps,
        features=features,
        links=package.links,
        rust_version=package.rust_version,
        edition=package.edition,
        description=package.description,
        homepage=package.homepage,
        documentation=package.documentation,
        repository=package.repository,
        readme_file=_readme_file(package.readme),
        license=package.license,
        license_file=package.license_file,
        authors=package.authors,
        keywords=package.keywords,
        categories=package.categories,
        lib=None if lib is None else lib.name or package.name.replace("-", "_"),
        proc_macro=bool(lib and (lib.proc_macro or lib.proc_macro_old)),
        bins=tuple(product.name for product in document.bin if product.name is not None),
    )


def _readme_file(readme: str | bool | None) -> str | None:
    if isinstance(readme, bool):
        return "README.md" if readme else ""
    return readme


def _dependencies(document: CargoToml, own_index_urls: frozenset[str]) -> list[CrateDependency]:
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
    return found


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
    if target is not None:
        check_target(target)
    if isinstance(wanted, str):
        detail, requirement = _NOTHING, wanted
    else:
        detail, requirement = wanted, "*" if wanted.version is None else wanted.version
    _check_detail(name, detail, kind)
    default = detail.default_features
    if default is None:
        default = detail.default_features_old
    artifact = (detail.artifact,) if isinstance(detail.artifact, str) else detail.artifact
    return CrateDependency(
        name=name,
        req=normalise_requirement(requirement),
        features=detail.features,
        optional=detail.optional,
        default_features=default is not False,
        target=target,
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


def _optional(deps: tuple[CrateDependency, ...]) -> dict[str, bool]:
    optional: dict[str, bool] = {}
    for dep in deps:
        optional[dep.name] = optional.get(dep.name, False) or dep.optional
    return optional


def _index_order(dep: CrateDependency) -> tuple[object, ...]:
    """Return crates.io's sort key: old cargo wants the normal one first of several of a name."""
    return (
        dep.name, _KINDS.index(dep.kind), dep.req, dep.optional, dep.default_features,
        dep.target or "", dep.package or "", dep.features, dep.registry or "",
    )  # fmt: skip
