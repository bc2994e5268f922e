"""`cargo publish` as users run it: what goes up, what is refused, and what cargo shows.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html
"""

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cargo_client import Cargo, consumer, library, project, published, put_crate
from running_registry import RunningRegistry
from uploads import crate, crate_body, new_crate

pytestmark = pytest.mark.client

CRATES_IO = "https://github.com/rust-lang/crates.io-index"
PUBLISH = ("publish", "--registry", "ledger", "--allow-dirty")
QUICK = (*PUBLISH, "--no-verify")


def lines_of(registry: RunningRegistry, name: str) -> list[dict[str, object]]:
    answer = registry.http.get(
        f"/cargo/index/{name[:2].lower()}/{name[2:4].lower()}/{name.lower()}"
    )
    if answer.status_code == 404:
        return []
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_publish_is_visible_at_cargos_first_look(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    folder = library(tmp_path / "lib", "first-look", "0.1.0")
    registry.tap.clear()
    said = cargo(*PUBLISH, cwd=folder).text
    assert "Published first-look v0.1.0" in said
    paths = registry.tap.said()
    after = paths[paths.index("PUT /cargo/api/v1/crates/new 200") + 1 :]
    assert after == ["GET /cargo/index/config.json 200", "GET /cargo/index/fi/rs/first-look 200"]


def test_build_metadata_survives_publish_fetch_and_yank(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    cargo(*QUICK, cwd=library(tmp_path / "lib", "metadata", "1.0.0+b.1"))
    dependency = 'metadata = { version = "1", registry = "ledger" }\n'
    app = consumer(tmp_path / "app", dependency)
    registry.tap.clear()
    cargo("fetch", cwd=app)
    assert "GET /cargo/crates/metadata/1.0.0+b.1/download 200" in registry.tap.said()
    assert 'version = "1.0.0+b.1"' in (app / "Cargo.lock").read_text()
    cargo("yank", "metadata@1.0.0+b.1", "--registry", "ledger", cwd=app)
    assert [(line["vers"], line["yanked"]) for line in lines_of(registry, "metadata")] == [
        ("1.0.0+b.1", True)
    ]


def test_the_same_version_again_is_refused_by_cargo_and_by_the_registry(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    folder = library(tmp_path / "lib", "twice", "1.0.0")
    cargo(*QUICK, cwd=folder)
    before = lines_of(registry, "twice")
    assert "already exists" in cargo(*QUICK, cwd=folder, fails=True).text
    # The second one differs from the first in its build metadata only, the third in its bytes.
    for vers in ("1.0.0", "1.0.0+x"):
        answer = put_crate(registry, new_crate("twice", vers, "[features]\nnew = []\n"))
        assert 400 <= answer.status_code < 500
        assert "1.0.0" in answer.json()["errors"][0]["detail"]
    assert lines_of(registry, "twice") == before


@pytest.mark.parametrize(("taken", "wanted"), [("pub-a", "Pub-A"), ("my_crate", "my-crate")])
def test_a_name_that_looks_like_another_is_refused_in_cargos_output(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path, taken: str, wanted: str
) -> None:
    cargo(*QUICK, cwd=library(tmp_path / "taken", taken, "0.1.0"))
    said = cargo(*QUICK, cwd=library(tmp_path / "wanted", wanted, "0.2.0"), fails=True).text
    assert "the remote server responded with an error (status 4" in said
    assert f"`{taken}`" in said
    assert [line["name"] for line in lines_of(registry, taken)] == [taken]


def test_a_wrong_token_is_refused_with_the_registrys_words_and_nothing_is_stored(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    cargo.env["CARGO_REGISTRIES_LEDGER_TOKEN"] = "plk_" + "x" * 40
    said = cargo(*QUICK, cwd=library(tmp_path / "lib", "no-token", "0.1.0"), fails=True).text
    assert "status 403 Forbidden" in said or "status 401 Unauthorized" in said
    assert "token" in said.partition("status 40")[2]
    assert lines_of(registry, "no-token") == []


def test_somebody_elses_crate_cannot_be_published_to(
    registry: RunningRegistry, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    cargo_as("alice")(*QUICK, cwd=library(tmp_path / "one", "alices", "0.1.0"))
    said = cargo_as("bob")(*QUICK, cwd=library(tmp_path / "two", "alices", "0.2.0"), fails=True)
    assert "status 403 Forbidden" in said.text
    assert "`alices`" in said.text.partition("status 403")[2]
    assert [line["vers"] for line in lines_of(registry, "alices")] == ["0.1.0"]


def test_a_dry_run_needs_no_token_and_uploads_nothing(
    registry: RunningRegistry, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    folder = library(tmp_path / "lib", "dry-run", "0.1.0")
    registry.tap.clear()
    cargo_as("")(*QUICK, "--dry-run", cwd=folder)
    assert not [one for one in registry.tap.exchanges if one.method != "GET"]


def test_a_crate_over_the_limit_is_refused_in_cargos_output(
    start_registry: Callable[..., RunningRegistry], cargo_target: Path, tmp_path: Path
) -> None:
    registry = start_registry(max_crate_bytes=1024 * 1024)
    folder = library(tmp_path / "lib", "too-large", "0.1.0")
    (folder / "noise.bin").write_bytes(random.Random(3).randbytes(3 * 1024 * 1024))
    cargo = Cargo(tmp_path / "home", registry, cargo_target, "alice")
    registry.tap.clear()
    said = cargo(*QUICK, cwd=folder, fails=True).text
    assert "status 413 Payload Too Large" in said
    assert "MiB" in said or "bytes" in said.partition("413")[2]
    (upload,) = [one for one in registry.tap.exchanges if one.method == "PUT"]
    assert upload.headers["expect"] == "100-continue"
    assert lines_of(registry, "too-large") == []


def test_of_simultaneous_uploads_of_one_version_exactly_one_wins(
    registry: RunningRegistry,
) -> None:
    def upload(attempt: int) -> int:
        body = new_crate("race", "1.0.0", f"[features]\nf{attempt} = []\n")
        answer = put_crate(registry, body)
        if answer.status_code != 200:
            assert answer.json()["errors"][0]["detail"]
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(upload, range(8)))
    assert codes.count(200) == 1
    assert all(400 <= code < 500 for code in codes if code != 200), codes
    (line,) = lines_of(registry, "race")
    assert line["features"] == {f"f{codes.index(200)}": []}


def test_a_token_is_taken_with_and_without_its_scheme(registry: RunningRegistry) -> None:
    token = registry.tokens["alice"]
    for number, value in enumerate([token, f"Bearer {token}", f"bearer {token}"]):
        answer = put_crate(registry, new_crate("scheme", f"1.0.{number}"), Authorization=value)
        assert answer.status_code == 200, answer.text
    answer = put_crate(registry, new_crate("scheme", "2.0.0"), Authorization=f"Basic {token}")
    assert answer.status_code in {401, 403}


DEPENDENCIES = """
[dependencies.alias]
package = "real-name"
version = "^1.2"
features = ["f"]
default-features = false
optional = true
registry-index = "{own}"
[dependencies.serde]
version = "1"
[dependencies.elsewhere]
version = "=3.0.0"
registry-index = "sparse+https://registry.example.com/index/"
[target.'cfg(unix)'.build-dependencies.gen]
version = "2"
registry-index = "{own}"
[dev-dependencies.check]
version = ">=1, <3"
registry-index = "{own}"
[features]
plain = []
named = ["dep:alias"]
weak = ["alias?/f", "plain"]
above = ["named"]
"""


def test_a_line_says_what_the_manifest_said(registry: RunningRegistry) -> None:
    """The tarball wins: the JSON of this upload claims no dependency and no feature."""
    packed = crate(
        "derived", "1.0.0", DEPENDENCIES.replace("{own}", registry.index),
        package='rust-version = "1.60"\nlinks = "native"',
    )  # fmt: skip
    body = crate_body({"name": "derived", "vers": "1.0.0", "deps": [], "features": {}}, packed)
    assert put_crate(registry, body).status_code == 200
    (line,) = lines_of(registry, "derived")

    def dependency(name: str, req: str, **more: object) -> dict[str, object]:
        usual: dict[str, object] = {
            "features": [], "optional": False, "default_features": True, "target": None,
            "kind": "normal", "registry": None, "package": None,
        }  # fmt: skip
        return {"name": name, "req": req} | usual | more

    def filled(found: dict[str, object]) -> dict[str, object]:
        return {"registry": None, "package": None, "target": None} | found

    found = line["deps"]
    assert isinstance(found, list)
    by_name = {one["name"]: filled(one) for one in found}
    elsewhere = "sparse+https://registry.example.com/index/"
    expected = [
        dependency("alias", "^1.2", package="real-name", features=["f"], optional=True,
                   default_features=False),
        dependency("serde", "^1", registry=CRATES_IO),
        dependency("elsewhere", "=3.0.0", registry=elsewhere),
        dependency("gen", "^2", kind="build", target="cfg(unix)"),
        dependency("check", ">=1, <3", kind="dev"),
    ]  # fmt: skip
    assert by_name == {one["name"]: one for one in expected}
    assert (line["rust_version"], line["links"], line["v"]) == ("1.60", "native", 2)
    assert line["features"] == {"plain": []}
    assert line["features2"] == {
        "above": ["named"], "named": ["dep:alias"], "weak": ["alias?/f", "plain"],
    }  # fmt: skip


BASE = '[features]\ndefault = ["std"]\nstd = []\nextra = []\n'
MID = """
[dependencies]
foundation = { package = "ws-base", path = "../base", version = "0.1.0", registry = "ledger", \
default-features = false, features = ["extra"] }
ws-opt = { version = "1", registry = "ledger", optional = true }
[target.'cfg(unix)'.dependencies]
ws-target = { version = "1", registry = "ledger" }
[build-dependencies]
ws-build = { version = "1", registry = "ledger" }
[dev-dependencies]
ws-dev = { version = "1", registry = "ledger" }
[features]
default = ["std"]
std = ["foundation/std"]
opt = ["dep:ws-opt"]
loud = ["ws-opt?/loud"]
"""
TOP = """
[dependencies]
ws-mid = { path = "../mid", version = "0.1.0", registry = "ledger", features = ["opt", "loud"] }
"""
BASE_RS = """
#[cfg(all(feature = "std", feature = "extra"))]
pub const WORD: &str = "base";
"""
MID_RS = """
pub fn word() -> String {
    #[cfg(unix)]
    assert_eq!(ws_target::it(), 1);
    #[cfg(feature = "opt")]
    return format!("{} {} {}", foundation::WORD, ws_opt::LOUD, env!("GENERATED"));
    #[cfg(not(feature = "opt"))]
    return foundation::WORD.to_string();
}
"""
BUILD_RS = 'fn main() { println!("cargo:rustc-env=GENERATED={}", ws_build::it()); }\n'
OPT_RS = b'pub const LOUD: &str = if cfg!(feature = "loud") { "LOUD" } else { "quiet" };\n'


def workspace(root: Path) -> Path:
    def head(name: str) -> str:
        return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'

    root.mkdir()
    members = '[workspace]\nresolver = "2"\nmembers = ["top", "mid", "base"]\n'
    (root / "Cargo.toml").write_text(members)
    project(root / "base", head("ws-base") + BASE, lib=BASE_RS)
    project(root / "mid", head("ws-mid") + MID, lib=MID_RS)
    (root / "mid" / "build.rs").write_text(BUILD_RS)
    top_rs = "pub fn word() -> String { ws_mid::word() }\n"
    project(root / "top", head("ws-top") + TOP, lib=top_rs)
    return root


def test_a_workspace_goes_up_in_order_and_a_consumer_of_it_builds(
    registry: RunningRegistry, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    for name in ("ws-target", "ws-build", "ws-dev"):
        published(registry, name, "1.0.0")
    optional = new_crate("ws-opt", "1.0.0", "[features]\nloud = []\n", **{"src/lib.rs": OPT_RS})
    assert put_crate(registry, optional).status_code == 200
    registry.tap.clear()
    said = cargo_as("alice")(*PUBLISH, "--workspace", cwd=workspace(tmp_path / "ws")).text
    for name in ("ws-base", "ws-mid", "ws-top"):
        assert f"Published {name} v0.1.0" in said

    seen = registry.tap.said()
    uploads = [at for at, one in enumerate(seen) if one.startswith("PUT ")]
    assert [seen[at] for at in uploads] == ["PUT /cargo/api/v1/crates/new 200"] * 3
    for name, start, end in zip(("base", "mid"), uploads, uploads[1:], strict=False):
        assert f"GET /cargo/index/ws/-{name[0]}/ws-{name} 200" in seen[start:end]

    (line,) = lines_of(registry, "ws-mid")
    found = line["deps"]
    assert isinstance(found, list)
    described = {
        (one["name"], one.get("package"), one["kind"], one.get("target"), one["optional"],
         one.get("registry"))
        for one in found
    }  # fmt: skip
    assert described == {
        ("foundation", "ws-base", "normal", None, False, None),
        ("ws-opt", None, "normal", None, True, None),
        ("ws-target", None, "normal", "cfg(unix)", False, None),
        ("ws-build", None, "build", None, False, None),
        ("ws-dev", None, "dev", None, False, None),
    }

    main = 'fn main() { println!("says {}", ws_top::word()); }\n'
    dependency = 'ws-top = { version = "0.1", registry = "ledger" }\n'
    app = consumer(tmp_path / "app", dependency, main)
    assert "says base LOUD 1" in cargo_as("")("run", "--quiet", cwd=app).text
    lock = (app / "Cargo.lock").read_text()
    assert "says base LOUD 1" in cargo_as("")("run", "--quiet", "--locked", cwd=app).text
    assert (app / "Cargo.lock").read_text() == lock
    assert 'name = "ws-dev"' not in lock


def test_a_publish_answers_long_before_cargo_would_give_up(registry: RunningRegistry) -> None:
    body = new_crate("swift", "1.0.0")
    started = time.monotonic()
    assert put_crate(registry, body).status_code == 200
    assert time.monotonic() - started < 10, "cargo would wait for more"
