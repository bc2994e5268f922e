"""What the pages show to be copied, run as written."""

import json

import pytest

from cargo_client import library, put_crate
from recipes import Block, Page
from sealed import ADDRESS
from sealed_registry import BLOCKS, CLIENTS, Place, give
from uploads import new_crate
from visitor import Visitor

pytestmark = pytest.mark.client


def page(place: Place, path: str, **form: str) -> list[Block]:
    """What a page shows to be copied."""
    alice = Visitor(place.registry)
    alice.url = f"http://{ADDRESS}"
    try:
        alice.sign_in("alice")
        answer = alice.post(path, "/account", **form) if form else alice.get(path)
    finally:
        alice.close()
    assert answer.status_code == 200, answer.text
    return Page(path, answer.text).blocks


def token_page(place: Place) -> tuple[str, list[Block]]:
    made = page(place, "/account/tokens", label="x", days="7", access="write", packages="")
    return made[0].text, made[1:]


def test_the_pages_recipes_for_cargo(place: Place) -> None:
    config, start_login, *_ = page(place, "/")
    secret, (login, *_) = token_page(place)
    assert start_login.text == login.text
    if not place.has_crate("page-crate"):
        put_crate(place.registry, new_crate("page-crate", "1.0.0"))
    add, line = page(place, "/crates/page-crate")
    desk = place.desk()
    desk.token = secret
    desk.write(config)
    desk.run("cargo init --vcs none --name app .")
    desk.run(f"{login.text}\n{add.text}\ncargo fetch")
    assert 'name = "page-crate"' in (desk.project / "Cargo.lock").read_text()
    assert line.text.partition(" =")[0] in (desk.project / "Cargo.toml").read_text()
    other = place.desk()
    other.token = secret
    other.write(config)
    other.run("cargo init --vcs none --name app .")
    manifest = other.project / "Cargo.toml"
    manifest.write_text(f"{manifest.read_text()}{line.text}\n")
    other.run(f"{login.text}\ncargo fetch")
    library(other.project, f"by-page-{int(place.private)}", "0.1.0")
    other.run("cargo publish --registry packledger")


@pytest.mark.parametrize("client", [*CLIENTS, "berry"])
def test_the_pages_recipes_for_an_npm_client(place: Place, client: str) -> None:
    berry = client == "berry"
    start, (secret, token) = page(place, "/"), token_page(place)
    files = {"berry": {".yarnrc.yml"}, "pnpm": {".npmrc", "pnpm-workspace.yaml"}}
    settings = [one for one in start if one.file in files.get(client, {".npmrc"})]
    (mine,) = [one for one in token if one.file == ("~/.yarnrc.yml" if berry else "~/.npmrc")]
    always = [one for one in start if one.file == "~/.npmrc"]
    (config,) = [one for one in start if one.text.startswith('"publishConfig"')]

    desk = place.desk("berry" if berry else "yarn1")
    desk.token = secret
    desk.write(*settings, mine)
    name = f"@scope/page-{client}"
    desk.manifest(name, version=place.version(), **json.loads(f"{{{config.text}}}"))
    publish = BLOCKS["README.md: yarn-publish"].text
    desk.run(publish if berry else BLOCKS["README.md: npm-publish"].line(client))
    give(place, f"unscoped-{client}")
    for wanted in (name, f"unscoped-{client}"):
        shown = page(place, f"/packages/{wanted}")
        reader = place.desk("berry" if berry else "yarn1")
        reader.token = secret
        reader.manifest("app")
        reader.write(mine, *(always if client == "yarn1" else []))
        reader.write(*(one for one in shown if one.file))
        (command,) = [one for one in shown if client in {one.label, BY_LABEL.get(one.label)}]
        reader.run(command.text)
        assert reader.installed(wanted)


BY_LABEL = {"yarn 1": "yarn1", "yarn berry": "berry"}


def test_the_pages_login_names_the_registry(place: Place) -> None:
    (login,) = [one for one in page(place, "/") if one.text.startswith("npm login")]
    desk = place.desk()
    desk.talk(login.text, [("(?i)username", "alice"), ("(?i)password", "password of alice")])
    assert f"//{ADDRESS}/npm/:_authToken" in (desk.home / ".npmrc").read_text()


@pytest.mark.parametrize(
    "path", ["/", "/crates/all-run", "/packages/all-run", "/packages/@all/run"]
)
def test_a_page_shows_nothing_that_is_not_run(place: Place, path: str) -> None:
    """What the tests above find by its file, its client or its first word."""
    if not place.has_crate("all-run"):
        put_crate(place.registry, new_crate("all-run", "1.0.0"))
    give(place, "all-run")
    give(place, "@all/run")
    known = ("cargo login", "npm login", '"publishConfig"')
    labels = {*CLIENTS, *BY_LABEL, "cargo", "Cargo.toml"}
    for one in page(place, path):
        assert one.file or one.label in labels or one.text.startswith(known), one
