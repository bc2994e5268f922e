"""Fragments put together are the documents that a plain rendering would give."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.npm.manifest import ArchiveFacts, normalise_package_json
from packledger.projections.packuments.form import (
    PackumentHead,
    assemble_abbreviated,
    assemble_full,
    fragments,
    version_object,
)

URL = "https://registry.example/path"
AT = "2026-11-21T10:00:00.000Z"
ALLOWED = {
    "name", "version", "deprecated", "dependencies", "acceptDependencies", "optionalDependencies",
    "devDependencies", "bundleDependencies", "peerDependencies", "peerDependenciesMeta", "bin",
    "directories", "dist", "engines", "_hasShrinkwrap", "hasInstallScript", "funding", "cpu", "os",
    "libc",
}  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from([*sorted(ALLOWED), "description", "scripts", "exports", "author", "license"])
    | st.text(max_size=6),
    st.text(max_size=6) | st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=3),
    max_size=6,
).map(
    lambda fields: {
        field: value
        for field, value in fields.items()
        if not field.endswith("ependencies") or isinstance(value, dict)
    }
)
ACCOUNTS = st.lists(st.text(min_size=1, max_size=9), unique=True, max_size=3)
VERSIONS = st.lists(
    st.tuples(FIELDS, st.text(max_size=9), st.booleans(), ACCOUNTS), min_size=1, max_size=5
)


def published(version: str, fields: dict[str, Any], maintainers: list[str]) -> NpmVersionPublished:
    package_json = json.dumps({**fields, "name": "@s/n", "version": version}).encode()
    return NpmVersionPublished(
        at=AT,
        by=maintainers[0] if maintainers else "",
        name="@s/n",
        version=version,
        tarball="",
        size_bytes=1,
        shasum=version,
        integrity="sha512-",
        file_count=1,
        unpacked_bytes=1,
        manifest=msgspec.Raw(normalise_package_json(package_json, ArchiveFacts()).json),
        maintainers=tuple(maintainers),
    )


def expected_version(event: NpmVersionPublished, deprecated: str) -> dict[str, Any]:
    user = (
        {"_npmUser": {"name": event.by, "email": f"{event.by}@noreply.invalid"}} if event.by else {}
    )
    return {
        **({"deprecated": deprecated} if deprecated else {}),
        **json.loads(bytes(event.manifest)),
        **user,
        "maintainers": [
            {"name": name, "email": f"{name}@noreply.invalid"} for name in event.maintainers
        ],
        "dist": {
            "integrity": event.integrity,
            "shasum": event.shasum,
            "fileCount": 1,
            "unpackedSize": 1,
            "tarball": f"{URL}/npm/@s/n/-/n-{event.version}.tgz",
        },
    }


@given(VERSIONS, ACCOUNTS, ACCOUNTS, st.text(max_size=50))
def test_documents_say_what_the_events_say(
    versions: list[tuple[dict[str, Any], str, bool, list[str]]],
    owners: list[str],
    stars: list[str],
    readme: str,
) -> None:
    events = [published(f"1.{n}.0", row[0], row[3]) for n, row in enumerate(versions)]
    listed = [(event, row[1]) for event, row in zip(events, versions, strict=True) if not row[2]]
    tags = {"latest": listed[-1][0].version} if listed else {}
    head = PackumentHead("@s/n", 5, AT, AT, tags, owners, stars)
    full_rows, short_rows = (
        [
            (event.version, AT, b"" if row[2] else fragments(event)[form], row[1])
            for event, row in zip(events, versions, strict=True)
        ]
        for form in (0, 1)
    )
    latest = bytes(listed[-1][0].manifest) if listed else None

    full = json.loads(assemble_full(head, full_rows, latest, (readme, "README.md"), URL))
    expected = {event.version: expected_version(event, text) for event, text in listed}
    assert full["versions"] == expected
    assert full["users"] == dict.fromkeys(stars, True)
    assert [person["name"] for person in full["maintainers"]] == owners
    assert full["readme"] == readme
    assert full["time"] == {"created": AT, "modified": AT, **{e.version: AT for e in events}}
    if latest:
        for field in ("description", "license", "author"):
            assert full.get(field) == json.loads(latest).get(field)

    short = json.loads(assemble_abbreviated(head, short_rows, URL))
    assert short["versions"] == {
        version: {field: value for field, value in whole.items() if field in ALLOWED}
        for version, whole in expected.items()
    }
    for row in full_rows:
        if row[2]:
            assert json.loads(version_object("@s/n", row, URL)) == expected[row[0]]
