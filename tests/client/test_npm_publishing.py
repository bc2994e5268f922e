"""Publishing with npm and pnpm, and publish documents that must not pass.

Source: https://github.com/npm/cli/tree/latest/workspaces/libnpmpublish
"""

import base64
import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from npm_client import NpmClient, npm_project, packument, published, put_package
from processes import Finished
from running_registry import RunningRegistry
from uploads import dist, npm_body, tar_gz, tarball

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
EACH = pytest.mark.parametrize("command", ["npm", "pnpm"])


def publish(client: NpmClient, what: Path, *options: str, fails: bool = False) -> Finished:
    unchecked = ["--no-git-checks"] if client.command == "pnpm" else []
    if what.is_dir():
        return client("publish", *unchecked, *options, cwd=what, fails=fails)
    return client("publish", str(what), *unchecked, *options, cwd=what.parent, fails=fails)


def refusal(answer: httpx.Response) -> str:
    assert 400 <= answer.status_code < 500, answer.text
    error: str = answer.json()["error"]
    assert len(error.split()) >= 3, error
    return error


@EACH
@pytest.mark.parametrize("scope", ["", "@acme/"])
def test_what_is_served_is_what_was_sent(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str, scope: str
) -> None:
    name = f"{scope}sent-{command}"
    client = client_as(command, "alice")
    folder = npm_project(tmp_path / "p", {"name": name, "version": "1.0.0"})
    publish(client, folder)
    packed = tarball({"name": name, "version": "1.0.1"})
    file = tmp_path / "packed.tgz"
    file.write_bytes(packed)
    publish(client, file)

    document = packument(registry, name)
    base = f"sent-{command}"
    for version in ("1.0.0", "1.0.1"):
        of = document["versions"][version]["dist"]
        assert of["tarball"] == f"{registry.npm}{name}/-/{base}-{version}.tgz"
        served = httpx.get(of["tarball"])
        assert served.headers["Content-Type"] == "application/octet-stream"
        assert dist(served.content, of["tarball"]).items() <= of.items()
    assert served.content == packed
    for spelled in (name, quote(name, safe="@"), quote(name, safe="@").replace("F", "f")):
        answer = registry.http.get(f"/npm/{spelled}/-/{base}-1.0.1.tgz")
        assert answer.content == packed, spelled


@EACH
def test_a_version_again_is_refused_and_changes_nothing(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    name = f"again-{command}"
    client = client_as(command, "alice")
    folder = npm_project(tmp_path / "p", {"name": name, "version": "1.0.0"})
    publish(client, folder)
    before = packument(registry, name)
    for change in ("nothing", "content"):
        if change == "content":
            (folder / "index.js").write_text("exports.it = 2\n")
        said = publish(client, folder, "--force", fails=True).text
        assert "409" in said or "403" in said, said
        assert "1.0.0" in said
    assert packument(registry, name) == before


def test_of_parallel_publishes_one_version_wins_once_and_different_ones_are_all_listed(
    registry: RunningRegistry,
) -> None:
    def upload(version: str, word: str) -> int:
        manifest = {"name": "race", "version": version, "description": word}
        return put_package(registry, npm_body(manifest)).status_code

    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(upload, ["1.0.0"] * 8, "abcdefgh"))
        different = list(pool.map(upload, [f"2.0.{n}" for n in range(8)], "abcdefgh"))
    assert sorted(code // 100 for code in same) == [2] + [4] * 7
    assert {code // 100 for code in different} == {2}
    document = packument(registry, "race")
    assert set(document["versions"]) == {"1.0.0", *(f"2.0.{n}" for n in range(8))}
    winner = next(code for code in range(8) if same[code] < 300)
    assert document["versions"]["1.0.0"]["description"] == "abcdefgh"[winner]


MANIFEST = {"name": "refused", "version": "1.0.0"}
HONEST = npm_body(MANIFEST)


def changed(*path_and_value: Any) -> dict[str, Any]:
    """The honest document with the value at one path replaced."""
    *path, last, value = path_and_value
    document = copy.deepcopy(HONEST)
    place: Any = document
    for key in path:
        place = place[key]
    place[last] = value
    return document


def with_two_versions() -> dict[str, Any]:
    document = copy.deepcopy(HONEST)
    document["versions"]["2.0.0"] = {**document["versions"]["1.0.0"], "version": "2.0.0"}
    return document


def with_tarball(packed: bytes) -> dict[str, Any]:
    return npm_body(MANIFEST, packed)


FILE = ("_attachments", "refused-1.0.0.tgz")
OF = ("versions", "1.0.0", "dist")
DOCUMENTS = {
    "a wrong shasum": changed(*OF, "shasum", "0" * 40),
    "a wrong integrity": changed(*OF, "integrity", dist(b"other")["integrity"]),
    "a wrong length": changed(*FILE, "length", 7),
    "no base64": changed(*FILE, "data", "%%%"),
    "base64 cut short": changed(*FILE, "data", HONEST["_attachments"][FILE[1]]["data"][:-3]),
    "no data": changed(*FILE, "data", ""),
    "data that is no text": changed(*FILE, "data", 7),
    "another id": changed("_id", "other"),
    "another name inside": changed("versions", "1.0.0", "name", "other"),
    "another version inside": changed("versions", "1.0.0", "version", "2.0.0"),
    "two versions": with_two_versions(),
    "no version": changed("versions", {}),
    "versions that are a list": changed("versions", []),
    "no attachment": changed("_attachments", {}),
    "a tag of another version": changed("dist-tags", {"latest": "2.0.0"}),
    "a tag like a range": changed("dist-tags", {"1.x": "1.0.0"}),
    "a tag like a version": changed("dist-tags", {"1.0.0": "1.0.0"}),
    "a tag of spaces": changed("dist-tags", {" ": "1.0.0"}),
    "a version that is no semver": npm_body({"name": "refused", "version": "1.0"}),
    "a tarball of another name": with_tarball(tarball({**MANIFEST, "name": "other"})),
    "a tarball of another version": with_tarball(tarball({**MANIFEST, "version": "2.0.0"})),
    "a tarball without package.json": with_tarball(tar_gz({"package/index.js": b""})),
    "a tarball with a broken package.json": with_tarball(tar_gz({"package/package.json": b"{"})),
    "no tarball at all": with_tarball(b"refused"),
    "a tarball cut short": with_tarball(tarball(MANIFEST)[:-9]),
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_that_disagrees_with_itself_is_refused_and_leaves_nothing(
    registry: RunningRegistry, document: dict[str, Any]
) -> None:
    answer = registry.http.put("/npm/refused", json=document, headers=registry.token())
    refusal(answer)
    for path in ("refused", "refused/-/refused-1.0.0.tgz", "-/package/refused/dist-tags"):
        assert registry.http.get(f"/npm/{path}").status_code == 404, path
    found = registry.http.get("/npm/-/v1/search?text=refused").json()
    assert found["objects"] == []


def test_the_document_that_the_above_were_made_from_is_accepted(registry: RunningRegistry) -> None:
    body = npm_body({"name": "accepted", "version": "1.0.0"})
    assert put_package(registry, body).status_code in {200, 201}
    other = registry.http.put("/npm/other-url", json=body, headers=registry.token())
    refusal(other)


NAMES = ["UpperCase", "a" * 215, "node_modules", "favicon.ico", ".dot", "_under", "@a/.b",
         "sp ace", "t~ilde", "@Upper/x", "-dash"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_impossible_name_is_refused(registry: RunningRegistry, name: str) -> None:
    refusal(put_package(registry, npm_body({"name": name, "version": "1.0.0"})))
    assert registry.http.get(f"/npm/{quote(name, safe='@')}").status_code in {400, 404}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_document_is_refused(registry: RunningRegistry, body: bytes) -> None:
    headers = {**registry.token(), "Content-Type": "application/json"}
    refusal(registry.http.put("/npm/refused", content=body, headers=headers))


@EACH
def test_a_tag_leaves_latest_alone_but_the_first_version_is_latest_too(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path, command: str
) -> None:
    client = client_as(command, "alice")
    name = f"beta-{command}"
    folder = npm_project(tmp_path / "one", {"name": name, "version": "1.0.0-beta.1"})
    publish(client, folder, "--tag", "beta")
    assert packument(registry, name)["dist-tags"] == {
        "beta": "1.0.0-beta.1", "latest": "1.0.0-beta.1",
    }  # fmt: skip
    published(registry, name, "1.0.0")
    folder = npm_project(tmp_path / "two", {"name": name, "version": "1.1.0-beta.1"})
    publish(client, folder, "--tag", "beta")
    assert packument(registry, name)["dist-tags"] == {"beta": "1.1.0-beta.1", "latest": "1.0.0"}


def test_a_body_over_the_limit_is_refused_and_the_server_lives(
    start_registry: Callable[..., RunningRegistry],
) -> None:
    registry = start_registry(max_npm_body_bytes=1024 * 1024)
    noise = {"noise.bin": base64.b64encode(bytes(range(256)) * 8192)}
    manifest = {"name": "large", "version": "1.0.0"}
    body = npm_body(manifest, tarball(manifest))
    body["_attachments"]["large-1.0.0.tgz"]["data"] = noise["noise.bin"].decode()
    answer = put_package(registry, body)
    assert answer.status_code == 413
    refusal(answer)
    text = json.dumps(body).encode()
    streamed = registry.http.put(
        "/npm/large", content=iter([text[:9999], text[9999:]]), headers=registry.token()
    )
    assert streamed.status_code == 413
    published(registry, "large", "1.0.0")


def test_a_bad_token_and_a_missing_right_are_told_apart(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    published(registry, "rights", "1.0.0")
    folder = npm_project(tmp_path / "p", {"name": "rights", "version": "1.0.1"})
    stranger = client_as("npm", "bob")
    said = publish(stranger, folder, fails=True).text
    assert "E403" in said
    assert "`rights`" in said
    invalid = client_as("npm", "alice")
    text = invalid.npmrc.read_text().replace(registry.tokens["alice"], "plk_" + "x" * 40)
    invalid.npmrc.write_text(text)
    said = publish(invalid, folder, fails=True).text
    assert "E401" in said
    assert "token" in said
    anonymous = registry.http.put(
        "/npm/rights", json=npm_body({"name": "rights", "version": "2.0.0"})
    )
    assert anonymous.status_code == 401
    refusal(anonymous)
    assert set(packument(registry, "rights")["versions"]) == {"1.0.0"}


def test_a_second_attachment_with_provenance_is_no_error_of_the_server(
    registry: RunningRegistry,
) -> None:
    body = npm_body({"name": "provenance", "version": "1.0.0"})
    bundle = json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"})
    body["_attachments"]["provenance-1.0.0.sigstore"] = {
        "content_type": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "data": bundle,
        "length": len(bundle),
    }
    answer = put_package(registry, body)
    if answer.status_code >= 300:
        refusal(answer)
    else:
        assert packument(registry, "provenance")["versions"]["1.0.0"]["dist"]["integrity"]


URLS = {"a-word": "x", "empty": "", "foreign": "https://registry.example.com/evil.tgz", "number": 7,
        "null": None}  # fmt: skip


@pytest.mark.parametrize("kind", URLS)
def test_the_tarball_url_of_the_body_changes_nothing(
    registry: RunningRegistry, npm: NpmClient, tmp_path: Path, kind: str
) -> None:
    name = f"url-{kind}"
    body = npm_body({"name": name, "version": "1.0.0"})
    body["versions"]["1.0.0"]["dist"]["tarball"] = URLS[kind]
    answer = put_package(registry, body)
    assert answer.status_code in {200, 201}, answer.text
    of = packument(registry, name)["versions"]["1.0.0"]["dist"]
    assert of["tarball"] == f"{registry.npm}{name}/-/{name}-1.0.0.tgz"
    app = npm_project(tmp_path / "app", {"name": "app", "version": "1.0.0"})
    npm("install", name, cwd=app)
    assert (app / "node_modules" / name / "index.js").exists()
