import msgspec
import pytest

from packledger.domain.cargo.dependencies import CRATES_IO, CrateDependency
from packledger.domain.cargo.manifest import CrateManifest, read_cargo_toml
from packledger.domain.errors import Invalid, RegistryError, TooLarge
from packledger.domain.events.event import encode

OWN = "sparse+http://127.0.0.1:8765/cargo/index/"
PACKAGE = '[package]\nname = "foo"\nversion = "1.0.0"\n'


def read(toml: str, package: str = PACKAGE) -> CrateManifest:
    return read_cargo_toml((package + toml).encode(), frozenset({OWN}))


def only_dependency(toml: str) -> CrateDependency:
    (dependency,) = read(toml).deps
    return dependency


def test_a_plain_dependency_is_from_crates_io() -> None:
    assert only_dependency('[dependencies]\nbar = "1.0"') == CrateDependency(
        "bar", "^1.0", (), False, True, None, "normal", CRATES_IO
    )


def test_a_dependency_from_an_own_url_is_from_this_registry() -> None:
    dep = only_dependency(f'[dependencies.bar]\nversion = "1"\nregistry-index = "{OWN}"')
    assert dep.registry is None
    assert b"registry" not in encode(dep)


def test_a_dependency_from_another_registry_keeps_its_url() -> None:
    other = "sparse+https://crates.example/index/"
    dep = only_dependency(f'[dependencies.bar]\nversion = "1"\nregistry-index = "{other}"')
    assert dep.registry == other


def test_a_renamed_dependency_has_its_name_in_the_code_and_the_real_one() -> None:
    dep = only_dependency('[dependencies._b]\nversion = "1"\npackage = "bar"')
    assert (dep.name, dep.package) == ("_b", "bar")


@pytest.mark.parametrize("table", ["dev-dependencies", "dev_dependencies"])
@pytest.mark.parametrize("key", ["default-features", "default_features"])
def test_old_spellings_are_read(table: str, key: str) -> None:
    dep = only_dependency(f'[{table}]\nbar = {{ version = "2", {key} = false }}')
    assert (dep.kind, dep.default_features) == ("dev", False)


def test_target_tables_hold_every_kind() -> None:
    manifest = read("""
        [target.'cfg(unix)'.dependencies]
        a = "1"
        [target.'cfg( unix )'.build_dependencies]
        b = "1"
        [target.x86_64-pc-windows-msvc.dev-dependencies]
        c = "1"
    """)
    assert [(dep.name, dep.kind, dep.target) for dep in manifest.deps] == [
        ("a", "normal", "cfg(unix)"),
        ("b", "build", "cfg(unix)"),
        ("c", "dev", "x86_64-pc-windows-msvc"),
    ]


def test_dependencies_are_in_the_order_of_crates_io() -> None:
    manifest = read("""
        [dev-dependencies]
        a = "1"
        b = "3"
        [build-dependencies]
        b = "2"
        [dependencies]
        c = "1"
        b = "9"
        [target.'cfg(unix)'.dependencies]
        b = "9"
    """)
    assert [(dep.name, dep.kind, dep.target) for dep in manifest.deps] == [
        ("a", "dev", None),
        ("b", "normal", None),
        ("b", "normal", "cfg(unix)"),
        ("b", "build", None),
        ("b", "dev", None),
        ("c", "normal", None),
    ]


def test_unstable_fields_are_kept() -> None:
    dep = only_dependency(
        "[dependencies.bar]\n"
        'version = "1"\npublic = true\nartifact = "bin"\nlib = true\ntarget = "wasm32-wasip1"'
    )
    assert (dep.public, dep.artifact, dep.lib) == (True, ("bin",), True)
    assert dep.bindep_target == "wasm32-wasip1"


def test_descriptive_fields_are_kept() -> None:
    manifest = read(
        """
        [package]
        name = "foo-bar"
        version = "1.0.0+b.1"
        edition = "2021"
        rust-version = "1.60"
        links = "z"
        authors = ["A <a@example>"]
        description = "what\\nit is"
        homepage = "https://foo.example"
        documentation = "http://docs.example/foo"
        repository = "https://git.example/foo"
        readme = "README.md"
        license = "MIT"
        license-file = "LICENSE"
        keywords = ["c-1"]
        categories = ["science", "os::unix-apis"]
        metadata.workspace = true
        [lib]
        proc-macro = true
        [[bin]]
        name = "tool"
        """,
        package="",
    )
    assert manifest == CrateManifest(
        name="foo-bar",
        version="1.0.0+b.1",
        edition="2021",
        rust_version="1.60",
        links="z",
        authors=("A <a@example>",),
        description="what\nit is",
        homepage="https://foo.example",
        documentation="http://docs.example/foo",
        repository="https://git.example/foo",
        readme_file="README.md",
        license="MIT",
        license_file="LICENSE",
        keywords=("c-1",),
        categories=("science", "os::unix-apis"),
        lib="foo_bar",
        proc_macro=True,
        bins=("tool",),
    )


@pytest.mark.parametrize(
    ("readme", "name"),
    [("", None), ("readme = true", "README.md"), ("readme = false", ""), ('readme = "a"', "a")],
)
def test_the_readme_is_named_denied_or_left_open(readme: str, name: str | None) -> None:
    assert read(readme).readme_file == name


def test_a_manifest_comes_back_from_its_event_unchanged() -> None:
    manifest = read('[dependencies]\nbar = "1"\n[features]\nb = []\na = ["b"]')
    assert list(manifest.features) == ["a", "b"]
    assert msgspec.json.decode(encode(manifest), type=CrateManifest) == manifest


def test_project_stands_for_package() -> None:
    assert read('[project]\nname = "old"\nversion = "0.1.0"', package="").name == "old"


def test_an_optional_dependencys_own_feature_is_not_listed() -> None:
    manifest = read('[dependencies]\nbar = { version = "1", optional = true }')
    assert manifest.features == {}


REFUSED = {
    "no package": ("[workspace]", r"no `\[package\]`", ""),
    "a reserved name": ('[package]\nname = "std"\nversion = "1.0.0"', "`std` is reserved", ""),
    "a loose version": ('[package]\nname = "a"\nversion = "1.0"', "`1.0` is not a sem", ""),
    "no version": ('[package]\nname = "a"', "missing required field `version`", ""),
    "a huge version": (
        f'[package]\nname = "a"\nversion = "{2**64}.0.0"',
        "over 64 bits",
        "",
    ),
    "a bad rust-version": ('rust-version = "^1.60"', r"`\^1.60` is not a rust-version"),
    "a bad link": ('homepage = "javascript:alert(1)"', "`homepage = "),
    "a link without a host": ('repository = "https://"', "`repository = "),
    "a bad native library": ('links = "a b"', "`links = "),
    "six keywords": (f"keywords = {['k'] * 6}", "6 keywords"),
    "a bad keyword": ('keywords = ["no spaces"]', "`no spaces` is not a keyword"),
    "six categories": (f"categories = {['c'] * 6}", "6 categories"),
    "an inherited field": (
        "version.workspace = true",
        "filled in by a workspace",
        '[package]\nname = "a"\n',
    ),
    "an inherited dependency": ("[dependencies]\na.workspace = true", "`a` in `dependencies`"),
    "an inherited target dependency": (
        "[target.x.dev-dependencies]\na = { workspace = true }",
        "`a` in `dev-dependencies`",
    ),
    "inherited lints": ("[lints]\nworkspace = true", "`lints`"),
    "a patch": ('[patch.crates-io]\na = { path = "a" }', r"`\[patch\]`"),
    "a bad requirement": ('[dependencies]\na = "newest"', "`newest` is not a version req"),
    "an empty requirement": ('[dependencies]\na = ""', "not a version req"),
    "a bad target": ("[target.'cfg(a'.dependencies]\nb = '1'", r"`cfg\(a` is not a target"),
    "a bad dependency": ('[dependencies]\n"a.b" = "1"', "`a.b` is not a dependency name"),
    "a bad real name": ("[dependencies]\na = { package = '_x' }", "`_x` is not a crate name"),
    "an alias for no name": ('[dependencies]\n_a = "1"', "`_a` is not a crate name"),
    "an optional dev-dependency": (
        "[dev-dependencies]\na = { version = '1', optional = true }",
        "dev-dependency `a`",
    ),
    "a local registry name": (
        "[dependencies]\na = { version = '1', registry = 'mine' }",
        "registry `mine`",
    ),
    "a bad registry": (
        "[dependencies]\na = { version = '1', registry-index = 'sparse+https://x.example' }",
        "no index URL",
    ),
    "a bad dependency feature": (
        "[dependencies]\na = { version = '1', features = ['b c'] }",
        "`b c` is not a feature name",
    ),
    "a bad artifact": ("[dependencies]\na = { artifact = 'exe' }", "artifact `exe`"),
    "501 dependencies": (
        "[dependencies]\n" + "\n".join(f"d{n} = '1'" for n in range(501)),
        "501 dependencies",
    ),
    "a wrong type": ("keywords = 'a'", "package.keywords"),
    "a bad feature name": ("[features]\n'a b' = []", "`a b` is not a feature name"),
    "a feature of nothing": ("[features]\na = ['b']", "`b` is not a feature or a dependency"),
    "dep: of nothing": ("[features]\na = ['dep:b']", "`b` is not a dependency"),
    "a feature of no dependency": ("[features]\na = ['b/c']", "`b` is not a dependency"),
    "too many features": (
        "[features]\n" + "\n".join(f"f{n} = []" for n in range(4097)),
        "4097 features",
    ),
    "too many values": (f"[features]\na = {['a'] * 4097}", "enables 4097"),
    "not TOML": ("= 1", "is not TOML"),
    "a deep key": ("a" + ".a" * 60 + " = 1", "key of 50 parts"),
    "deep nesting": ("a = " + "[" * 100_000, "nested too deeply"),
    "a huge number": ("a = " + "1" * 5000, "is not TOML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_manifest_that_cargo_could_not_use_is_refused(case: str) -> None:
    toml, sentence, *package = REFUSED[case]
    with pytest.raises(RegistryError, match=sentence) as refusal:
        read(toml, *package)
    assert isinstance(refusal.value, Invalid | TooLarge)


OPTIONAL = '[dependencies]\nb = "1"\nopt = { version = "1", optional = true }\n[features]\n'


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ("a = ['b']", "not optional"),
        ("a = ['dep:b']", "not optional"),
        ("a = ['b?/c']", "drop the `\\?`"),
        ("a = ['dep:opt', 'opt']", "write `dep:opt` here too"),
        ("a = ['dep:opt/c']", "drop the `dep:`"),
        ("a = ['opt/c/d']", "`c/d` is not a feature name"),
        ("opt = []", "nothing enables the optional dependency `opt`"),
    ],
)
def test_a_feature_that_cargo_would_not_resolve_is_refused(features: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        read(OPTIONAL + features)


@pytest.mark.parametrize(
    "features",
    [
        "a = ['opt']",
        "a = ['dep:opt', 'b/c', 'opt?/c']",
        "opt = ['dep:opt']\na = ['opt']",
        "opt = ['opt/c']",
        "32-bit = ['c++20']\n'c++20' = []\n'été.x' = []",
    ],
)
def test_a_feature_that_cargo_resolves_is_accepted(features: str) -> None:
    read(OPTIONAL + features)


def test_a_manifest_too_large_to_store_is_refused() -> None:
    with pytest.raises(TooLarge, match=r"`foo@1\.0\.0` takes over"):
        read(f'description = "{"x" * (512 << 10)}"')


def test_a_file_too_large_to_parse_is_refused() -> None:
    with pytest.raises(TooLarge, match="is over 1048576 bytes"):
        read("#" * (1 << 20))
