"""Any package.json is normalised or refused, and what is stored suits every client."""

import json
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from packledger.domain.errors import RegistryError
from packledger.domain.npm.manifest import (
    MAX_MANIFEST_BYTES,
    ArchiveFacts,
    normalise_package_json,
)
from packledger.projections.pages.form import npm_details, read_npm

FIELDS = st.sampled_from(
    """author bin bugs bundleDependencies bundledDependencies contributors cpu dependencies
    deprecated description devDependencies directories dist engines files funding gypfile homepage
    keywords libc license main maintainers man optionalDependencies os peerDependencies
    peerDependenciesMeta readme repository scripts types _id _npmUser exports __proto__""".split()  # noqa: SIM905
)
WORDS = st.sampled_from(
    ["", "a", "url", "type", "name", "email", "web", "optional", "install", "../x", "a@b.c",
     "http://x", "[::1", "//[", "a, b", "A <b> (c)", "/", ".", "..", "C:\\x", "__proto__", "\0"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
PACKAGE_JSON = st.dictionaries(FIELDS | st.text(max_size=9), VALUES, max_size=6).map(
    lambda fields: {"name": "@s/n", "version": "v1.0.0", **fields}
)
FACTS = st.builds(ArchiveFacts, st.booleans(), st.booleans())


def all_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


EXPECTED: dict[str, Any] = {
    **dict.fromkeys(
        ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"), all_texts
    ),
    **dict.fromkeys(("bin", "engines", "directories", "scripts", "bugs", "author"), all_texts),
    **dict.fromkeys(("os", "cpu", "libc", "keywords", "bundleDependencies", "man"), list_of_texts),
    "description": lambda value: isinstance(value, str),
    "homepage": lambda value: isinstance(value, str),
    "hasInstallScript": lambda value: value is True,
    "repository": lambda value: all_texts(value) and bool(value),
    "contributors": lambda value: isinstance(value, list) and all(map(all_texts, value)),
    "peerDependenciesMeta": lambda value: all(
        isinstance(meta.get("optional", True), bool) for meta in value.values()
    ),
}
REGISTRYS_OWN = {"dist", "maintainers", "_npmUser", "readme", "deprecated", "bundledDependencies"}


@given(PACKAGE_JSON, FACTS)
@example({"name": "n", "version": "1.0.0", "homepage": "http://[x"}, ArchiveFacts())
def test_known_fields_have_the_types_that_clients_expect(
    fields: dict[str, Any], facts: ArchiveFacts
) -> None:
    try:
        manifest = normalise_package_json(json.dumps(fields).encode(), facts, {"gitHead": "x"})
    except RegistryError:
        return
    stored = json.loads(manifest.json)
    assert (stored["name"], stored["version"]) == (manifest.name, manifest.version)
    assert stored["_id"] == f"{manifest.name}@{manifest.version}"
    for field, suits in EXPECTED.items():
        assert field not in stored or suits(stored[field]), field
    assert not REGISTRYS_OWN & set(stored)
    assert {field for field in stored if field.startswith("_")} <= {"_id", "_hasShrinkwrap"}
    assert read_npm(npm_details(msgspec.Raw(manifest.json))).license_text is not None


@given(PACKAGE_JSON)
def test_normalising_twice_changes_nothing(fields: dict[str, Any]) -> None:
    facts = ArchiveFacts()
    try:
        once = normalise_package_json(json.dumps(fields).encode(), facts)
    except RegistryError:
        return
    assert normalise_package_json(once.json, facts) == once


@given(st.binary(max_size=100), PACKAGE_JSON, st.data())
def test_any_bytes_are_normalised_or_refused(
    noise: bytes, fields: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(fields, ensure_ascii=False).encode(errors="surrogatepass")
    place = data.draw(st.integers(0, len(text)))
    for package_json in (noise, text[:place] + noise + text[place:], text[:place]):
        try:
            manifest = normalise_package_json(package_json, ArchiveFacts())
        except RegistryError:
            continue
        assert len(manifest.json) <= MAX_MANIFEST_BYTES
        assert isinstance(json.loads(manifest.json.decode()), dict)


@given(st.dictionaries(st.text(max_size=9), st.integers(0, 9), max_size=9))
def test_unknown_fields_and_their_order_stay(fields: dict[str, int]) -> None:
    unknown = {f"x-{key}": value for key, value in fields.items()}
    package_json = json.dumps({**unknown, "name": "n", "version": "1.0.0"}).encode()
    stored = json.loads(normalise_package_json(package_json, ArchiveFacts()).json)
    assert list(stored) == [*unknown, "name", "version", "_id"]
    assert {key: stored[key] for key in unknown} == unknown
