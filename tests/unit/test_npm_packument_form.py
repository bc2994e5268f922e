import json
from typing import Any

import msgspec

from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.npm.manifest import ArchiveFacts, normalise_package_json
from packledger.projections.packuments.form import (
    PackumentHead,
    VersionRow,
    assemble_abbreviated,
    assemble_full,
    fragments,
    revision_text,
    version_object,
)

URL = "http://127.0.0.1:8765"
AT = "2026-11-21T10:00:00.000Z"
LATER = "2026-11-22T10:00:00.000Z"
ALICE = {"name": "alice", "email": "alice@noreply.invalid"}
BOB = {"name": "bob", "email": "bob@noreply.invalid"}


def published(version: str, **fields: Any) -> NpmVersionPublished:
    package_json = json.dumps({"name": "@s/n", "version": version, **fields}).encode()
    return NpmVersionPublished(
        at=AT,
        by="alice",
        name="@s/n",
        version=version,
        tarball="ab" * 32,
        size_bytes=500,
        shasum="cd" * 20,
        integrity="sha512-abc==",
        file_count=2,
        unpacked_bytes=1_000,
        manifest=msgspec.Raw(
            normalise_package_json(package_json, ArchiveFacts(has_shrinkwrap=True)).json
        ),
        maintainers=("alice", "bob"),
    )


ONE = published("1.0.0", license="MIT", scripts={"install": "x"}, dependencies={"a": "^1"})
TWO = published("2.0.0", description='"quoted" é', author="A <a@b.c>", exports="./a.js")
HEAD = PackumentHead(
    "@s/n", 7, AT, LATER, {"latest": "2.0.0", "old": "1.0.0"}, ["alice", "bob"], ["carol"]
)


def rows(full: bool) -> list[VersionRow]:
    one, two = (fragments(event)[0 if full else 1] for event in (ONE, TWO))
    return [
        ("1.0.0", AT, one, 'use "2"'),
        ("1.5.0", AT, b"", ""),
        ("2.0.0", LATER, two, ""),
    ]


def full() -> Any:
    return json.loads(
        assemble_full(HEAD, rows(True), bytes(TWO.manifest), ("# n\n", "README.md"), URL)
    )


def test_the_full_form_has_every_field_of_the_protocol() -> None:
    document = full()
    versions = document.pop("versions")
    assert list(versions) == ["1.0.0", "2.0.0"]
    assert document == {
        "_id": "@s/n",
        "_rev": revision_text(HEAD),
        "name": "@s/n",
        "dist-tags": {"latest": "2.0.0", "old": "1.0.0"},
        "time": {"created": AT, "modified": LATER, "1.0.0": AT, "1.5.0": AT, "2.0.0": LATER},
        "maintainers": [ALICE, BOB],
        "users": {"carol": True},
        "description": '"quoted" é',
        "author": {"name": "A", "email": "a@b.c"},
        "readme": "# n\n",
        "readmeFilename": "README.md",
        "_attachments": {},
    }


def test_a_version_object_is_the_manifest_and_what_the_registry_knows() -> None:
    assert full()["versions"]["1.0.0"] == {
        "deprecated": 'use "2"',
        "name": "@s/n",
        "version": "1.0.0",
        "license": "MIT",
        "scripts": {"install": "x"},
        "dependencies": {"a": "^1"},
        "hasInstallScript": True,
        "_hasShrinkwrap": True,
        "_id": "@s/n@1.0.0",
        "_npmUser": ALICE,
        "maintainers": [ALICE, BOB],
        "dist": {
            "integrity": "sha512-abc==",
            "shasum": "cd" * 20,
            "fileCount": 2,
            "unpackedSize": 1_000,
            "tarball": "http://127.0.0.1:8765/npm/@s/n/-/n-1.0.0.tgz",
        },
    }


def test_one_version_is_shown_as_in_the_full_form() -> None:
    for row in (rows(True)[0], rows(True)[2]):
        assert json.loads(version_object("@s/n", row, URL)) == full()["versions"][row[0]]


def test_the_abbreviated_form_has_what_installing_needs_and_the_times() -> None:
    document = json.loads(assemble_abbreviated(HEAD, rows(False), URL))
    complete = full()
    assert list(document) == ["name", "modified", "dist-tags", "versions", "time"]
    assert document["modified"] == LATER
    assert document["time"] == complete["time"]
    assert document["dist-tags"] == complete["dist-tags"]
    version = document["versions"]["1.0.0"]
    assert set(version) == {
        "deprecated", "name", "version", "dependencies", "hasInstallScript", "_hasShrinkwrap",
        "dist",
    }  # fmt: skip
    assert {field: complete["versions"]["1.0.0"][field] for field in version} == version


def test_a_wholly_unpublished_package_is_a_tombstone() -> None:
    head = PackumentHead(
        "@s/n", 9, AT, LATER, {}, ["alice"], [], unpublished_at=LATER, unpublished_by="alice"
    )
    gone = [(version, at, b"", "") for version, at, _, _ in rows(True)]
    document = json.loads(assemble_full(head, gone, None, ("", ""), URL))
    assert (document["versions"], document["dist-tags"]) == ({}, {})
    assert document["time"] == {
        "created": AT,
        "modified": LATER,
        "1.0.0": AT,
        "1.5.0": AT,
        "2.0.0": LATER,
        "unpublished": {"name": "alice", "time": LATER, "versions": ["1.0.0", "1.5.0", "2.0.0"]},
    }
    assert json.loads(assemble_abbreviated(head, gone, URL))["versions"] == {}


def test_a_revision_is_a_number_and_a_digest_that_changes_with_every_event() -> None:
    texts = {revision_text(msgspec.structs.replace(HEAD, revision=n)) for n in range(1, 100)}
    assert len(texts) == len({text.partition("-")[2] for text in texts}) == 99
    assert revision_text(HEAD).startswith("7-")
    assert len(revision_text(HEAD)) == 18
    assert revision_text(HEAD) == revision_text(msgspec.structs.replace(HEAD, modified=AT))


def test_a_public_url_cannot_break_the_document() -> None:
    body = assemble_full(HEAD, rows(True), None, ("", ""), 'http://h/"x\\')
    tarball = json.loads(body)["versions"]["1.0.0"]["dist"]["tarball"]
    assert tarball == 'http://h/"x\\/npm/@s/n/-/n-1.0.0.tgz'


def test_documents_of_the_same_rows_are_the_same_bytes() -> None:
    assert assemble_abbreviated(HEAD, rows(False), URL) == assemble_abbreviated(
        HEAD, rows(False), URL
    )
