"""docs/PAST.md, run as written: real clients install what was, in a project of the present."""

import json
from dataclasses import replace

import pytest

from cargo_client import put_crate
from npm_client import published
from recipes import Block
from sealed_registry import BLOCKS, EACH, Place, runs
from uploads import new_crate

pytestmark = pytest.mark.client


MOMENT = "2026-11-21T06:00:00Z"


def past(*names: str) -> pytest.MarkDecorator:
    return runs(*(f"docs/PAST.md: {name}" for name in names))


def then(place: Place, *blocks: Block) -> list[Block]:
    """The blocks with the moment of the newest event in place of theirs."""
    newest = json.loads(place.registry.cli("history", "--json").splitlines()[-1])
    return [replace(one, text=one.text.replace(MOMENT, newest["at"])) for one in blocks]


@past("npmrc-then", "npm-token-then", "npm-then")
@EACH
def test_npm_clients_install_the_past_in_a_project_of_the_present(
    place: Place, blocks: list[Block], client: str
) -> None:
    name = f"@acme/old-{client}"
    before, after = place.version(), place.version()
    published(place.registry, name, before)
    npmrc, token, install = then(place, *blocks)
    published(place.registry, name, after)
    desk = place.desk()
    desk.manifest("app", dependencies={name: "*"})
    for present in ("npmrc", "npm-token", "pnpm-workspace"):
        desk.write(BLOCKS[f"README.md: {present}"])
    desk.run(f"{client.rstrip('1')} install")
    assert desk.installed(name) == after
    (desk.project / ".npmrc").unlink()
    desk.write(npmrc, token)
    desk.run(install.line(client))
    assert desk.installed(name) == before


@past("yarnrc-then", "yarn-token-then", "yarn-then")
def test_yarn_berry_installs_the_past_in_a_project_of_the_present(
    place: Place, blocks: list[Block]
) -> None:
    before, after = place.version(), place.version()
    published(place.registry, "@acme/old-berry", before)
    yarnrc, token, install = then(place, *blocks)
    published(place.registry, "@acme/old-berry", after)
    desk = place.desk("berry")
    desk.manifest("app", dependencies={"@acme/old-berry": "*"})
    desk.write(BLOCKS["README.md: yarnrc"], BLOCKS["README.md: yarn-token"])
    desk.run("yarn install")
    assert desk.installed("@acme/old-berry") == after
    for one in (desk.project / ".yarnrc.yml", desk.home / ".yarnrc.yml"):
        one.unlink()
    desk.write(yarnrc, token)
    desk.run(install.text)
    assert desk.installed("@acme/old-berry") == before


@past("cargo-then", "cargo-login-then", "cargo-lock-then")
def test_cargo_resolves_the_past_in_a_project_of_the_present(
    place: Place, blocks: list[Block]
) -> None:
    put_crate(place.registry, new_crate("old-crate", "1.0.0"))
    config, login, lock = then(place, *blocks)
    put_crate(place.registry, new_crate("old-crate", "1.1.0"))
    desk = place.desk()
    desk.write(BLOCKS["README.md: cargo-config"])
    desk.run("cargo init --vcs none --name app .")
    sign_in = BLOCKS["README.md: cargo-publish"].text.splitlines()[0]
    desk.run(f"{sign_in}\ncargo add old-crate --registry packledger\ncargo fetch")
    locked = desk.project / "Cargo.lock"
    assert 'version = "1.1.0"' in locked.read_text()
    manifest = desk.project / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace('"1.1.0"', '"1"'))
    desk.write(config)
    if place.private:
        desk.run(login.text)
    desk.run(lock.text)
    assert 'name = "old-crate"\nversion = "1.0.0"' in locked.read_text()
    assert "as-of" not in locked.read_text()
    desk.run("cargo fetch --locked")
