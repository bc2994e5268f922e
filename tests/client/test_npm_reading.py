"""Both packument forms, tarballs and installs.

Source: https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from npm_client import NpmClient, npm_project, published
from running_registry import RunningRegistry

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
EACH = pytest.mark.parametrize("command", ["npm", "pnpm"])

ABBREVIATED = "application/vnd.npm.install-v1+json"
NPM_ASKS = f"{ABBREVIATED}; q=1.0, application/json; q=0.8, */*"
ALLOWED = {
    "name", "version", "deprecated", "dependencies", "acceptDependencies",
    "optionalDependencies", "devDependencies", "bundleDependencies", "bundledDependencies",
    "peerDependencies", "peerDependenciesMeta", "bin", "directories", "dist", "engines",
    "_hasShrinkwrap", "hasInstallScript", "funding", "cpu", "os", "libc",
}  # fmt: skip


def test_the_form_follows_the_accept_header(registry: RunningRegistry) -> None:
    published(
        registry, "forms", "1.0.0", description="d", keywords=["k"], license="MIT",
        dependencies={"x": "^1"}, peerDependencies={"y": "*"}, bin={"forms": "index.js"},
        engines={"node": ">=18"}, os=["linux"], cpu=["x64"], libc=["glibc"],
        scripts={"postinstall": "true"}, main="index.js",
    )  # fmt: skip
    short = registry.http.get("/npm/forms", headers={"Accept": NPM_ASKS})
    assert short.headers["Content-Type"].startswith(ABBREVIATED)
    assert set(short.json()) == {"name", "modified", "dist-tags", "versions", "time"}
    version = short.json()["versions"]["1.0.0"]
    assert set(version) <= ALLOWED
    assert version["hasInstallScript"] is True
    assert (version["dependencies"], version["libc"]) == ({"x": "^1"}, ["glibc"])

    for accept in ("application/json", "*/*", "text/html, */*", f"{ABBREVIATED};q=0.1, */*"):
        full = registry.http.get("/npm/forms", headers={"Accept": accept})
        assert full.headers["Content-Type"].startswith("application/json"), accept
    document = full.json()
    assert document["_id"] == document["name"] == "forms"
    assert document["versions"]["1.0.0"]["scripts"] == {"postinstall": "true"}
    assert (document["description"], document["license"]) == ("d", "MIT")
    assert list(document["time"])[:2] == ["created", "modified"]
    assert short.json()["time"] == document["time"]
    assert short.json()["modified"] == document["time"]["modified"]
    assert "accept" in short.headers["Vary"].lower().replace("accept-encoding", "").split(", ")


def test_each_form_has_its_own_tag_which_changes_with_every_change(
    registry: RunningRegistry, npm: NpmClient, tmp_path: Path
) -> None:
    published(registry, "etag", "1.0.0")
    published(registry, "etag", "1.1.0")
    forms = (NPM_ASKS, "application/json")

    def tags() -> list[str]:
        found = []
        for accept in forms:
            answer = registry.http.get("/npm/etag", headers={"Accept": accept})
            tag = answer.headers["ETag"]
            for validator in (tag, tag.removeprefix("W/"), f'"x", {tag}'):
                headers = {"Accept": accept, "If-None-Match": validator}
                again = registry.http.get("/npm/etag", headers=headers)
                assert (again.status_code, again.content) == (304, b"")
            other = {"Accept": accept, "If-None-Match": '"x"'}
            assert registry.http.get("/npm/etag", headers=other).status_code == 200
            found.append(tag)
        return found

    seen = tags()
    app = npm_project(tmp_path / "app", {"name": "app", "version": "1.0.0"})
    for change in (
        ["dist-tag", "add", "etag@1.0.0", "old"],
        ["deprecate", "etag@1.0.0", "too old"],
        ["unpublish", "--force", "etag@1.1.0"],
    ):
        npm(*change, cwd=app)
        now = tags()
        assert not set(now) & set(seen), change
        seen += now
    assert len(set(seen)) == len(seen)


def test_documents_are_compressed_on_request_and_tarballs_never(registry: RunningRegistry) -> None:
    published(registry, "packed", "1.0.0", description="words " * 500)
    plain = registry.http.get("/npm/packed", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    for accepted in ("gzip,deflate", "gzip, deflate, br", "zstd,gzip,deflate"):
        headers = {"Accept-Encoding": accepted}
        with registry.http.stream("GET", "/npm/packed", headers=headers) as answer:
            raw = b"".join(answer.iter_raw())
        encoding = answer.headers["Content-Encoding"]
        assert encoding in accepted
        if encoding == "gzip":
            assert gzip.decompress(raw) == plain.content
        url = "/npm/packed/-/packed-1.0.0.tgz"
        file = registry.http.get(url, headers=headers)
        assert "Content-Encoding" not in file.headers
        assert int(file.headers["Content-Length"]) == len(file.content)


def test_one_version_is_found_by_number_and_by_tag(
    registry: RunningRegistry, npm: NpmClient
) -> None:
    published(registry, "single", "1.0.0")
    published(registry, "single", "2.0.0-rc.1", tag="next")
    published(registry, "@acme/single", "1.0.0")
    for asked, version in {"1.0.0": "1.0.0", "latest": "1.0.0", "next": "2.0.0-rc.1"}.items():
        answer = registry.http.get(f"/npm/single/{asked}")
        assert answer.json()["version"] == version
        assert npm("view", f"single@{asked}", "version").stdout.strip() == version
    for spelled in ("@acme/single", "@acme%2fsingle", "@acme%2Fsingle"):
        assert registry.http.get(f"/npm/{spelled}/latest").json()["_id"] == "@acme/single@1.0.0"
    missing = registry.http.get("/npm/single/9.9.9")
    assert missing.status_code == 404
    assert "9.9.9" in missing.json()["error"]
    full = registry.http.get("/npm/single")
    head = registry.http.head("/npm/single")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == full.headers["ETag"]
    assert registry.http.head("/npm/nothing-here").status_code == 404


def test_a_missing_package_is_a_sentence_that_npm_shows(
    registry: RunningRegistry, npm: NpmClient, tmp_path: Path
) -> None:
    answer = registry.http.get("/npm/no-such-package")
    assert answer.status_code == 404
    sentence = answer.json()["error"]
    assert "no-such-package" in sentence
    assert sentence in npm("view", "no-such-package", fails=True).text
    app = npm_project(tmp_path / "app", {"name": "app", "version": "1.0.0"})
    assert "E404" in npm("install", "no-such-package", cwd=app, fails=True).text


def test_pnpms_question_for_itself_is_answered_at_once(registry: RunningRegistry) -> None:
    answer = registry.http.get("/npm/pnpm", headers={"Accept": NPM_ASKS})
    assert answer.status_code == 404
    assert answer.elapsed.total_seconds() < 1


def test_a_forged_host_reaches_no_document(registry: RunningRegistry) -> None:
    published(registry, "hosted", "1.0.0")
    honest = registry.http.get("/npm/hosted")
    forged = {
        "Host": "evil.example.com",
        "X-Forwarded-Host": "evil.example.com",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
    }
    for _ in range(2):
        answer = registry.http.get("/npm/hosted", headers=forged)
        assert answer.content == honest.content
        assert answer.headers["ETag"] == honest.headers["ETag"]
    assert registry.http.get("/npm/hosted").content == honest.content
    assert "evil" not in registry.http.get("/cargo/index/config.json", headers=forged).text


def family(registry: RunningRegistry, prefix: str) -> dict[str, str]:
    """Publish a small tree with shared, scoped, optional and peer parts; what a project needs."""
    published(registry, f"{prefix}-leaf", "1.0.0")
    published(registry, f"{prefix}-leaf", "1.2.0")
    published(registry, f"{prefix}-leaf", "2.0.0")
    published(registry, f"@acme/{prefix}-mid", "1.0.0", dependencies={f"{prefix}-leaf": "^1.0.0"})
    published(
        registry, f"{prefix}-other", "1.0.0",
        optionalDependencies={f"{prefix}-leaf": "~1.2.0"},
        peerDependencies={f"@acme/{prefix}-mid": "^1"},
    )  # fmt: skip
    return {f"@acme/{prefix}-mid": "^1", f"{prefix}-other": "*", f"{prefix}-leaf": "2.x"}


def installed(app: Path) -> set[tuple[str, str]]:
    """Name and version of every package in node_modules, wherever the client put it."""
    found = set()
    for path in (app / "node_modules").rglob("package.json"):
        manifest = json.loads(path.read_text())
        found.add((manifest["name"], manifest["version"]))
    return found


def test_npm_and_pnpm_install_the_same_tree_from_either_form(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    needs = family(registry, "tree")
    manifest = {"name": "app", "version": "1.0.0", "dependencies": needs}
    trees = {}
    for command in ("npm", "pnpm"):
        app = npm_project(tmp_path / command, manifest)
        client = client_as(command, "")
        registry.tap.clear()
        client("install", cwd=app)
        trees[command] = installed(app)
        asked = Counter(one for one in registry.tap.said("/npm/") if "/-/" not in one)
        leaf = asked.pop("GET /npm/tree-leaf 200")
        # pnpm asks for the full form of an optional dependency, for its `libc`.
        assert leaf == (1 if command == "npm" else 2), command
        # pnpm asks for itself, whether there is a newer one.
        asked.pop("GET /npm/pnpm 404", None)
        assert set(asked.values()) == {1}, asked
    assert trees["npm"] == trees["pnpm"]
    assert trees["npm"] == {
        ("tree-leaf", "1.2.0"), ("tree-leaf", "2.0.0"), ("@acme/tree-mid", "1.0.0"),
        ("tree-other", "1.0.0"),
    }  # fmt: skip


@EACH
def test_a_locked_install_with_a_cold_cache_asks_for_each_tarball_once(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    needs = family(registry, f"locked-{command}")
    manifest = {"name": "app", "version": "1.0.0", "dependencies": needs}
    app = npm_project(tmp_path / "app", manifest)
    client_as(command, "")("install", cwd=app)
    lock = app / ("package-lock.json" if command == "npm" else "pnpm-lock.yaml")
    before, tree = lock.read_text(), installed(app)
    for path in app.iterdir():
        if path.name == "node_modules":
            path.rename(tmp_path / "old_modules")
    registry.tap.clear()
    frozen = ["ci"] if command == "npm" else ["install", "--frozen-lockfile"]
    client_as(command, "")(*frozen, cwd=app)
    assert installed(app) == tree
    assert lock.read_text() == before
    tarballs = Counter(one for one in registry.tap.said() if ".tgz" in one)
    assert len(tarballs) == 4
    if command == "pnpm":
        assert set(tarballs.values()) == {1}
    else:  # npm asks once for each place in the tree, and twice for one that two places share
        assert sum(tarballs.values()) <= len(json.loads(before)["packages"]) - 1
        rest = [one for one in registry.tap.said() if ".tgz" not in one]
        assert rest == ["POST /npm/-/npm/v1/security/advisories/bulk 200"]


def test_pnpm_judges_the_age_of_versions_by_the_abbreviated_form_alone(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    """Without `time` in it pnpm would ask for the full form of every package as well."""
    published(registry, "aged-leaf", "1.0.0")
    published(registry, "aged", "1.0.0", dependencies={"aged-leaf": "1"})
    manifest = {"name": "app", "version": "1.0.0", "dependencies": {"aged": "1"}}
    app = npm_project(tmp_path / "app", manifest)
    (app / "pnpm-workspace.yaml").unlink()  # the default minimum age, a day
    registry.tap.clear()
    client_as("pnpm", "")("install", cwd=app)
    for name in ("aged", "aged-leaf"):
        documents = [one for one in registry.tap.exchanges if one.path == f"/npm/{name}"]
        assert [one.headers["accept"] for one in documents] == [NPM_ASKS]


def test_an_audit_finds_nothing_and_says_so(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    published(registry, "audited", "1.0.0")
    manifest = {"name": "app", "version": "1.0.0", "dependencies": {"audited": "1"}}
    for command in ("npm", "pnpm"):
        client = client_as(command, "")
        app = npm_project(tmp_path / command, manifest)
        client("install", cwd=app)
        client("audit", cwd=app)
