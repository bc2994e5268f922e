"""An unmodified cargo with a CARGO_HOME of its own that knows one registry, `ledger`."""

import os
from pathlib import Path

import httpx

from processes import Finished, run
from running_registry import RunningRegistry
from uploads import new_crate


class Cargo:
    """Runs cargo; `home` and projects are fresh, only build output is shared."""

    def __init__(self, home: Path, registry: RunningRegistry, target: Path, user: str = "") -> None:
        self.home = home
        self.registry = registry
        home.mkdir(parents=True)
        (home / "config.toml").write_text(
            f'[registries.ledger]\nindex = "{registry.index}"\n[net]\nretry = 0\n'
        )
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("CARGO")},
            "CARGO_HOME": str(home),
            "CARGO_TARGET_DIR": str(target),
            "CARGO_TERM_COLOR": "never",
            "CARGO_INCREMENTAL": "0",
        }
        if user:
            self.env["CARGO_REGISTRIES_LEDGER_TOKEN"] = registry.tokens[user]

    def __call__(
        self, *arguments: str, cwd: Path, fails: bool = False, stdin: str = ""
    ) -> Finished:
        return run(
            ["cargo", *arguments], cwd=cwd, env=self.env, timeout_s=240, fails=fails, stdin=stdin
        )


def project(folder: Path, manifest: str, **sources: str) -> Path:
    """A package in `folder`: `manifest` is its Cargo.toml, `sources` name files in src/."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(manifest)
    for name, text in (sources or {"lib": "pub fn it() -> u32 { 1 }\n"}).items():
        (folder / "src" / f"{name}.rs").write_text(text)
    return folder


def library(folder: Path, name: str, version: str, rest: str = "") -> Path:
    """A library that `cargo publish` takes."""
    head = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n'
    return project(folder, f"{head}{rest}")


def consumer(folder: Path, dependencies: str, main: str = "fn main() {}\n") -> Path:
    """A program with these `[dependencies]` lines."""
    head = '[package]\nname = "consumer"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n'
    return project(folder, f"{head}{dependencies}", main=main)


def put_crate(
    registry: RunningRegistry, body: bytes, user: str = "alice", **headers: str
) -> httpx.Response:
    """A raw publish."""
    return registry.http.put(
        "/cargo/api/v1/crates/new", content=body, headers={**registry.token(user), **headers}
    )


def published(registry: RunningRegistry, name: str, vers: str, manifest: str = "") -> None:
    """Publish a small crate by hand: quick, where cargo's own publish is not the point."""
    answer = put_crate(registry, new_crate(name, vers, manifest))
    assert answer.status_code == 200, answer.text
