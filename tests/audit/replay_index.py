"""An auditor's own replay: the sparse index from nothing but `/audit/events`.

    python3 tests/audit/replay_index.py URL TOKEN [--page N]

Prints what differs from the index that is served, and exits 1 if anything does. It shares no code
with the registry: the rules here are cargo's, read from its documentation.
Source: https://doc.rust-lang.org/cargo/reference/registry-index.html
"""

import json
import sys
import urllib.request
from typing import Any

Line = dict[str, Any]


def get(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def events(base: str, token: str, page: int) -> Any:
    """Every event in order, checked to be without a gap."""
    position = 0
    while lines := get(f"{base}/audit/events?after={position}&limit={page}", token).splitlines():
        for line in lines:
            entry = json.loads(line)
            if entry["position"] != position + 1:
                raise SystemExit(f"position {position + 1} is missing")
            position += 1
            yield entry


def needs_new_cargo(values: list[str]) -> bool:
    return any(value.startswith("dep:") or "?/" in value for value in values)


def split(features: dict[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The features that an old cargo may see, and those that it may not, however indirectly."""
    new = {name for name, values in features.items() if needs_new_cargo(values)}
    while more := {
        name for name, values in features.items() if name not in new and set(values) & new
    }:
        new |= more
    return (
        {name: values for name, values in features.items() if name not in new},
        {name: values for name, values in features.items() if name in new},
    )


def index_line(event: dict[str, Any]) -> Line:
    manifest = event["manifest"]
    old, new = split(manifest.get("features", {}))
    line: Line = {
        "name": event["name"],
        "vers": event["version"],
        "deps": manifest.get("deps", []),
        "cksum": event["cksum"],
        "features": old,
        "pubtime": (event["published_at"] or event["at"])[:19] + "Z",
        "yanked": False,
    }
    line |= {key: manifest[key] for key in ("links", "rust_version") if key in manifest}
    if new:
        line |= {"features2": new, "v": 2}
    return line


def replay(base: str, token: str, page: int) -> dict[str, list[Line]]:
    """Crate → its lines, oldest first."""
    index: dict[str, list[Line]] = {}
    for entry in events(base, token, page):
        event, kind = entry["event"], entry["type"]
        if kind == "crate.version_published.v1":
            index.setdefault(event["name"].lower(), []).append(index_line(event))
        elif kind in {"crate.version_yanked.v1", "crate.version_unyanked.v1"}:
            for line in index[event["name"].lower()]:
                if line["vers"] == event["version"]:
                    line["yanked"] = kind == "crate.version_yanked.v1"
    return index


def path_of(name: str) -> str:
    folders = {1: "1", 2: "2", 3: f"3/{name[0]}"}.get(len(name), f"{name[:2]}/{name[2:4]}")
    return f"{folders}/{name}"


def main(base: str, token: str, page: int = 1000) -> int:
    index, wrong = replay(base, token, page), 0
    for name, lines in sorted(index.items()):
        served = get(f"{base}/cargo/index/{path_of(name)}", token).splitlines()
        if [json.loads(line) for line in served] != lines:
            print(f"{name}: the index is not what the history says")
            wrong += 1
    print(f"{len(index)} crates replayed, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[4]) if len(sys.argv) > 4 else 1000))
