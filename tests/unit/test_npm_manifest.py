import json
from typing import Any

import msgspec
import pytest

from packledger.domain.errors import Invalid
from packledger.domain.npm.manifest import (
    MAX_MANIFEST_BYTES,
    ArchiveFacts,
    check_manifest,
    normalise_package_json,
)
from packledger.projections.pages.form import npm_details, read_npm

NOTHING = ArchiveFacts()


def normalised(fields: dict[str, Any], facts: ArchiveFacts = NOTHING, **client: str) -> Any:
    package_json = json.dumps({"name": "@s/probe", "version": "1.0.0", **fields}).encode()
    return json.loads(normalise_package_json(package_json, facts, client).json)


def test_a_manifest_is_what_npm_publish_sends() -> None:
    """The expectation was captured from npm 11.19."""
    written = {
        "name": "@s/probe", "version": "v2.0.0", "description": "d", "bin": "./bin/x.js",
        "repository": "github:a/b", "bugs": "https://x.example/b",
        "author": "A B <a@b.c> (http://h)", "contributors": ["C <c@d.e>"], "keywords": "a, b",
        "license": "MIT", "gypfile": False, "_foo": 1, "_id": "hm",
        "scripts": {"install": "echo", "bad": 1, "test": "node_modules/.bin/x"},
        "bundledDependencies": ["q"], "funding": "http://f", "man": "./m.1",
        "directories": {"man": "m"}, "dependencies": {"q": "github:u/q", "w": "^1"},
        "optionalDependencies": {"w": "^1"}, "homepage": "x.example", "readme": "own",
        "dist": {"shasum": "no", "tarball": "x"}, "deprecated": "no", "maintainers": ["x"],
    }  # fmt: skip
    assert normalised(written, ArchiveFacts(has_gyp=True)) == {
        "name": "@s/probe", "version": "2.0.0", "description": "d", "bin": {"probe": "bin/x.js"},
        "repository": {"type": "git", "url": "git+https://github.com/a/b.git"},
        "bugs": {"url": "https://x.example/b"},
        "author": {"name": "A B", "email": "a@b.c", "url": "http://h"},
        "contributors": [{"name": "C", "email": "c@d.e"}], "keywords": ["a", "b"],
        "license": "MIT", "gypfile": False, "scripts": {"install": "echo", "test": "x"},
        "bundleDependencies": ["q"], "funding": "http://f", "man": ["m.1"],
        "directories": {"man": "m"}, "dependencies": {"q": "github:u/q", "w": "^1"},
        "optionalDependencies": {"w": "^1"}, "homepage": "http://x.example",
        "_id": "@s/probe@2.0.0", "hasInstallScript": True,
    }  # fmt: skip


def test_the_keys_of_package_json_keep_their_order() -> None:
    manifest = normalise_package_json(b'{"z":1,"version":"1.0.0","a":2,"name":"n"}', NOTHING)
    assert manifest.json == b'{"z":1,"version":"1.0.0","a":2,"name":"n","_id":"n@1.0.0"}'


def test_a_byte_order_mark_is_passed_over() -> None:
    manifest = normalise_package_json(b'\xef\xbb\xbf{"name":"n","version":"1.0.0"}', NOTHING)
    assert (manifest.name, manifest.version) == ("n", "1.0.0")


def test_a_gyp_file_means_an_install_script() -> None:
    fields = normalised({}, ArchiveFacts(has_gyp=True))
    assert fields["scripts"] == {"install": "node-gyp rebuild"}
    assert fields["gypfile"] is True
    assert fields["hasInstallScript"] is True


@pytest.mark.parametrize("script", ["preinstall", "install", "postinstall"])
def test_an_install_script_is_announced(script: str) -> None:
    assert normalised({"scripts": {script: "x"}})["hasInstallScript"] is True


def test_a_package_without_one_is_not_believed() -> None:
    assert "hasInstallScript" not in normalised(
        {"hasInstallScript": True, "scripts": {"test": "x"}}
    )


def test_a_shrinkwrap_is_announced_by_its_file_only() -> None:
    assert normalised({}, ArchiveFacts(has_shrinkwrap=True))["_hasShrinkwrap"] is True
    assert "_hasShrinkwrap" not in normalised({"_hasShrinkwrap": True})


def test_the_client_adds_its_versions_and_no_more() -> None:
    fields = normalised({}, _npmVersion="11", gitHead="a" * 200, bin="x", _npmUser="mallory")
    assert fields["_npmVersion"] == "11"
    assert len(fields["gitHead"]) == 100
    assert "bin" not in fields
    assert "_npmUser" not in fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", 1), ("dependencies", None), ("dependencies", 5), ("engines", ["node"]),
        ("bin", 5), ("bin", {}), ("bin", {"../..": "x"}), ("bin", {"a": "/"}), ("os", {}),
        ("keywords", {"a": 1}), ("author", 5), ("author", ""), ("bugs", []), ("bugs", {"url": 1}),
        ("repository", 1), ("repository", ""), ("license", None), ("license", [[["MIT"]]]),
        ("scripts", "x"), ("man", [1]), ("funding", {"url": 1}), ("homepage", 1), ("files", "") ,
        ("bundleDependencies", False), ("peerDependenciesMeta", []), ("directories", "x"),
    ],
)  # fmt: skip
def test_a_field_of_a_wrong_type_is_dropped(field: str, value: object) -> None:
    assert field not in normalised({field: value})


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("dependencies", {"a": "1", "b": 2, "__proto__": "3"}, {"a": "1"}),
        ("dependencies", [], {}),
        ("os", "linux", ["linux"]),
        ("os", ["linux", 1, ""], ["linux"]),
        ("bin", ["./a/b.js"], {"b.js": "a/b.js"}),
        ("bin", {"../../x": "../../../etc/passwd"}, {"x": "etc/passwd"}),
        ("bundleDependencies", {"a": 1}, ["a"]),
        ("peerDependenciesMeta", {"a": {"optional": 1}, "b": 5, "c": {"optional": True}},
         {"a": {}, "c": {"optional": True}}),
        ("bugs", "a@b.c", {"email": "a@b.c"}),
        ("bugs", {"web": "http://b"}, {"url": "http://b"}),
        ("license", {"type": "MIT", "url": 5}, {"type": "MIT"}),
        ("funding", [5, "http://f", {"url": "http://g"}], ["http://f", {"url": "http://g"}]),
        ("author", {"name": "A", "mail": "a@b.c"}, {"name": "A", "email": "a@b.c"}),
        ("contributors", "A (http://a) <a@b.c>", [{"name": "A", "email": "a@b.c",
                                                   "url": "http://a"}]),
        ("exports", {"./a": None}, {"./a": None}),
    ],
)  # fmt: skip
def test_a_field_is_repaired(field: str, value: object, kept: object) -> None:
    assert normalised({field: value})[field] == kept


def test_bundled_packages_become_dependencies_as_with_npm() -> None:
    fields = normalised({"bundledDependencies": ["a", "b"], "dependencies": {"a": "1"}})
    assert fields["bundleDependencies"] == ["a", "b"]
    assert fields["dependencies"] == {"a": "1", "b": "*"}
    assert normalised({"bundleDependencies": True, "dependencies": {"a": "1"}})[
        "bundleDependencies"
    ] == ["a"]


@pytest.mark.parametrize("value", [["a@1"], "a@1"])
def test_dependencies_that_would_be_lost_are_refused(value: object) -> None:
    with pytest.raises(Invalid, match=r"`dependencies` in package.json must be an object"):
        normalised({"dependencies": value})


@pytest.mark.parametrize(
    "package_json",
    [
        b"", b"[]", b"null", b"{", b'{"name":"n"}', b'{"name":"n","version":1}',
        b'{"name":5,"version":"1.0.0"}', b'{"name":"n","version":"1"}',
        b'{"name":"../n","version":"1.0.0"}', b'{"name":"n","version":"1.0.99999999999999999"}',
        b'{"name":"n","version":"1.0.0","a":NaN}', b'{"name":"n\xff","version":"1.0.0"}',
        b'{"name":"n","version":"1.0.0\\ud800"}', b'{"name":"n","version":"1.0.0","a":"\n"}',
        b'{"name":"n","version":"1.0.0","a":' + b"9" * 5000 + b"}",
        b'{"name":"n","version":"1.0.0","a":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"name":"n","version":"1.0.0","a":' + b"[" * 500_000,
        b'{"name":"n","version":"' + b" " * 1_000_000 + b'x"}',
        b'{"name":"n","version":"1.0.0","a":"' + b"a" * MAX_MANIFEST_BYTES + b'"}',
    ],
)  # fmt: skip
def test_a_package_json_is_refused(package_json: bytes) -> None:
    with pytest.raises(Invalid):
        normalise_package_json(package_json, NOTHING)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 400, b"[-" + b"9" * 5_000 + b"]"])
def test_a_number_that_json_cannot_hold_is_refused_in_words(number: bytes) -> None:
    with pytest.raises(Invalid, match="a number that is too large for JSON's readers"):
        normalise_package_json(b'{"name":"n","version":"1.0.0","x":' + number + b"}", NOTHING)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (b"caf\xe9", "caf\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\\ud83d", "\ufffd"),
        (b"\\ude00", "\ufffd"),
        (b"\\uD83D\\ud83D\\uDE00x", "\ufffd\U0001f600x"),
        (b"\\\\ud800\\ud800", "\\ud800\ufffd"),
        (b"\\ud83d\\\\ude00", "\ufffd\\ude00"),
        (b"\\ud83d\xff", "\ufffd\ufffd"),
    ],
)
def test_a_text_is_read_as_npm_reads_it(text: bytes, read: str) -> None:
    package_json = (
        b'{"name":"n","version":"1.0.0","description":"' + text + b'","k' + text + b'":1}'
    )
    stored = json.loads(normalise_package_json(package_json, NOTHING).json.decode())
    assert stored["description"] == read
    assert stored[f"k{read}"] == 1


@pytest.mark.parametrize(("name", "version"), [("other", "1.0.0"), ("n", "1.0.1")])
def test_a_request_that_disagrees_with_its_tarball_is_refused(name: str, version: str) -> None:
    manifest = normalise_package_json(b'{"name":"n","version":"v1.0.0"}', NOTHING)
    check_manifest(manifest, "n", "1.0.0")
    with pytest.raises(Invalid, match=r"the tarball's package.json says `n@1.0.0`"):
        check_manifest(manifest, name, version)


def test_a_summary_has_what_people_look_for() -> None:
    package_json = b"""{"name":"n","version":"1.0.0","description":"d","keywords":["k"],
        "license":[{"type":"MIT"},"Apache-2.0"],"author":"A <a@b.c>","homepage":"http://h",
        "repository":{"type":"git","url":"u","directory":"d"},"bugs":"http://b"}"""
    stored = msgspec.Raw(normalise_package_json(package_json, NOTHING).json)
    summary = read_npm(npm_details(stored))
    assert summary.license_text == "MIT OR Apache-2.0"
    assert (summary.description, summary.keywords) == ("d", ("k",))
    author = msgspec.json.decode(stored)["author"]
    assert (author["name"], summary.repository.url) == ("A", "u")
    assert (summary.bugs.url, summary.homepage) == ("http://b", "http://h")
