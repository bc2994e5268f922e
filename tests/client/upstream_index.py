"""Compare index entries of this registry with those of crates.io, field by field."""

import json
from typing import Any

CRATES_IO = "https://github.com/rust-lang/crates.io-index"

_DEFAULTS: dict[str, Any] = {
    "features": [],
    "optional": False,
    "default_features": True,
    "target": None,
    "kind": "normal",
    "registry": None,
    "package": None,
}


def normalise_upstream_line(line: bytes | str | dict[str, Any]) -> dict[str, Any]:
    """Return a crates.io entry in a form that compares equal to ours of the same crate.

    Its dependencies say nothing of their registry, which means crates.io.
    """
    entry = _normalise(line)
    for dep in entry["deps"]:
        dep["registry"] = dep["registry"] or CRATES_IO
    return _ordered(entry)


def normalise_own_line(line: bytes | str | dict[str, Any]) -> dict[str, Any]:
    """Return an entry of this registry in the form that compares equal to upstream's.

    `pubtime` and `yanked` are the registry's own business and left out of both.
    """
    return _ordered(_normalise(line))


def _normalise(line: bytes | str | dict[str, Any]) -> dict[str, Any]:
    entry = dict(line) if isinstance(line, dict) else json.loads(line)
    return {
        "name": entry["name"],
        "vers": entry["vers"],
        "cksum": entry["cksum"],
        "deps": [_without_blanks({**_DEFAULTS, **dep}) for dep in entry["deps"]],
        "features": entry.get("features") or {},
        "features2": entry.get("features2") or {},
        "links": entry.get("links"),
        "rust_version": entry.get("rust_version"),
        "v": entry.get("v") or 1,
    }


def _without_blanks(dep: dict[str, Any]) -> dict[str, Any]:
    """Drop blanks that cargo ignores: until 2023 crates.io kept what each cargo printed."""
    dep["req"] = dep["req"].replace(" ", "")
    dep["target"] = dep["target"] and dep["target"].replace(" ", "")
    return dep


def _ordered(entry: dict[str, Any]) -> dict[str, Any]:
    entry["deps"].sort(key=lambda dep: json.dumps(dep, sort_keys=True))
    return entry
