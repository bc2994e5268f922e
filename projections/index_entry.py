"""An index entry: the JSON line by which cargo resolves one version of a crate.

Field names, their order and the split of the features are crates.io's.
Source: https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from packledger.domain.crate_dependencies import CrateDependency
from packledger.domain.crate_manifest import CrateManifest
from packledger.domain.events import encode

Features = dict[str, tuple[str, ...]]

_YANKED = {False: b',"yanked":false}\n', True: b',"yanked":true}\n'}


class _Entry(msgspec.Struct, omit_defaults=True, gc=False):
    name: str
    vers: str
    deps: tuple[CrateDependency, ...]
    cksum: str
    features: Features
    features2: Features | None = None
    links: str | None = None
    rust_version: str | None = None
    pubtime: str | None = None
    v: int | None = None


def render_entry(manifest: CrateManifest, cksum: str, published_at: str) -> bytes:
    """Return a version's index entry without its end, which says whether it is yanked.

    cksum: SHA-256 of the `.crate`, lower-case hex; published_at: RFC 3339.
    """
    entry = _Entry(
        manifest.name,
        manifest.version,
        manifest.deps,
        cksum,
        manifest.features,
        None,
        manifest.links,
        manifest.rust_version,
        _whole_seconds(published_at),
    )
    line = encode(entry)
    # one search of the bytes spares most entries the look at every feature
    if b'"dep:' in line or b"?/" in line:
        entry.features, entry.features2 = split_features(manifest.features)
        entry.features2 = entry.features2 or None
        entry.v = 2 if entry.features2 else None
        line = encode(entry)
    if b'"artifact":' in line and any(dep.artifact for dep in manifest.deps):
        entry.v = 3
        line = encode(entry)
    return line[:-1]


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
