"""Versions to publish, how to publish them with plain requests, and how to read them back.

Everything here can be imported by a fresh process.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from uploads import crate, crate_body, npm_body, tarball

ABBREVIATED = "application/vnd.npm.install-v1+json"
SAID_YES = {200, 201}


@dataclass(frozen=True)
class Publication:
    """One version as it is uploaded. body: of the request; packed: the file that must come back."""

    ecosystem: str
    name: str
    version: str
    body: bytes
    packed: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        return self.ecosystem, self.name, self.version

    @property
    def path(self) -> str:
        return "/cargo/api/v1/crates/new" if self.ecosystem == "cargo" else f"/npm/{self.name}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.packed).hexdigest()

    @property
    def integrity(self) -> str:
        return "sha512-" + base64.b64encode(hashlib.sha512(self.packed).digest()).decode()

    def put(self, http: httpx.Client, token: str) -> httpx.Response:
        return http.put(self.path, content=self.body, headers=bearer(token))


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def cargo_publication(name: str, version: str, filling: bytes = b"") -> Publication:
    packed = crate(name, version, **{"src/filling.bin": filling})
    metadata = {"name": name, "vers": version}
    return Publication("cargo", name, version, crate_body(metadata, packed), packed)


def npm_publication(
    name: str, version: str, filling: bytes = b"", tag: str = "latest"
) -> Publication:
    manifest = {"name": name, "version": version}
    packed = tarball(manifest, **{"filling.bin": filling})
    body = json.dumps(npm_body(manifest, packed, tag)).encode()
    return Publication("npm", name, version, body, packed)


def publication(ecosystem: str, name: str, version: str, filling: bytes = b"") -> Publication:
    make = cargo_publication if ecosystem == "cargo" else npm_publication
    return make(name, version, filling)


def index_path(name: str) -> str:
    """Of names with four letters or more."""
    assert len(name) >= 4
    return f"/cargo/index/{name[:2]}/{name[2:4]}/{name}"


def sentence_of(ecosystem: str, answer: httpx.Response) -> str:
    """What a client prints of a refusal; fails when it is not in the client's own format."""
    assert answer.headers["content-type"] == "application/json", answer.text
    body = answer.json()
    said = body["errors"][0]["detail"] if ecosystem == "cargo" else body["error"]
    assert isinstance(said, str), said
    assert len(said) > 20, f"no sentence: {said!r}"
    return said


def crate_lines(http: httpx.Client, name: str) -> dict[str, dict[str, Any]]:
    """Index lines by version; empty for an unknown crate, and never a version twice."""
    answer = http.get(index_path(name))
    if answer.status_code == 404:
        return {}
    assert answer.status_code == 200, f"{name}: {answer.status_code} {answer.text}"
    assert answer.content.endswith(b"\n")
    lines = [json.loads(line) for line in answer.content.splitlines()]
    by_version = {line["vers"]: line for line in lines}
    assert len(by_version) == len(lines), f"{name} lists a version twice"
    return by_version


def packument(http: httpx.Client, name: str, form: str = "application/json") -> dict[str, Any]:
    """A packument; empty for an unknown package."""
    answer = http.get(f"/npm/{name}", headers={"accept": form})
    if answer.status_code == 404:
        return {}
    assert answer.status_code == 200, f"{name}: {answer.status_code} {answer.text}"
    document: dict[str, Any] = answer.json()
    return document


def versions_shown(http: httpx.Client, ecosystem: str, name: str) -> set[str]:
    if ecosystem == "cargo":
        return set(crate_lines(http, name))
    full = packument(http, name)
    abbreviated = packument(http, name, ABBREVIATED)
    assert set(full.get("versions", {})) == set(abbreviated.get("versions", {}))
    return set(full.get("versions", {}))


def check_served(http: httpx.Client, name: str, expected: Iterable[Publication]) -> None:
    """Require that versions of one name are served whole, with the bytes that were uploaded."""
    expected = list(expected)
    if expected[0].ecosystem == "cargo":
        lines = crate_lines(http, name)
        for one in expected:
            assert lines[one.version]["cksum"] == one.sha256, one.key
            got = http.get(f"/cargo/crates/{name}/{one.version}/download")
            assert got.status_code == 200, f"{one.key}: {got.status_code}"
            assert got.content == one.packed, one.key
        return
    for form in ("application/json", ABBREVIATED):
        versions = packument(http, name, form)["versions"]
        for one in expected:
            assert versions[one.version]["dist"]["integrity"] == one.integrity, one.key
    for one in expected:
        got = http.get(f"/npm/{name}/-/{name}-{one.version}.tgz")
        assert got.status_code == 200, f"{one.key}: {got.status_code}"
        assert got.content == one.packed, one.key


def check_whole(http: httpx.Client, known: Iterable[Publication]) -> set[tuple[str, str, str]]:
    """Require that all that is visible of these names was attempted and is whole; return it."""
    names: dict[tuple[str, str], dict[str, Publication]] = {}
    for one in known:
        names.setdefault((one.ecosystem, one.name), {})[one.version] = one
    visible = set()
    for (ecosystem, name), attempted in names.items():
        shown = versions_shown(http, ecosystem, name)
        assert shown <= set(attempted), f"{name} shows {shown - set(attempted)}: never uploaded"
        if shown:
            check_served(http, name, [attempted[version] for version in shown])
        visible |= {(ecosystem, name, version) for version in shown}
    return visible
