"""Yank, owners, search, login, install and vendor, by cargo itself.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cargo_client import Cargo, consumer, project, published, put_crate
from running_registry import RunningRegistry
from terminal import converse
from uploads import new_crate

pytestmark = pytest.mark.client

LEDGER = ("--registry", "ledger")


def needs(folder: Path, name: str) -> Path:
    return consumer(folder, f'{name} = {{ version = "1", registry = "ledger" }}\n')


def locked(app: Path) -> str:
    return (app / "Cargo.lock").read_text()


def test_a_yanked_version_is_not_chosen_but_stays_for_those_who_have_it(
    registry: RunningRegistry, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    published(registry, "regret", "1.0.0")
    published(registry, "regret", "1.0.1")
    cargo = cargo_as("alice")
    app = needs(tmp_path / "app", "regret")
    cargo("fetch", cwd=app)
    before = locked(app)
    assert 'version = "1.0.1"' in before

    cargo("yank", "regret@1.0.1", *LEDGER, cwd=app)
    cargo_as("")("fetch", "--locked", cwd=app)
    assert locked(app) == before
    cargo("update", cwd=app)
    assert 'version = "1.0.0"' in locked(app)
    said = cargo("update", "regret", "--precise", "1.0.1", cwd=app).text
    assert "yanked" in said
    assert 'version = "1.0.1"' in locked(app)

    cargo("yank", "regret@1.0.1", "--undo", *LEDGER, cwd=app)
    (app / "Cargo.lock").unlink()
    cargo("fetch", cwd=app)
    assert locked(app) == before


def test_yanking_twice_is_no_error_and_yanking_the_unknown_is(
    registry: RunningRegistry, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    published(registry, "known", "1.0.0")
    cargo = cargo_as("alice")
    for _ in range(2):
        cargo("yank", "known@1.0.0", *LEDGER, cwd=tmp_path)
    for unknown in ("known@9.9.9", "never-seen@1.0.0"):
        said = cargo("yank", unknown, *LEDGER, cwd=tmp_path, fails=True).text
        assert "status 404 Not Found" in said
        assert f"`{unknown.partition('@')[0]}" in said.partition("status 404")[2]
    said = cargo_as("bob")("yank", "known@1.0.0", "--undo", *LEDGER, cwd=tmp_path, fails=True).text
    assert "status 403 Forbidden" in said


def test_owners_are_listed_added_and_removed(
    registry: RunningRegistry, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    published(registry, "shared", "1.0.0")
    alice, bob = cargo_as("alice"), cargo_as("bob")

    def owner(who: Cargo, *arguments: str, fails: bool = False) -> str:
        return who("owner", *arguments, "shared", *LEDGER, cwd=tmp_path, fails=fails).text

    def names() -> list[str]:
        shown = alice("owner", "--list", "shared", *LEDGER, cwd=tmp_path).stdout
        return [line.split()[0] for line in shown.splitlines()]

    assert names() == ["alice"]
    assert "status 403 Forbidden" in owner(bob, "--add", "bob", fails=True)
    assert "bob" in owner(alice, "--add", "bob")
    assert names() == ["alice", "bob"]
    assert put_crate(registry, new_crate("shared", "1.1.0"), "bob").status_code == 200
    owner(alice, "--remove", "bob")
    assert names() == ["alice"]
    assert put_crate(registry, new_crate("shared", "1.2.0"), "bob").status_code == 403
    assert "status 4" in owner(alice, "--remove", "alice", fails=True)
    assert "`nobody`" in owner(alice, "--add", "nobody", fails=True)
    assert names() == ["alice"]


def test_search_prints_rows_and_how_many_more_there_are(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    for number in range(5):
        described = 'description = "foo bar/é& does what it says"'
        body = new_crate(f"wanted-{number}", "1.0.0", package=described)
        assert put_crate(registry, body).status_code == 200
    said = cargo("search", "foo bar/é&", "--limit", "3", *LEDGER, cwd=tmp_path)
    rows = [line for line in said.stdout.splitlines() if line.startswith("wanted-")]
    assert len(rows) == 3
    assert all('= "1.0.0"' in row and "# foo bar/é& does" in row for row in rows), rows
    assert "... and 2 crates more" in said.text
    assert cargo("search", "wanted-3", *LEDGER, cwd=tmp_path).stdout.startswith("wanted-3 ")
    assert cargo("search", "wantde-3", *LEDGER, cwd=tmp_path).stdout.startswith("wanted-3 ")
    assert cargo("search", "nothing-like-it-zzz", *LEDGER, cwd=tmp_path).stdout == ""


def test_login_on_a_terminal_names_a_real_page_and_keeps_the_token(
    registry: RunningRegistry, cargo_as: Callable[[str], Cargo], tmp_path: Path
) -> None:
    cargo = cargo_as("")
    answers = [("paste the token", registry.tokens["alice"])]
    said = converse(["cargo", "login", *LEDGER], answers, cwd=tmp_path, env=cargo.env)
    assert said.code == 0, said.text
    page = f"{registry.url}/cargo/me"
    assert page in said.text
    answer = registry.http.get("/cargo/me")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "token" in answer.text
    # The kept token works: the owner list always needs one.
    published(registry, "login", "1.0.0")
    assert "alice" in cargo("owner", "--list", "login", *LEDGER, cwd=tmp_path).stdout


def test_install_builds_a_program_and_vendor_copies_with_the_right_checksum(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    published(registry, "vendored", "1.0.0")
    manifest = (
        '[package]\nname = "tool"\nversion = "1.0.0"\nedition = "2021"\n'
        '[dependencies]\nvendored = { version = "1", registry = "ledger" }\n'
    )
    main = 'fn main() { println!("tool says {}", vendored::it()); }\n'
    folder = project(tmp_path / "tool", manifest, main=main)
    cargo("publish", *LEDGER, "--allow-dirty", "--no-verify", cwd=folder)
    cargo("install", "tool", *LEDGER, "--debug", "--root", str(tmp_path / "root"), cwd=tmp_path)
    shown = subprocess.run(
        [tmp_path / "root" / "bin" / "tool"], capture_output=True, text=True, check=True, timeout=30
    )
    assert shown.stdout == "tool says 1\n"

    cargo("vendor", cwd=folder)
    checksums = json.loads((folder / "vendor/vendored/.cargo-checksum.json").read_text())
    line = json.loads(registry.http.get("/cargo/index/ve/nd/vendored").text)
    assert checksums["package"] == line["cksum"]
