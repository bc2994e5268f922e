"""Packages that are legal and still meant to hurt are stored, and harm nobody who reads them."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from npm_client import NpmClient
from target import Target
from uploads import new_crate, npm_body, tar_gz, tarball

pytestmark = pytest.mark.client


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"x": [value]}
    return value


SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"`${x}{{7*7}}"
ODD = "\u202e\u0000\ufeff\u2028\ud7ff\U0001f4a9 a\u0301 \r\n\t\x1b[31mred\x07"
MANIFESTS: dict[str, dict[str, Any]] = {
    "deep": {"x-config": nested(25)},
    "keywords": {"keywords": [f"keyword-{number}" for number in range(5_000)]},
    "long-keyword": {"keywords": ["k" * 100_000]},
    "description": {"description": "d" * 300_000},
    "script": {"description": SCRIPT, "keywords": [SCRIPT], "license": SCRIPT, "author": SCRIPT},
    "odd": {"description": ODD, "keywords": [ODD], "author": {"name": ODD, "email": ODD}},
    "prototype": {"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}},
    "prototype-dependencies": {"x-map": {"__proto__": "1", "toString": "1", "hasOwnProperty": 1}},
    "numbers": {"x-numbers": [1e308, -1e308, 5e-324, 2**53 + 1, 10**300, -0.0]},
    "links": {
        "homepage": "javascript:alert(1)",
        "repository": {"type": "git", "url": "file:///etc/passwd"},
        "bugs": {"url": "data:text/html,<script>alert(1)</script>"},
        "funding": "vbscript:x",
    },
    "types": {"keywords": "one", "license": [{"type": "MIT"}], "main": ["x"], "files": {}},
    "search": {"description": 'NEAR("a" *) AND OR NOT ^"', "keywords": ["a*", '"', "OR", "-"]},
    "scripts": {"scripts": {f"s{number}": "x" for number in range(3_000)}},
    "readme": {"readme": "[x](javascript:alert(1))" * 1_000, "readmeFilename": "../../x"},
}
READ_AS = ("application/vnd.npm.install-v1+json", "application/json", "text/html")


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_hostile_manifest_is_served_to_npm(target: Target, tmp_path: Path, what: str) -> None:
    name = f"hostile-{what}"
    manifest = {"name": name, "version": "1.0.0"}
    packed = tarball({**manifest, **MANIFESTS[what]}, **{"README.md": SCRIPT.encode() * 100})
    with httpx.Client(base_url=target.direct, timeout=30) as http:
        answer = http.put(f"/npm/{name}", json=npm_body(manifest, packed), headers=target.token())
        assert answer.status_code == 201, answer.text
        for path in (
            f"/npm/{name}",
            f"/npm/{name}/latest",
            f"/npm/-/v1/search?text={name}",
            f"/npm/-/v1/search?text=keywords:{name}",
            f"/packages/{name}",
            f"/search?q={name}",
            "/",
        ):
            for accept in READ_AS:
                answer = http.get(path, headers={"accept": accept})
                assert answer.status_code in {200, 404}, (path, answer.text)
                html = answer.headers["content-type"].startswith("text/html")
                assert not html or b"<script>alert" not in answer.content
                assert not html or b"javascript:" not in answer.content.replace(b" ", b"")
        packument = http.get(f"/npm/{name}").json()
        assert packument["versions"]["1.0.0"]["name"] == name
    if what in {"deep", "prototype", "odd", "numbers"}:
        npm = NpmClient("npm", tmp_path / "home", target, "alice")
        assert json.loads(npm("view", name, "--json").stdout)
        project = tmp_path / "project"
        project.mkdir()
        (project / "package.json").write_text('{"name":"p","version":"1.0.0"}')
        npm("install", name, "--no-audit", "--no-fund", "--ignore-scripts", cwd=project)
        assert (project / "node_modules" / name / "index.js").exists()


RAW = {
    "latin": b"caf\xe9",
    "halves": b"\\ud83d \\ude00 \\udfff\\ud800",
    "encoded-halves": b"\xed\xa0\xbd",
    "cut": b"\xf0\x9f\x92",
}


@pytest.mark.parametrize("what", RAW)
def test_texts_that_are_no_utf8_are_served_as_npm_reads_them(
    target: Target, tmp_path: Path, what: str
) -> None:
    """In package.json, the README, the publish body and a message of deprecation."""
    name = f"raw-{what}"
    head = b'{"name":"%s","version":"1.0.0"' % name.encode()
    odd = b"pre " + RAW[what]
    fields = b"".join(b',"%s":"%s"' % (key, odd) for key in (b"description", b"license", b"x"))
    packed = tar_gz(
        {
            "package/package.json": head + fields + b',"keywords":["%s"]}' % odd,
            "package/README.md": b"# " + odd,
        }
    )
    body = json.dumps(npm_body({"name": name, "version": "1.0.0"}, packed)).encode()
    body = body.replace(b'"access"', b'"readme":"' + odd + b'","access"')
    with httpx.Client(base_url=target.direct, timeout=30) as http:
        answer = http.put(f"/npm/{name}", content=body, headers=target.token())
        assert answer.status_code == 201, answer.text
        edit = b'{"_id":"%s","name":"%s","versions":{"1.0.0":{"deprecated":"' % (
            (name.encode(),) * 2
        )
        answer = http.put(f"/npm/{name}", content=edit + odd + b'"}}}', headers=target.token())
        assert answer.is_success, answer.text
        for path in (f"/npm/{name}", f"/npm/{name}/latest", f"/packages/{name}", "/"):
            for accept in READ_AS:
                assert http.get(path, headers={"accept": accept}).status_code in {200, 404}
        assert http.get(f"/npm/-/v1/search?text={name}").status_code == 200
        version = http.get(f"/npm/{name}").json()["versions"]["1.0.0"]
    assert version["description"].startswith("pre ")
    assert "\ufffd" in version["description"]
    assert version["deprecated"] == version["description"]
    npm = NpmClient("npm", tmp_path / "home", target, "alice")
    shown = json.loads(npm("view", name, "--json").stdout)
    assert version["description"] in json.dumps(shown, ensure_ascii=False)


HOSTILE_CRATES = {
    "keywords": ('keywords = ["a", "b-c", "d_e"]\n', ""),
    "script": (f"description = {json.dumps(SCRIPT)}\nlicense = {json.dumps(SCRIPT)}\n", ""),
    "odd": ('description = "\\u202E\\uFEFF\\U0001F4A9 a\\u0301"\n', ""),
    "deep": ("", "[package.metadata.x]\ny = " + "[" * 60 + "]" * 60 + "\n"),
    "features": ("", "[features]\n" + "".join(f"f{n} = []\n" for n in range(250))),
    "links": ('homepage = "javascript:alert(1)"\nrepository = "file:///etc/passwd"\n', ""),
}


@pytest.mark.parametrize("what", HOSTILE_CRATES)
def test_a_hostile_crate_manifest_is_served_or_refused(target: Target, what: str) -> None:
    name = f"hostile-{what}"
    package, manifest = HOSTILE_CRATES[what]
    body = new_crate(name, "1.0.0", manifest, package=package, **{"README.md": SCRIPT.encode()})
    with httpx.Client(base_url=target.direct, timeout=30) as http:
        answer = http.put("/cargo/api/v1/crates/new", content=body, headers=target.token())
        assert answer.status_code in {200, 400}, answer.text
        for path in (
            f"/cargo/index/ho/st/{name}",
            f"/cargo/api/v1/crates?q={name}",
            f"/crates/{name}",
            f"/search?q={name}",
            "/",
        ):
            answer = http.get(path, headers={"accept": "text/html"})
            assert answer.status_code in {200, 404}, (path, answer.text)
            html = answer.headers["content-type"].startswith("text/html")
            assert not html or b"<script>alert" not in answer.content


def test_a_manifest_too_deep_for_clients_is_refused_or_served(target: Target) -> None:
    """Neither our parser's recursion nor npm's decides: a limit with a sentence does."""
    manifest = {"name": "too-deep", "version": "1.0.0"}
    for depth in (100, 900, 5_000, 200_000):
        text = json.dumps(manifest)[:-1] + ',"x":' + "[" * depth + "]" * depth + "}"
        packed = tar_gz({"package/package.json": text.encode()})
        with httpx.Client(base_url=target.direct, timeout=30) as http:
            body = npm_body({**manifest, "version": f"1.0.{depth}"}, packed)
            body["versions"][f"1.0.{depth}"]["version"] = f"1.0.{depth}"
            answer = http.put("/npm/too-deep", json=body, headers=target.token())
            assert answer.status_code in {201, 400, 413}, answer.text
            assert http.get("/npm/too-deep").status_code in {200, 404}
            assert http.get("/npm/victim").status_code == 200
