"""Search as npm and pnpm print it, and audits of a registry that knows no advisory.

Source: https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md#get-v1search
"""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from npm_client import NpmClient, npm_project, published, put_package
from npm_verbs import install
from running_registry import RunningRegistry
from uploads import npm_body

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]
BULK = "/npm/-/npm/v1/security/advisories/bulk"


@pytest.mark.parametrize("command", ["npm", "pnpm"])
def test_a_search_prints_version_date_and_publisher(
    registry: RunningRegistry, client_as: ClientAs, command: str
) -> None:
    name = f"lookup-{command}"
    published(registry, name, "1.0.0", description=f"finds {command}ish words", keywords=["k1"])
    published(registry, name, "1.1.0", description=f"finds {command}ish words", keywords=["k1"])
    published(registry, f"@acme/{name}", "2.0.0")
    said = client_as(command, "")("search", f"{command}ish").stdout
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert name in said
    assert f"Version 1.1.0 published {today} by alice" in said
    assert f"finds {command}ish words" in said
    assert "k1" in said
    assert f"@acme/{name}" in client_as(command, "")("search", f"@acme/{name}").stdout


@pytest.mark.parametrize("command", ["npm", "pnpm"])
def test_qualifiers_narrow_a_search_and_a_slip_is_forgiven(
    registry: RunningRegistry, client_as: ClientAs, command: str
) -> None:
    scope, word = f"instruments-{command}", f"gauge{command}"
    published(registry, f"@{scope}/meter", "0.1.0", keywords=[word])
    published(registry, f"manometer-{command}", "1.0.0", keywords=[word, "dial"])
    bobs = npm_body({"name": f"hygrometer-{command}", "version": "1.0.0", "keywords": [word]})
    assert put_package(registry, bobs, "bob").status_code == 201
    meter, manometer, hygrometer = f"@{scope}/meter", f"manometer-{command}", bobs["name"]

    def listed(*words: str) -> list[str]:
        said = client_as(command, "")("search", "--json", *words).stdout
        return [one["name"] for one in json.loads(said)]

    def found(*words: str) -> set[str]:
        return set(listed(*words))

    assert found(f"keywords:{word}") == {meter, manometer, hygrometer}
    assert found(f"keywords:{word},dial") == {manometer}
    assert found(f"keywords:{word},-dial") == {meter, hygrometer}
    assert found(f"scope:{scope}") == {meter}
    assert found(f"keywords:{word}", "maintainer:bob") == {hygrometer}
    assert found(f"keywords:{word}", "not:unstable") == {manometer, hygrometer}
    assert listed(f"manomteer-{command}")[0] == manometer
    assert listed(f"nothing-like-it-{command}") == []


def test_a_search_links_to_homepage_and_repository(
    registry: RunningRegistry, npm: NpmClient
) -> None:
    homepage, repository = "https://linked.example.com/", "git+https://git.example.com/linked.git"
    published(
        registry,
        "linked",
        "1.0.0",
        homepage=homepage,
        repository={"type": "git", "url": repository},
    )
    (found,) = json.loads(npm("search", "linked", "--json").stdout)
    assert found["links"] == {"homepage": homepage, "repository": repository}


def test_pages_follow_one_another_and_name_the_true_total(
    registry: RunningRegistry, npm: NpmClient
) -> None:
    names = {f"paged-{number}" for number in range(7)}
    for name in sorted(names):
        published(registry, name, "1.0.0", description="one of the paged")
    seen: list[str] = []
    for offset in range(0, 9, 3):
        query = {"text": "paged", "size": 3, "from": offset}
        page = registry.http.get("/npm/-/v1/search", params=query).json()
        assert page["total"] == 7
        found = [one["package"]["name"] for one in page["objects"]]
        assert len(found) == min(3, 7 - offset)
        seen += found
    assert len(seen) == 7
    assert set(seen) == names
    one = page["objects"][0]["package"]
    assert isinstance(one["maintainers"], list)
    assert one["publisher"]["username"] == "alice"
    limited = json.loads(npm("search", "paged", "--json", "--searchlimit=2").stdout)
    assert len(limited) == 2
    nothing = registry.http.get("/npm/-/v1/search?text=paged&size=0").json()
    assert (nothing["objects"], nothing["total"]) == ([], 7)
    assert registry.http.get("/npm/-/v1/search?text=paged&size=many").status_code == 400


@pytest.mark.parametrize("command", ["npm", "pnpm"])
def test_more_hits_than_there_are_may_be_asked_for(
    registry: RunningRegistry, client_as: ClientAs, command: str
) -> None:
    published(registry, f"plenty-{command}", "1.0.0")
    client = client_as(command, "")
    words = {"npm": ["--json", "--searchlimit=1000"], "pnpm": ["--json", "--search-limit=1000"]}
    found = json.loads(client("search", f"plenty-{command}", *words[command]).stdout)
    assert [one["name"] for one in found] == [f"plenty-{command}"]


@pytest.mark.parametrize(
    ("url", "many"),
    [
        ("/npm/-/v1/search?size=1000", "objects"),
        ("/npm/-/v1/search?size=%2B9&from=-5", "objects"),
        (f"/npm/-/v1/search?size={'9' * 30}", "objects"),
        ("/npm/-/v1/search", "objects"),
        ("/npm/-/v1/search?text=&size=&from=", "objects"),
        ("/cargo/api/v1/crates?per_page=101", "crates"),
        ("/cargo/api/v1/crates?per_page=0&page=-1", "crates"),
        ("/cargo/api/v1/crates?q=&per_page=&page=", "crates"),
    ],
)
def test_numbers_out_of_range_get_what_there_is(
    registry: RunningRegistry, url: str, many: str
) -> None:
    """A number of hits is a wish. What is no number is a mistake, and said to be one."""
    put_package(registry, npm_body({"name": "countless", "version": "1.0.0"}))
    answer = registry.http.get(url)
    assert answer.status_code == 200, answer.text
    assert bool(answer.json()[many]) is (many == "objects")
    refused = registry.http.get(f"{url.partition('?')[0]}?size=x&per_page=x")
    assert refused.status_code == 400
    assert "must be a number, not `x`" in refused.text


def test_every_audit_finds_nothing_and_says_so(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    published(registry, "audited", "1.0.0")
    manifest = {"name": "app", "version": "1.0.0", "dependencies": {"audited": "1"}}
    for command in ("npm", "pnpm", "berry", "bun"):
        client, app = client_as(command, ""), npm_project(tmp_path / command, manifest)
        install(client, app)
        registry.tap.clear()
        said = client(*(["npm"] if command == "berry" else []), "audit", cwd=app).text
        assert any(word in said.lower() for word in ("found 0", "no ", "no audit")), said
        assert registry.tap.said(BULK) == [f"POST {BULK} 200"], command


def test_an_audit_request_is_unpacked_and_judged(registry: RunningRegistry) -> None:
    body = json.dumps({"audited": ["1.0.0"]}).encode()
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    for content, headers in [(body, {}), (gzip.compress(body), packed)]:
        answer = registry.http.post(BULK, content=content, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
    for broken in (b"", b"[]", b"\x1f\x8b\x08", gzip.compress(b"{")):
        answer = registry.http.post(BULK, content=broken, headers=packed)
        assert answer.status_code == 400, broken
        assert answer.json()["error"]
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert registry.http.post(BULK, content=bomb, headers=packed).status_code == 413
    unknown = {**packed, "Content-Encoding": "br"}
    assert registry.http.post(BULK, content=body, headers=unknown).status_code in {400, 415}


@pytest.mark.parametrize("path", ["audits", "audits/quick"])
def test_the_older_audit_is_answered_in_its_own_form(registry: RunningRegistry, path: str) -> None:
    answer = registry.http.post(f"/npm/-/npm/v1/security/{path}", json={"requires": {}})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["actions"], found["advisories"]) == ([], {})
    assert set(found["metadata"]["vulnerabilities"].values()) == {0}
