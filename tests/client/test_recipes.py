"""Every recipe of the documents and pages, run as written, with a trap for what goes elsewhere.

A block of a document that no test runs fails `test_every_block_is_run`, one of a page the test of
that page. Nothing may reach the trap: no token, no password, no tarball, no name of a package. A
client that asks for the newest version of itself is forgiven.
"""

import json
import re
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cargo_client import library, put_crate
from npm_client import published
from recipes import DOCUMENTS, ROOT, Block, Desk, Page, documents
from running_registry import PACKLEDGER, RunningRegistry
from sealed import ADDRESS, Sealed
from uploads import new_crate
from visitor import Visitor

pytestmark = pytest.mark.client
BLOCKS = documents()
RUN: set[str] = set()
MOMENT = "2026-11-21T06:00:00Z"
CLIENTS = ("npm", "pnpm", "yarn1", "bun")
_OF_ITSELF = re.compile(
    r"[\w.-]+: GET /(npm|pnpm) HTTP/1\.1\r\n(?!.*\r\nauthorization:)", re.DOTALL | re.IGNORECASE
)


@dataclass
class Place:
    """A registry, the sealed place where it is met, and a maker of desks there."""

    registry: RunningRegistry
    sealed: Sealed
    folder: Path
    private: bool = False
    made: int = 0

    def desk(self, yarn: str = "yarn1", user: str = "alice") -> Desk:
        self.made += 1
        token = self.registry.tokens[user]
        return Desk(self.sealed, self.folder / f"desk-{self.made}", token=token, yarn=yarn)

    def version(self) -> str:
        """A version that nobody has published, newer than all."""
        self.made += 1
        return f"1.{self.made}.0"

    def new_version(self, desk: Desk) -> str:
        """Write one into a project's package.json: what was published stays so."""
        path, version = desk.project / "package.json", self.version()
        path.write_text(path.read_text().replace("1.0.0", version))
        return version

    def has(self, name: str) -> bool:
        return self._is_there(f"/npm/{name.replace('/', '%2f')}")

    def has_crate(self, name: str) -> bool:
        return self._is_there(f"/cargo/crates/{name}/1.0.0/download")

    def _is_there(self, path: str) -> bool:
        return self.registry.http.get(path, headers=self.registry.token()).is_success

    def told_nobody(self) -> None:
        """Nothing went elsewhere."""
        assert [said for said in self.sealed.caught() if not _OF_ITSELF.match(said)] == []


def runs(*names: str) -> pytest.MarkDecorator:
    """Give a test these blocks of documents, which it runs."""
    RUN.update(names)
    return pytest.mark.parametrize("blocks", [[BLOCKS[name] for name in names]], ids=[""])


def readme(*names: str) -> pytest.MarkDecorator:
    return runs(*(f"README.md: {name}" for name in names))


EACH = pytest.mark.parametrize("client", CLIENTS)


def _opened(folder: Path, **settings: object) -> Iterator[Place]:
    running = RunningRegistry(folder / "registry", public_url=f"http://{ADDRESS}", **settings)
    sealed = None
    try:
        running.start()
        running.add_user("alice")
        sealed = Sealed(folder / "sealed", running.tap.port)
        yield Place(running, sealed, folder, bool(settings.get("private")))
    finally:
        if sealed is not None:
            sealed.close()
        running.close()


@pytest.fixture(scope="module", params=[False, True], ids=["public", "private"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    yield from _opened(tmp_path_factory.mktemp("place"), private=request.param)


@pytest.fixture
def place(shared: Place) -> Iterator[Place]:
    """A registry, once public and once private, whose users tell nobody else anything."""
    shared.sealed.caught()
    yield shared
    shared.told_nobody()


def give(place: Place, name: str) -> None:
    """The registry has this package, unless a test before gave it."""
    if not place.has(name):
        published(place.registry, name, "1.0.0")


# -- that the trap catches, and that nothing is left out ----------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "npm view lodash",
        "pnpm view lodash",
        "yarn info lodash --non-interactive",
        "bun info lodash",
        "cargo search lodash",
        "berry npm info lodash",
    ],
)
def test_a_default_registry_is_a_trap_and_a_token_sent_there_is_seen(
    shared: Place, script: str
) -> None:
    shared.sealed.caught()
    desk = shared.desk()
    desk.manifest("app")
    desk.run(f"{script} || true")
    with pytest.raises(AssertionError, match=r"lodash|config\.json"):
        shared.told_nobody()


def test_a_token_that_goes_to_a_default_is_seen(shared: Place) -> None:
    """What the README once said of yarn berry."""
    shared.sealed.caught()
    desk = shared.desk("berry")
    desk.manifest("@acme/told")
    (desk.project / "yarn.lock").touch()
    (desk.project / ".yarnrc.yml").write_text(
        f'npmScopes:\n  acme:\n    npmRegistryServer: "http://{ADDRESS}/npm/"\n'
        f'    npmAuthToken: "{desk.token}"\nunsafeHttpWhitelist: ["127.0.0.1"]\n'
    )
    desk.run("yarn install && yarn npm publish", fails=True)
    assert any(f"Bearer {desk.token}" in said for said in shared.sealed.caught())


ELSEWHERE = {
    "README.md: make": ("system_tools.sh", "What `make` needs"),
    "docs/AUDIT.md: history": ("client/test_export.py", '"history"'),
    "docs/AUDIT.md: digest": ("audit/replay_index.py", "after="),
    "docs/AUDIT.md: fsck": ("audit/test_log_verification.py", "fsck"),
    "docs/AUDIT.md: checkpoint": ("audit/test_log_verification.py", "checkpoint"),
    "docs/AUDIT.md: continues": ("audit/test_log_verification.py", "continues"),
    "docs/AUDIT.md: receipt": ("audit/test_receipts.py", '"verify-receipt"'),
    "docs/AUDIT.md: remote-signer": ("audit/test_signed_elsewhere.py", '"--url"'),
    "docs/AUDIT.md: signatures": ("client/test_npm_signatures.py", '"signatures"'),
    "docs/AUDIT.md: signing-key": ("client/test_npm_signatures.py", '"signing-key"'),
    "docs/DEPLOYMENT.md: container": ("unit/test_compose.py", "Dockerfile"),
    "docs/DEPLOYMENT.md: compose": ("unit/test_compose.py", "docker-compose.embedded.yml"),
    "docs/NGINX.md: proxy": ("cluster/test_nginx_documents.py", '"proxy"'),
    "docs/NGINX.md: tls": ("cluster/test_nginx_documents.py", '"tls"'),
    "docs/EMBEDDING.md: serve": ("api/test_embedding.py", "embedded_registry"),
    "docs/NGINX.md: nginx": ("support/nginx_server.py", "As envsubst does"),
    "docs/OPERATIONS.md: compose": ("unit/test_compose.py", "docker-compose"),
    "docs/PAST.md: export": ("client/test_export.py", '"export"'),
    "docs/configuration.md: packledger.toml": ("unit/test_settings.py", "packledger.toml"),
}
"""Blocks that need more than a client: the test that does the same, and a word of it."""


def test_every_block_is_run() -> None:
    everything = {where for where, block in BLOCKS.items() if block.language != "text"}
    assert everything - RUN - set(ELSEWHERE) == set(), "no test runs these blocks"
    assert set(ELSEWHERE) <= everything
    for where, (test, word) in ELSEWHERE.items():
        assert word in (ROOT / "tests" / test).read_text(), f"{test} does not do {where}"


_COMMAND = re.compile(r"^(\$|npm|pnpm|yarn|bun|cargo|packledger) [a-z]", re.MULTILINE)


def test_a_block_that_is_only_shown_holds_no_command() -> None:
    for where, block in BLOCKS.items():
        if block.language == "text":
            assert not _COMMAND.search(block.text), where


_LOGIN = re.compile(r"\b(?:cargo|npm|pnpm|bunx npm|yarn(?: npm)?) (?:login|adduser)\b[^`<\n]*")


def test_no_login_is_recommended_without_its_registry() -> None:
    """A password would go to the client's default."""
    made = {"configuration.md"}  # of what settings say about themselves
    texts = [one for one in DOCUMENTS if one.parent.name != "adr" and one.name not in made]
    texts += [*(ROOT / "api" / "templates").glob("*.html")]
    for path in texts:
        for said in re.findall(r"`[^`\n]*`|<code>[^<]*</code>|^[a-z].*$", path.read_text(), re.M):
            for command in _LOGIN.findall(said):
                assert "--registry " in command, f"{path.name}: {command}"


# -- README -------------------------------------------------------------------------------------


@readme("npmrc", "npm-token", "package.json", "npm-publish", "npm-use", "pnpm-workspace")
@EACH
def test_npm_clients_publish_and_install(place: Place, blocks: list[Block], client: str) -> None:
    npmrc, token, manifest, publish, use, workspace = blocks
    desk = place.desk()
    desk.write(npmrc, token, manifest)
    version = place.new_version(desk)
    desk.run(publish.line(client))
    reader = place.desk()
    reader.manifest("app")
    reader.write(npmrc, token, *([workspace] if client == "pnpm" else []))
    reader.run(use.line(client))
    assert reader.installed("@acme/my-package") == version


@readme("yarnrc", "yarn-token", "package.json", "yarn-publish", "yarn-use")
def test_yarn_berry_publishes_and_installs(place: Place, blocks: list[Block]) -> None:
    yarnrc, token, manifest, publish, use = blocks
    desk = place.desk("berry")
    desk.write(yarnrc, token, manifest)
    version = place.new_version(desk)
    desk.run(publish.text)
    reader = place.desk("berry")
    reader.manifest("app")
    reader.write(yarnrc, token)
    reader.run(use.text)
    assert reader.installed("@acme/my-package") == version


@readme("yarnrc", "yarn-token")
def test_yarn_berry_tells_its_default_no_token_whatever_is_published(
    place: Place, blocks: list[Block]
) -> None:
    desk = place.desk("berry")
    desk.write(*blocks)
    desk.manifest("no-scope")
    desk.run("yarn install")
    desk.run("yarn npm publish", fails=True)
    assert not [said for said in place.sealed.caught() if "plk_" in said or "PUT" in said]


@readme("package.json")
@pytest.mark.parametrize("client", [*CLIENTS, "berry"])
def test_the_manifest_says_where_a_package_without_a_scope_goes(
    place: Place, blocks: list[Block], client: str
) -> None:
    desk = place.desk("berry" if client == "berry" else "yarn1")
    names = ("yarn-token", "yarnrc") if client == "berry" else ("npm-token", "npmrc")
    desk.write(*blocks, *(BLOCKS[f"README.md: {name}"] for name in names))
    settings = json.loads((desk.project / "package.json").read_text())
    (desk.project / "package.json").write_text(json.dumps({**settings, "name": f"plain-{client}"}))
    if client == "berry":
        desk.run(BLOCKS["README.md: yarn-publish"].text)
    else:
        desk.run(BLOCKS["README.md: npm-publish"].line(client))
    assert place.has(f"plain-{client}")


@readme("npmrc", "npm-login")
def test_npm_login_gives_the_password_to_the_registry_that_it_names(
    place: Place, blocks: list[Block]
) -> None:
    npmrc, login = blocks
    desk = place.desk()
    desk.write(npmrc)
    answers = [("(?i)username", "alice"), ("(?i)password", "password of alice")]
    desk.talk(login.text, answers)
    (line,) = (desk.home / ".npmrc").read_text().split()
    assert line.startswith(f"//{ADDRESS}/npm/:_authToken=plk_")
    desk.manifest("@acme/signed-in", version=place.version())
    desk.run("npm publish")


@readme("cargo-config", "cargo-manifest", "cargo-publish", "cargo-use")
def test_cargo_publishes_and_uses(place: Place, blocks: list[Block]) -> None:
    config, manifest, publish, use = blocks
    desk = place.desk()
    desk.write(config, manifest)
    desk.source()
    desk.run(publish.text)
    reader = place.desk()
    reader.write(config)
    reader.run("cargo init --vcs none --name app .")
    reader.run(f"{publish.text.splitlines()[0]}\n{use.text}cargo fetch")
    assert 'name = "my-crate"' in (reader.project / "Cargo.lock").read_text()
    # Without `--registry` it goes there, too: the manifest says so.
    path = desk.project / "Cargo.toml"
    path.write_text(path.read_text().replace("0.1.0", "0.1.1"))
    desk.run("cargo publish")


def test_a_registry_without_its_last_slash_gets_no_token_from_npm(place: Place) -> None:
    """Which is what the documents say of it."""
    desk = place.desk()
    npmrc, token = BLOCKS["README.md: npmrc"], BLOCKS["README.md: npm-token"]
    desk.write(npmrc, token)
    path = desk.project / ".npmrc"
    path.write_text(path.read_text().replace("/npm/", "/npm"))
    desk.manifest("@acme/slash")
    assert "ENEEDAUTH" in desk.run("npm publish", fails=True).text


@readme("first-account")
def test_the_first_account_is_made_with_the_setup_code(tmp_path: Path, blocks: list[Block]) -> None:
    (block,) = blocks
    running = RunningRegistry(tmp_path / "registry", public_url=f"http://{ADDRESS}")
    sealed = None
    try:
        running.start()
        code = re.search(r"setup code: (\S+)", running.log.read_text())
        assert code
        sealed = Sealed(tmp_path / "sealed", running.tap.port)
        desk = Desk(sealed, tmp_path / "desk")
        (desk.project / ".venv").symlink_to(ROOT / ".venv")
        (desk.project / "packledger-data").symlink_to(running.data)
        answers = [("(?i)password", "a long password"), ("(?i)confirm", "a long password")]
        said = desk.talk(block.text.replace("CODE", code[1]), answers)
        assert re.search(r"plk_\w{40}", said.text)
        assert sealed.caught() == []
    finally:
        if sealed is not None:
            sealed.close()
        running.close()


# -- docs/PAST.md ---------------------------------------------------------------------------------


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


# -- docs/DEPLOYMENT.md ---------------------------------------------------------------------------


def deployment(*names: str) -> pytest.MarkDecorator:
    return runs(*(f"docs/DEPLOYMENT.md: {name}" for name in names))


def job(place: Place, yarn: str = "yarn1") -> Desk:
    """A desk at which the token is in the environment alone."""
    desk = place.desk(yarn)
    desk.env["REGISTRY_TOKEN"], desk.token = desk.token, ""
    return desk


@deployment("ci-npmrc", "ci-pnpm", "ci-yarnrc")
@pytest.mark.parametrize("client", [*CLIENTS, "berry"])
def test_a_job_publishes_and_installs_with_a_token_of_its_environment(
    place: Place, blocks: list[Block], client: str
) -> None:
    npmrc, pnpm, yarnrc = blocks
    berry = client == "berry"
    name = f"@acme/job-{client}"
    for step in ("publish", "use"):
        desk = job(place, "berry" if berry else "yarn1")
        desk.write(yarnrc if berry else npmrc)
        desk.manifest(name if step == "publish" else "app", version=place.version())
        if client == "pnpm":
            desk.run(pnpm.text)
            desk.write(BLOCKS["README.md: pnpm-workspace"])
        block = BLOCKS[f"README.md: {'yarn' if berry else 'npm'}-{step}"]
        script = block.text if berry else block.line(client)
        desk.run(script.replace("@acme/my-package", name))
    assert desk.installed(name)


@deployment("ci-cargo")
def test_a_job_publishes_a_crate_with_a_token_of_its_environment(
    place: Place, blocks: list[Block]
) -> None:
    desk = job(place)
    library(desk.project, "job-crate", place.version())
    desk.run(blocks[0].text)


@deployment("settings", "unit")
def test_the_service_starts_as_its_unit_says(tmp_path: Path, blocks: list[Block]) -> None:
    settings, unit = blocks
    file = tmp_path / "packledger.toml"
    file.write_text(settings.text.replace("/var/lib/packledger", str(tmp_path / "data")))
    said = ConfigParser(interpolation=None, strict=False)
    said.optionxform = str  # type: ignore[assignment,method-assign]
    said.read_string(unit.text)
    assert said["Service"]["StateDirectory"] in "/var/lib/packledger"
    words = said["Service"]["ExecStart"].replace("/etc/packledger.toml", str(file)).split()
    assert words[0] == "/opt/packledger/bin/packledger"
    running = RunningRegistry(tmp_path / "registry", [PACKLEDGER, *words[1:]], public_url="")
    del running.env["PACKLEDGER_PUBLIC_URL"]
    try:
        running.start()
        assert "https://registry.example.com/npm/" in running.log.read_text()
    finally:
        running.close()


# -- pages --------------------------------------------------------------------------------------


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
