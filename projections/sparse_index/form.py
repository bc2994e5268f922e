"""An index entry: the JSON line by which cargo resolves one version of a crate.

Field names, their order and the split of the features are crates.io's.
Source: https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from packledger.domain.cargo.dependencies import CrateDependency
from packledger.domain.events.event import encode

Features = dict[str, tuple[str, ...]]

_YANKED = {False: b',"yanked":false}\n', True: b',"yanked":true}\n'}


_Json = msgspec.Raw | msgspec.UnsetType


class _Said(msgspec.Struct, gc=False):
    """What an entry has from a `CrateManifest`: JSON that is copied as it stands."""

    name: msgspec.Raw
    version: msgspec.Raw
    deps: msgspec.Raw = msgspec.Raw(b"[]")
    features: msgspec.Raw = msgspec.Raw(b"{}")
    links: _Json = msgspec.UNSET
    rust_version: _Json = msgspec.UNSET


class _Entry(msgspec.Struct, omit_defaults=True, gc=False):
    name: msgspec.Raw
    vers: msgspec.Raw
    deps: msgspec.Raw
    cksum: str
    features: msgspec.Raw | Features
    features2: Features | None = None
    links: _Json = msgspec.UNSET
    rust_version: _Json = msgspec.UNSET
    pubtime: str | None = None
    v: int | None = None


_read = msgspec.json.Decoder(_Said).decode
_read_features = msgspec.json.Decoder(Features).decode
_read_deps = msgspec.json.Decoder(tuple[CrateDependency, ...]).decode


def render_entry(manifest: bytes | msgspec.Raw, cksum: str, published_at: str) -> bytes:
    """Return a version's index entry without its end, which says whether it is yanked.

    manifest: a `CrateManifest` as its event stores it; cksum: SHA-256 of the `.crate`, lower-case
    hex; published_at: RFC 3339.
    """
    said = _read(manifest)
    entry = _Entry(
        said.name,
        said.version,
        said.deps,
        cksum,
        said.features,
        None,
        said.links,
        said.rust_version,
        _whole_seconds(published_at),
    )
    # a search of the bytes spares most entries the look at every feature
    features = bytes(said.features)
    if b"dep:" in features or b"?/" in features:
        entry.features, features2 = split_features(_read_features(features))
        entry.features2 = features2 or None
        entry.v = 2 if features2 else None
    if b'"artifact":' in bytes(said.deps) and any(dep.artifact for dep in _read_deps(said.deps)):
        entry.v = 3
    return encode(entry)[:-1]


def index_file(rows: Iterable[tuple[bytes, bool]]) -> bytes:
    """Return a crate's index file: one line per version, in the order given, each with its end.

    rows: an entry as `render_entry` returns it, and whether that version is yanked (any truth
    value, as SQLite has 0 and 1).
    """
    return b"".join([entry + _YANKED[yanked] for entry, yanked in rows])


def split_features(features: Mapping[str, tuple[str, ...]]) -> tuple[Features, Features]:
    """Return the features that cargo before 1.60 can read, and those that it must not see.

    The latter use `dep:` or `?/`, or enable one that does, directly or not.
    """
    enabled_by: dict[str, list[str]] = {}
    moving = []
    for name, values in features.items():
        if any(value.startswith("dep:") or "?/" in value for value in values):
            moving.append(name)
        for value in values:
            enabled_by.setdefault(value, []).append(name)
    moved = set(moving)
    while moving:
        reached = [name for name in enabled_by.get(moving.pop(), ()) if name not in moved]
        moved.update(reached)
        moving.extend(reached)
    return (
        {name: values for name, values in features.items() if name not in moved},
        {name: values for name, values in features.items() if name in moved},
    )


def _whole_seconds(moment: str) -> str:
    """Return an RFC 3339 moment in UTC without a fraction: cargo refuses the entry otherwise."""
    if moment.endswith("Z"):
        return f"{moment[:19]}Z"
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def index_config(public_url: str, private: bool) -> bytes:
    """Return the index's `config.json`: where downloads and the web API are."""
    base = f"{public_url}/cargo"
    config: dict[str, str | bool] = {
        "dl": f"{base}/crates/{{crate}}/{{version}}/download",
        "api": base,
    }
    if private:
        # Without it cargo, after a 401 here, asks for index files without its token.
        config["auth-required"] = True
    return msgspec.json.encode(config)
