"""What cargo asks of the sparse index and of downloads, and what it makes of the answers.

Source: https://doc.rust-lang.org/cargo/reference/registry-index.html
"""

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cargo_client import Cargo, consumer, published
from running_registry import RunningRegistry

pytestmark = pytest.mark.client

INDEX = "/cargo/index/"


def index_path(name: str) -> str:
    lower = name.lower()
    folders = {1: "1", 2: "2", 3: f"3/{lower[0]}"}
    return f"{INDEX}{folders.get(len(lower), f'{lower[:2]}/{lower[2:4]}')}/{lower}"


def newest(lines: str) -> dict[str, object]:
    entry: dict[str, object] = json.loads(lines.splitlines()[-1])
    return entry


def needs(folder: Path, name: str, requirement: str = "1") -> Path:
    line = f'{name} = {{ version = "{requirement}", registry = "ledger" }}\n'
    return consumer(folder, line)


def test_a_fetch_asks_for_the_configuration_one_index_file_and_one_download(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    published(registry, "foo", "1.0.0")
    project = needs(tmp_path / "app", "foo")
    registry.tap.clear()
    cargo("fetch", cwd=project)
    assert registry.tap.said() == [
        "GET /cargo/index/config.json 200",
        "GET /cargo/index/3/f/foo 200",
        "GET /cargo/crates/foo/1.0.0/download 200",
    ]
    line = newest(registry.http.get(index_path("foo")).text)
    lock = (project / "Cargo.lock").read_text()
    assert f'source = "{registry.index}"\nchecksum = "{line["cksum"]}"' in lock
    with registry.tap.listening():
        cargo("check", cwd=project)
        assert registry.tap.said() == []


def test_an_update_revalidates_and_sees_each_change(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    published(registry, "moving", "1.0.0")
    project = needs(tmp_path / "app", "moving")
    path = index_path("moving")
    cargo("fetch", cwd=project)
    tags = [registry.http.get(path).headers["ETag"]]
    with registry.tap.listening() as exchanges:
        cargo("update", cwd=project)
        assert registry.tap.said() == [f"GET {INDEX}config.json 200", f"GET {path} 304"]
        assert exchanges[1].headers["if-none-match"] == tags[0]

    published(registry, "moving", "1.0.1")
    for change in ("publish", "yank", "unyank"):
        if change != "publish":
            undo = ["--undo"] if change == "unyank" else []
            cargo("yank", "moving@1.0.0", *undo, "--registry", "ledger", cwd=project)
        with registry.tap.listening() as exchanges:
            cargo("update", cwd=project)
            assert registry.tap.said(path) == [f"GET {path} 200"], change
            tags.append(exchanges[1].answer_headers["etag"])
    assert len({*tags[:3]}) == 3
    assert tags[3] == tags[1], "the same document has the same tag"


def test_validators_compare_weakly_and_only_when_given(registry: RunningRegistry) -> None:
    published(registry, "tagged", "1.0.0")
    path = index_path("tagged")
    tag = registry.http.get(path).headers["ETag"]
    strong = tag.removeprefix("W/")
    for validator in (tag, strong, f"W/{strong}", f'"other", {tag}'):
        answer = registry.http.get(path, headers={"If-None-Match": validator})
        assert (answer.status_code, answer.content) == (304, b""), validator
    for headers in ({"If-None-Match": 'W/"bogus"'}, {}, {"If-Modified-Since": "nonsense"}):
        assert registry.http.get(path, headers=headers).status_code == 200, headers


def test_names_of_every_length_are_found_where_cargo_looks_and_build(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    names = {"q": "1/q", "qq": "2/qq", "qqq": "3/q/qqq", "qqqq": "qq/qq/qqqq"}
    names["ABcD_e"] = "ab/cd/abcd_e"
    for name in names:
        published(registry, name, "1.0.0")
    lines = [f'{name} = {{ version = "1", registry = "ledger" }}\n' for name in names]
    project = consumer(tmp_path / "app", "".join(lines))
    registry.tap.clear()
    cargo("check", cwd=project)
    asked = {one.path.removeprefix(INDEX) for one in registry.tap.exchanges if INDEX in one.path}
    assert asked == {"config.json", *names.values()}


def test_an_unknown_crate_is_not_found_and_cargo_says_so(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    assert registry.http.get(index_path("nowhere")).status_code == 404
    said = cargo("fetch", cwd=needs(tmp_path / "app", "nowhere"), fails=True).text
    assert "no matching package named `nowhere` found" in said


def test_a_hyphen_for_an_underscore_is_a_hint_to_fetch_and_a_translation_to_add(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    published(registry, "under_score", "1.0.0")
    assert registry.http.get(index_path("under-score")).status_code == 404
    said = cargo("fetch", cwd=needs(tmp_path / "app", "under-score"), fails=True).text
    assert re.search(r"(perhaps you meant|similar names):\s+under_score", said)
    project = consumer(tmp_path / "other", "")
    said = cargo("add", "under-score", "--registry", "ledger", cwd=project).text
    assert "translating" in said


def test_index_files_are_compressed_for_those_who_ask_with_gzip_only(
    registry: RunningRegistry,
) -> None:
    for minor in range(20):
        published(registry, "packed", f"1.{minor}.0")
    path = index_path("packed")
    plain = registry.http.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    # Cargo's own list, and one of a client that could take more.
    for accepted in ("deflate, gzip", "br, zstd, gzip"):
        with registry.http.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "accept-encoding" in answer.headers["Vary"].lower()
        assert answer.headers["ETag"] == plain.headers["ETag"]
        assert gzip.decompress(raw) == plain.content
        assert len(raw) < len(plain.content)
    only_modern = registry.http.get(path, headers={"Accept-Encoding": "br, zstd"})
    assert "Content-Encoding" not in only_modern.headers


def test_a_download_is_the_exact_bytes_with_their_length_and_no_encoding(
    registry: RunningRegistry,
) -> None:
    published(registry, "exact", "1.0.0")
    line = newest(registry.http.get(index_path("exact")).text)
    answer = registry.http.get("/cargo/crates/exact/1.0.0/download")
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert hashlib.sha256(answer.content).hexdigest() == line["cksum"]
    assert registry.http.get("/cargo/crates/exact/9.9.9/download").status_code == 404
    assert registry.http.get("/cargo/crates/nowhere/1.0.0/download").status_code == 404


def test_an_offer_to_upgrade_to_http2_is_ignored(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    published(registry, "upgrade", "1.0.0")
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA",
    }
    for path in (f"{INDEX}config.json", index_path("upgrade")):
        assert registry.http.get(path, headers=offer).status_code == 200
    registry.tap.clear()
    cargo("fetch", cwd=needs(tmp_path / "app", "upgrade"))
    offered = [one for one in registry.tap.exchanges if one.headers.get("upgrade") == "h2c"]
    assert offered, "this cargo no longer offers h2c: the check above is then all that is left"
    assert {one.status for one in offered} == {200}


def test_every_line_has_the_forms_that_cargo_insists_on(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    published(registry, "strict", "1.0.0", '[features]\na = []\nb = ["a"]\n')
    line = newest(registry.http.get(index_path("strict")).text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(line["pubtime"]))
    assert re.fullmatch(r"[0-9a-f]{64}", str(line["cksum"]))
    assert (line["name"], line["vers"], line["deps"], line["yanked"]) == (
        "strict", "1.0.0", [], False,
    )  # fmt: skip
    said = cargo("info", "strict", "--registry", "ledger", cwd=tmp_path).text
    assert "version: 1.0.0" in said


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/cargo/api/v1/nothing/here"),
        ("DELETE", "/cargo/api/v1/crates/nowhere/1.0.0/yank"),
        ("PUT", "/cargo/api/v1/crates/nowhere/1.0.0/unyank"),
        ("GET", "/cargo/api/v1/crates/nowhere/owners"),
        ("POST", "/cargo/api/v1/crates/new"),
    ],
)
def test_every_api_error_is_an_errors_object(
    registry: RunningRegistry, method: str, path: str
) -> None:
    answer = registry.http.request(method, path, headers=registry.token())
    assert 400 <= answer.status_code < 500
    (error, *_) = answer.json()["errors"]
    assert error["detail"]


def test_no_success_body_has_a_key_errors(registry: RunningRegistry) -> None:
    published(registry, "polite", "1.0.0")
    api = "/cargo/api/v1/crates"
    requests: list[tuple[str, str, object]] = [
        ("DELETE", f"{api}/polite/1.0.0/yank", None),
        ("PUT", f"{api}/polite/1.0.0/unyank", None),
        ("GET", f"{api}/polite/owners", None),
        ("PUT", f"{api}/polite/owners", {"users": ["bob"]}),
        ("DELETE", f"{api}/polite/owners", {"users": ["bob"]}),
        ("GET", f"{api}?q=polite", None),
    ]
    for method, path, body in requests:
        answer = registry.http.request(method, path, json=body, headers=registry.token())
        assert answer.status_code == 200, answer.text
        assert "errors" not in answer.json(), path


def test_a_client_with_the_old_configuration_can_still_download(
    start_registry: Callable[..., RunningRegistry], cargo_target: Path, tmp_path: Path
) -> None:
    registry = start_registry()
    published(registry, "stays", "1.0.0")
    cargo = Cargo(tmp_path / "home", registry, cargo_target)
    project = needs(tmp_path / "app", "stays")
    cargo("fetch", cwd=project)
    registry.stop()
    moved = f"http://127.0.0.1:{registry.port}"
    registry.env["PACKLEDGER_PUBLIC_URL"] = moved
    registry.start()
    assert httpx.get(f"{moved}/cargo/index/config.json").json()["dl"].startswith(moved)
    for cached in ("cache", "src"):
        shutil.rmtree(cargo.home / "registry" / cached)
    registry.tap.clear()
    cargo("fetch", "--locked", cwd=project)
    assert registry.tap.said() == ["GET /cargo/crates/stays/1.0.0/download 200"]
