"""What a crate's own `Cargo.toml` says, in the registry's terms: the truth about a version.

Every field of the index entry is derived from this; what the publish request says beside it is
ignored (design §1, I9). Dependencies are named as in the index: by their name in the code, with the
registry seen from here (`None` = this registry).
Source: https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema
"""

import msgspec

from packledger.domain.cargo.dependencies import CrateDependency, read_dependencies
from packledger.domain.cargo.features import check_features
from packledger.domain.cargo.names import check_crate_name
from packledger.domain.cargo.requirements import fits_u64
from packledger.domain.cargo.texts import check_texts
from packledger.domain.cargo.toml import CargoToml, TomlPackage, parse_cargo_toml
from packledger.domain.errors import Invalid, TooLarge
from packledger.domain.events.event import encode
from packledger.domain.versions import parse_version

MAX_MANIFEST_BYTES = (512 << 10) - 4096
"""A stored event is at most 512 KiB; its other fields (names, digests, times) take under 4 KiB."""


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
    deps = read_dependencies(document, own_index_urls)
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


def _optional(deps: tuple[CrateDependency, ...]) -> dict[str, bool]:
    optional: dict[str, bool] = {}
    for dep in deps:
        optional[dep.name] = optional.get(dep.name, False) or dep.optional
    return optional
