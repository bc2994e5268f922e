"""README's recipes, run as written, with a trap for what goes elsewhere; and that none is left out.

Those of other documents and of pages are in `test_recipes_*.py`. A block of a document that no test
runs fails `test_every_block_is_run`, one of a page the test of that page. Nothing may reach the
trap: no token, no password, no tarball, no name of a package. A client that asks for the newest
version of itself is forgiven.
"""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from recipes import DOCUMENTS, ROOT, Block, Desk
from running_registry import RunningRegistry
from sealed import ADDRESS, Sealed
from sealed_registry import BLOCKS, CLIENTS, EACH, RUN, Place, runs

pytestmark = pytest.mark.client


def readme(*names: str) -> pytest.MarkDecorator:
    return runs(*(f"README.md: {name}" for name in names))


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
    "docs/DEPLOYMENT.md: container": (
        "containers/test_compose_runs.py",
        "DEPLOYMENT.md: container",
    ),
    "docs/DEPLOYMENT.md: compose": ("containers/test_compose_runs.py", "DEPLOYMENT.md: compose"),
    "docs/NGINX.md: proxy": ("cluster/test_nginx_documents.py", '"proxy"'),
    "docs/NGINX.md: tls": ("cluster/test_nginx_documents.py", '"tls"'),
    "docs/EMBEDDING.md: serve": ("api/test_embedding.py", "embedded_registry"),
    "docs/EMBEDDING.md: policy": ("api/test_embedding.py", "EMBEDDING.md: policy"),
    "docs/EMBEDDING.md: provider": ("api/test_embedding.py", "EMBEDDING.md: provider"),
    "docs/NGINX.md: nginx": ("support/nginx_server.py", "As envsubst does"),
    "docs/OPERATIONS.md: compose": ("containers/test_compose_runs.py", "OPERATIONS.md: compose"),
    "docs/PAST.md: export": ("client/test_export.py", '"export"'),
    "docs/configuration.md: packledger.toml": ("unit/test_settings.py", "packledger.toml"),
}
"""Blocks that need more than a client: the test that does the same, and a word of it."""


def test_every_block_is_run() -> None:
    for module in ("test_recipes_past", "test_recipes_deployment"):
        import_module(module)  # it says what it runs, also where it is not collected
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
