"""The version object of a packument, derived from the tarball's own package.json.

What a request says about the package is not used: it may be wrong or forged. From it come three
harmless texts only, such as the version of the client.
Source: https://github.com/npm/cli (`docs/lib/content/configuring-npm/package-json.md`),
https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
"""

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from packledger.domain.errors import Invalid
from packledger.domain.npm.fields import clean_fields
from packledger.domain.npm.json_text import mended, why
from packledger.domain.npm.names import parse_name
from packledger.domain.npm.versions import clean_npm_version

MAX_MANIFEST_BYTES = 512 << 10
"""A stored state's limit; the largest package.json on the public registry is near 300 KiB."""
MAX_DEPTH = 64
"""serde_json, which Rust clients use, gives up at 128 levels, those of the packument included."""
MAX_CLIENT_TEXT = 100
CLIENT_FIELDS = ("_nodeVersion", "_npmVersion", "gitHead")

_BOM = b"\xef\xbb\xbf"
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")
_NOT_THE_AUTHORS = frozenset(
    # the registry says these itself, in the packument or its version object
    ["deprecated", "dist", "hasInstallScript", "maintainers", "readme", "readmeFilename"]
)


class ArchiveFacts(msgspec.Struct, frozen=True):
    """What matters of the files at a tarball's root, beside package.json."""

    has_gyp: bool = False
    has_shrinkwrap: bool = False


class NpmManifest(msgspec.Struct, frozen=True):
    """A version object without `dist`, `maintainers`, `_npmUser` and `readme`. json: UTF-8."""

    name: str
    version: str
    json: bytes


def license_text(said: Any) -> str:
    """Return a license as one SPDX-like text, from any of its three old and new forms."""
    parts = said if isinstance(said, list) else [said]
    texts = (part.get("type", "") if isinstance(part, dict) else part for part in parts)
    return " OR ".join(filter(None, texts))


def normalise_package_json(
    package_json: bytes, facts: ArchiveFacts, client: Mapping[str, str] | None = None
) -> NpmManifest:
    """Return the version object that follows from a tarball's package.json.

    Keys keep their order; what `npm publish` would repair is repaired. client: texts from the
    request under `CLIENT_FIELDS`, cut to `MAX_CLIENT_TEXT` characters; others are left out.

    Raises:
        Invalid: no JSON object, no usable name or version, nested or large beyond the limits.
    """
    fields = _read(package_json)
    name, version = _name_and_version(fields)
    fields = {
        key: value
        for key, value in fields.items()
        if not key.startswith("_") and key not in _NOT_THE_AUTHORS
    }
    fields["name"], fields["version"] = name, version
    clean_fields(fields)
    _add_install_script(fields, facts)
    fields["_id"] = f"{name}@{version}"
    for field in CLIENT_FIELDS:
        if text := (client or {}).get(field):
            fields[field] = text[:MAX_CLIENT_TEXT]
    encoded = msgspec.json.encode(fields)
    if len(encoded) > MAX_MANIFEST_BYTES:
        raise Invalid(
            f"the package.json of `{name}@{version}` holds {len(encoded)} bytes of metadata; at "
            f"most {MAX_MANIFEST_BYTES} can be stored, move data into other files"
        )
    return NpmManifest(name, version, encoded)


def check_manifest(manifest: NpmManifest, name: str, version: str) -> None:
    """Refuse a request that disagrees with its tarball.

    Raises:
        Invalid: the tarball's package.json has another name or version.
    """
    if (manifest.name, manifest.version) != (name, version):
        raise Invalid(
            f"the tarball's package.json says `{manifest.name}@{manifest.version}`, the request "
            f"says `{name}@{version}`; pack and publish again"
        )


def _read(package_json: bytes) -> dict[str, Any]:
    fields = _decode(package_json.removeprefix(_BOM))
    if not isinstance(fields, dict):
        raise Invalid("the tarball's package.json is not a JSON object")
    level: list[Any] = [fields]
    for _ in range(MAX_DEPTH):
        values = [
            value
            for node in level
            for value in (node.values() if isinstance(node, dict) else node)
            if isinstance(value, dict | list | int)
        ]
        level = [value for value in values if isinstance(value, dict | list)]
        if any(abs(value) > sys.float_info.max for value in values if isinstance(value, int)):
            raise Invalid(
                "the tarball's package.json holds a number that is too large for JSON's readers, "
                "write it as a text"
            )
        if not level:
            return fields
    raise Invalid(f"the tarball's package.json is nested deeper than {MAX_DEPTH} levels")


def _decode(package_json: bytes) -> Any:
    """Return what npm reads; bytes that are no UTF-8 and halves of pairs are U+FFFD to it."""
    try:
        return msgspec.json.decode(package_json)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return msgspec.json.decode(mended(package_json))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"the tarball's package.json cannot be read: {why(error)}") from error


def _name_and_version(fields: dict[str, Any]) -> tuple[str, str]:
    name, version = fields.get("name"), fields.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise Invalid("the tarball's package.json must have a `name` and a `version`, as texts")
    parse_name(name.strip())
    return name.strip(), clean_npm_version(version)


def _add_install_script(fields: dict[str, Any], facts: ArchiveFacts) -> None:
    """Say what npm finds out from the files: that installing runs something, or pins versions."""
    scripts = fields.get("scripts", {})
    runs_gyp = facts.has_gyp and fields.get("gypfile") is not False
    if runs_gyp and not scripts.get("install") and not scripts.get("preinstall"):
        fields["scripts"] = scripts = {**scripts, "install": "node-gyp rebuild"}
        fields["gypfile"] = True
    if any(map(scripts.get, _INSTALL_SCRIPTS)):
        fields["hasInstallScript"] = True
    if facts.has_shrinkwrap:
        fields["_hasShrinkwrap"] = True
