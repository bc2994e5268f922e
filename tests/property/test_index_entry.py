"""What cargo reads back from an index line is what the crate's manifest said.

The reader follows cargo's own rules. Source:
https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema
"""

import json
import re
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.cargo.manifest import CrateManifest, read_cargo_toml
from packledger.domain.errors import Invalid
from packledger.domain.events.event import encode
from packledger.projections.sparse_index.form import index_file, render_entry, split_features

OWN = "sparse+http://127.0.0.1:8765/cargo/index/"
OTHER = "sparse+https://crates.example/index/"
CRATES_IO = "https://github.com/rust-lang/crates.io-index"
CKSUM = "0123456789abcdef" * 4
AT = "2026-11-21T05:01:02.987Z"


@dataclass(frozen=True)
class Dependency:
    """A dependency as its user means it. registry: the index URL, whosever it is."""

    alias: str
    crate: str
    req: str
    features: tuple[str, ...] = ()
    optional: bool = False
    default_features: bool = True
    target: str | None = None
    kind: str = "normal"
    registry: str = CRATES_IO


@dataclass(frozen=True)
class Manifest:
    dependencies: frozenset[Dependency]
    features: dict[str, list[str]] = field(hash=False)
    links: str | None
    rust_version: str | None


def read_as_cargo(line: bytes) -> tuple[Manifest, dict[str, object]]:
    """Read one line as cargo does; anything that cargo would not take fails."""
    entry = json.loads(line)
    assert entry.get("v", 1) in {1, 2}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["pubtime"])
    features = {name: list(values) for name, values in entry["features"].items()}
    for name, values in entry.get("features2", {}).items():
        features.setdefault(name, []).extend(values)
    dependencies = [
        Dependency(
            alias=dep["name"],
            crate=dep.get("package") or dep["name"],
            req=dep["req"],
            features=tuple(dep["features"]),
            optional=dep["optional"],
            default_features=dep["default_features"],
            target=dep["target"],
            kind=dep["kind"],
            registry=dep.get("registry") or OWN,
        )
        for dep in entry["deps"]
    ]
    assert len(set(dependencies)) == len(dependencies)
    links, rust_version = entry.get("links"), entry.get("rust_version")
    return Manifest(frozenset(dependencies), features, links, rust_version), entry


def as_normalised_toml(manifest: Manifest) -> str:
    """Write a manifest as `cargo package` does."""
    package = {"name": "foo", "version": "1.0.0"}
    if manifest.links is not None:
        package["links"] = manifest.links
    if manifest.rust_version is not None:
        package["rust-version"] = manifest.rust_version
    lines = ["[package]", *(f"{key} = {json.dumps(value)}" for key, value in package.items())]
    for dep in manifest.dependencies:
        lines += dependency_lines(dep)
    lines.append("[features]")
    lines += [
        f"{json.dumps(k, ensure_ascii=False)} = {json.dumps(v, ensure_ascii=False)}"
        for k, v in manifest.features.items()
    ]
    return "\n".join(lines) + "\n"


def dependency_lines(dep: Dependency) -> list[str]:
    table = {"normal": "dependencies"}.get(dep.kind, f"{dep.kind}-dependencies")
    target = [] if dep.target is None else ["target", f"'{dep.target}'"]
    values = {
        "version": dep.req.removeprefix("^"),
        "features": dep.features or None,
        "optional": dep.optional or None,
        "default-features": None if dep.default_features else False,
        "registry-index": None if dep.registry == CRATES_IO else dep.registry,
        "package": None if dep.crate == dep.alias else dep.crate,
    }
    return [
        f"[{'.'.join([*target, table, dep.alias])}]",
        *(f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None),
    ]


CRATES = st.sampled_from(["a", "b-b", "C_c", "serde", "x9"])
DEPENDENCY = st.builds(
    Dependency,
    alias=CRATES | st.sampled_from(["_renamed", "other"]),
    crate=CRATES,
    req=st.sampled_from(["^1", "^0.3.1", "=1.2.3-rc.1", ">=1, <3", "~2.1", "*", "1.*"]),
    features=st.lists(st.sampled_from(["std", "c++20"]), unique=True).map(tuple),
    optional=st.booleans(),
    default_features=st.booleans(),
    target=st.sampled_from([None, "cfg(unix)", 'cfg(target_os = "macos")', "wasm32-wasip1"]),
    kind=st.sampled_from(["normal", "build", "dev"]),
    registry=st.sampled_from([OWN, OTHER, CRATES_IO]),
).map(lambda dep: replace(dep, optional=dep.optional and dep.kind != "dev"))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    dependencies = draw(
        st.lists(DEPENDENCY, max_size=8, unique_by=lambda dep: (dep.alias, dep.kind, dep.target))
    )
    dependencies = [
        # `_renamed` is no crate's name, so it must be an alias
        replace(dep, crate=dep.crate if dep.alias in {"_renamed", "other"} else dep.alias)
        for dep in dependencies
    ]
    features = draw(feature_tables(dependencies))
    return Manifest(
        frozenset(dependencies),
        features,
        draw(st.sampled_from([None, "z", "git2"])),
        draw(st.sampled_from([None, "1.60", "1.60.0"])),
    )


@st.composite
def feature_tables(draw: st.DrawFn, dependencies: list[Dependency]) -> dict[str, list[str]]:
    """Return features that refer to each other and to dependencies, as cargo allows it."""
    names = draw(st.lists(st.sampled_from(["f0", "f1", "f2", "default", "été"]), unique=True))
    everything = {dep.alias for dep in dependencies}
    optional = {dep.alias for dep in dependencies if dep.optional}
    hidden = draw(st.sets(st.sampled_from(sorted(optional)))) if optional else set()
    values = [
        *names,
        *(f"{alias}/std" for alias in sorted(everything)),
        *(f"{alias}?/std" for alias in sorted(optional)),
        *(f"dep:{alias}" for alias in sorted(hidden)),
        *sorted(optional - hidden),
    ]
    if not values:
        return {}
    table = {
        name: draw(st.lists(st.sampled_from(values), max_size=4, unique=True)) for name in names
    }
    return table | {f"use-{alias}": [f"dep:{alias}"] for alias in hidden}


def manifest_of(toml: str) -> CrateManifest:
    return read_cargo_toml(toml.encode(), frozenset({OWN, "sparse+http://old.example/index/"}))


def line_of(manifest: CrateManifest, yanked: bool = False) -> bytes:
    return index_file([(render_entry(encode(manifest), CKSUM, AT), yanked)])


@given(manifests(), st.booleans())
def test_cargo_reads_from_the_line_what_the_manifest_said(said: Manifest, yanked: bool) -> None:
    read, entry = read_as_cargo(line_of(manifest_of(as_normalised_toml(said)), yanked))
    assert read == said
    assert entry["name"] == "foo"
    assert entry["vers"] == "1.0.0"
    assert entry["cksum"] == CKSUM
    assert entry["yanked"] is yanked
    assert entry["pubtime"] == "2026-11-21T05:01:02Z"


@given(manifests())
def test_cargo_before_1_60_sees_only_features_that_it_can_read(said: Manifest) -> None:
    entry = json.loads(line_of(manifest_of(as_normalised_toml(said))))
    new = entry.get("features2", {})
    for values in entry["features"].values():
        assert not [v for v in values if v in new or v.startswith("dep:") or "?/" in v]
    assert entry.get("v") == (2 if new else None)
    assert list(entry["features"]) == sorted(entry["features"])


@given(manifests())
def test_each_feature_that_is_hidden_has_a_reason(said: Manifest) -> None:
    old, new = split_features({name: tuple(values) for name, values in said.features.items()})
    assert old.keys() | new.keys() == said.features.keys()
    for name in new:
        reached, seen = [name], set[str]()
        while reached:
            at = reached.pop()
            seen.add(at)
            reached += [v for v in said.features[at] if v in said.features and v not in seen]
        values = [value for at in seen for value in said.features[at]]
        assert [v for v in values if v.startswith("dep:") or "?/" in v]


@given(manifests(), st.sampled_from(["absent", "dep:absent", "absent/x", "absent?/x"]))
def test_a_feature_of_something_absent_never_gets_into_the_index(
    said: Manifest, value: str
) -> None:
    said.features["broken"] = [value]
    with pytest.raises(Invalid, match="`broken` includes"):
        manifest_of(as_normalised_toml(said))


@given(st.lists(st.tuples(manifests(), st.booleans()), max_size=5))
def test_an_index_file_has_a_line_per_version(versions: list[tuple[Manifest, bool]]) -> None:
    rows = [
        (render_entry(encode(manifest_of(as_normalised_toml(said))), CKSUM, AT), yanked)
        for said, yanked in versions
    ]
    lines = index_file(rows).splitlines(keepends=True)
    assert [line.endswith(b"}\n") for line in lines] == [True] * len(rows)
    assert [read_as_cargo(line)[0] for line in lines] == [said for said, _ in versions]
    assert [json.loads(line)["yanked"] for line in lines] == [yanked for _, yanked in versions]


def test_the_fields_are_in_the_order_of_crates_io() -> None:
    manifest = manifest_of(
        '[package]\nname = "foo"\nversion = "1.0.0"\nlinks = "z"\nrust-version = "1.60"\n'
        f'[dependencies]\nb = {{ version = "1", optional = true, registry-index = "{OWN}" }}\n'
        '[features]\nx = ["dep:b"]\nstd = []\n'
    )
    assert line_of(manifest).decode() == (
        '{"name":"foo","vers":"1.0.0","deps":[{"name":"b","req":"^1","features":[],'
        '"optional":true,"default_features":true,"target":null,"kind":"normal"}],'
        f'"cksum":"{CKSUM}","features":{{"std":[]}},"features2":{{"x":["dep:b"]}},'
        '"links":"z","rust_version":"1.60","pubtime":"2026-11-21T05:01:02Z","v":2,'
        '"yanked":false}\n'
    )


def test_a_dependency_on_an_artifact_needs_index_version_3() -> None:
    manifest = manifest_of(
        '[package]\nname = "foo"\nversion = "1.0.0"\n'
        '[dependencies]\nb = { version = "1", artifact = ["bin:x", "cdylib"], lib = true }\n'
    )
    entry = json.loads(line_of(manifest))
    assert entry["v"] == 3
    assert entry["deps"][0]["artifact"] == ["bin:x", "cdylib"]


@pytest.mark.parametrize(
    ("at", "pubtime"),
    [
        ("2015-05-15T00:00:00Z", "2015-05-15T00:00:00Z"),
        ("2015-05-15T00:00:00.999999Z", "2015-05-15T00:00:00Z"),
        ("2015-05-15T01:30:00.5+02:00", "2015-05-14T23:30:00Z"),
    ],
)
def test_the_time_of_publication_is_in_whole_seconds_of_utc(at: str, pubtime: str) -> None:
    manifest = manifest_of('[package]\nname = "foo"\nversion = "1.0.0"\n')
    assert json.loads(render_entry(encode(manifest), CKSUM, at) + b"}")["pubtime"] == pubtime


def test_a_chain_of_many_features_is_split_in_one_go() -> None:
    features = {f"f{n}": (f"f{n + 1}",) for n in range(4000)} | {"f4000": ("dep:x",), "std": ()}
    old, new = split_features(features)
    assert (list(old), len(new)) == (["std"], 4001)
