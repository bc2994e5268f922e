"""What a page shows of a version's manifest: picked when it is published, read when it is shown.

Picking copies JSON as it stands, without reading it: a rebuild does that for every version.
"""

from typing import Any

import msgspec

from packledger.domain.cargo.dependencies import CrateDependency
from packledger.domain.npm.manifest import license_text

Texts = dict[str, str]
_Some = msgspec.Raw | msgspec.UnsetType


class _OfCrate(msgspec.Struct, omit_defaults=True):
    description: _Some = msgspec.UNSET
    license: _Some = msgspec.UNSET
    license_file: _Some = msgspec.UNSET
    homepage: _Some = msgspec.UNSET
    documentation: _Some = msgspec.UNSET
    repository: _Some = msgspec.UNSET
    keywords: _Some = msgspec.UNSET
    rust_version: _Some = msgspec.UNSET
    edition: _Some = msgspec.UNSET
    deps: _Some = msgspec.UNSET


class _OfNpm(msgspec.Struct, omit_defaults=True, rename="camel"):
    description: _Some = msgspec.UNSET
    license: _Some = msgspec.UNSET
    homepage: _Some = msgspec.UNSET
    repository: _Some = msgspec.UNSET
    bugs: _Some = msgspec.UNSET
    keywords: _Some = msgspec.UNSET
    engines: _Some = msgspec.UNSET
    dependencies: _Some = msgspec.UNSET
    peer_dependencies: _Some = msgspec.UNSET
    optional_dependencies: _Some = msgspec.UNSET


class CrateDetails(msgspec.Struct, frozen=True):
    """The fields as `domain.cargo.manifest.CrateManifest` has them."""

    description: str | None = None
    license: str | None = None
    license_file: str | None = None
    homepage: str | None = None
    documentation: str | None = None
    repository: str | None = None
    keywords: tuple[str, ...] = ()
    rust_version: str | None = None
    edition: str | None = None
    deps: tuple[CrateDependency, ...] = ()


class Link(msgspec.Struct, frozen=True):
    """Where a repository or a bug tracker is."""

    url: str = ""
    email: str = ""


class NpmDetails(msgspec.Struct, frozen=True, rename="camel"):
    """The fields as package.json has them, cleaned by `domain.npm_fields`."""

    description: str = ""
    license: Any = ""
    homepage: str = ""
    repository: Link = Link()
    bugs: Link = Link()
    keywords: tuple[str, ...] = ()
    engines: Texts = {}
    dependencies: Texts = {}
    peer_dependencies: Texts = {}
    optional_dependencies: Texts = {}

    @property
    def license_text(self) -> str:
        """The license as one SPDX-like text."""
        return license_text(self.license)


_pick_crate = msgspec.json.Decoder(_OfCrate).decode
_pick_npm = msgspec.json.Decoder(_OfNpm).decode
_encode = msgspec.json.Encoder().encode
read_crate = msgspec.json.Decoder(CrateDetails).decode
read_npm = msgspec.json.Decoder(NpmDetails).decode


def crate_details(manifest: msgspec.Raw) -> bytes:
    """Return what a crate's page shows of a manifest, as JSON."""
    return _encode(_pick_crate(manifest))


def npm_details(manifest: msgspec.Raw) -> bytes:
    """Return what a package's page shows of a version object, as JSON."""
    return _encode(_pick_npm(manifest))
