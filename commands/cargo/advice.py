"""What a public registry would refuse of a crate, and a private one may have: cargo prints it.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish (`warnings`); the
rules are crates.io's
"""

from collections.abc import Collection

import msgspec
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from packledger.domain.cargo.manifest import CrateManifest
from packledger.domain.errors import Invalid

MAX_FEATURES = 300
MAX_LICENSE_LENGTH = 200
"""Longer ones are not parsed; the longest in use are near 100."""
CATEGORIES = frozenset(
    """
    accessibility aerospace aerospace::drones aerospace::protocols aerospace::simulation
    aerospace::space-protocols aerospace::unmanned-aerial-vehicles algorithms api-bindings
    asynchronous authentication automotive caching command-line-interface command-line-utilities
    compilers compression computer-vision concurrency config cryptography
    cryptography::cryptocurrencies data-structures database database-implementations date-and-time
    development-tools development-tools::build-utils development-tools::cargo-plugins development-
    tools::debugging development-tools::ffi development-tools::procedural-macro-helpers
    development-tools::profiling development-tools::testing email embedded emulators encoding
    external-ffi-bindings filesystem finance game-development game-engines games graphics gui
    hardware-support internationalization localization mathematics memory-management multimedia
    multimedia::audio multimedia::encoding multimedia::images multimedia::video network-
    programming no-std no-std::no-alloc os os::android-apis os::freebsd-apis os::linux-apis
    os::macos-apis os::unix-apis os::windows-apis parser-implementations parsing rendering
    rendering::data-formats rendering::engine rendering::graphics-api rust-patterns science
    science::bioinformatics science::bioinformatics::genomics science::bioinformatics::proteomics
    science::bioinformatics::sequence-analysis science::computational-chemistry science::geo
    science::neuroscience science::quantum-computing science::robotics security simulation
    template-engine text-editors text-processing value-formatting virtualization visualization
    wasm web-programming web-programming::http-client web-programming::http-server web-
    programming::websocket
    """.split()  # noqa: SIM905
)


class Advice(msgspec.Struct):
    """As cargo reads it: what it says of categories and badges are their names alone."""

    invalid_categories: list[str]
    invalid_badges: list[str]
    other: list[str]


def check_no_wildcards(manifest: CrateManifest) -> None:
    """Refuse a dependency on any version whatever.

    Raises:
        Invalid: a requirement is `*`.
    """
    for dep in manifest.deps:
        if dep.req == "*":
            raise Invalid(
                f"the dependency `{dep.name}` asks for `*`, any version there will ever be; ask "
                "for one such as `1.2`, or have the setting `wildcard_dependencies` allow it"
            )


def own_dependencies(manifest: CrateManifest) -> list[str]:
    """Return the crates of this registry that a crate depends on, each once, itself left out."""
    names = (dep.package or dep.name for dep in manifest.deps if dep.registry is None)
    return [name for name in dict.fromkeys(names) if name != manifest.name]


def advice_on(manifest: CrateManifest, missing: Collection[str]) -> Advice:
    """Return what cargo should tell who published. missing: own dependencies that are not here."""
    other = [
        f"the dependency `{name}` is not in this registry; nobody can build this version before "
        "it is"
        for name in missing
    ]
    if manifest.license is not None and not _is_spdx(manifest.license):
        other.append(
            f"`license = {manifest.license[:80]!r}` is no SPDX expression; write one such as "
            "`MIT OR Apache-2.0`, or name a file with `license-file`"
        )
    if len(manifest.features) > MAX_FEATURES:
        other.append(
            f"{len(manifest.features)} features make every index entry large; public registries "
            f"take {MAX_FEATURES}"
        )
    unknown = [one for one in manifest.categories if one not in CATEGORIES]
    return Advice(unknown, [], other)


def _is_spdx(text: str) -> bool:
    """Return whether it is an expression; `/` stands for OR, as crates have it since long ago."""
    if len(text) > MAX_LICENSE_LENGTH:
        return False
    try:
        canonicalize_license_expression(text.replace("/", " OR "))
    except InvalidLicenseExpression:
        return False
    return True
