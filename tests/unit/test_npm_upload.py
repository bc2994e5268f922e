import base64
import hashlib
import io
import json
import time
from typing import Any

import pytest

from packledger.commands.npm.attachment import Decoded, decode_attachment
from packledger.commands.npm.body import MAX_DOCUMENT_BYTES, scan_body
from packledger.commands.npm.upload import (
    PublishRequest,
    check_digests,
    check_publish,
    read_edit,
)
from packledger.domain.errors import Invalid, TooLarge

TARBALL = b"tarball"
MIB = 1 << 20


def version_object(tarball: bytes = TARBALL) -> dict[str, Any]:
    return {
        "name": "@s/n",
        "version": "1.0.0",
        "_id": "@s/n@1.0.0",
        "_nodeVersion": "24.0.0",
        "_npmVersion": "11.0.0",
        "readme": "# n",
        "dist": {
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode(),
            "shasum": hashlib.sha1(tarball).hexdigest(),
            "tarball": "http://elsewhere/@s/n/-/@s/n-1.0.0.tgz",
        },
    }


def publish_body(tarball: bytes = TARBALL) -> dict[str, Any]:
    """What npm 11.19 sends."""
    return {
        "_id": "@s/n",
        "name": "@s/n",
        "description": "d",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version_object(tarball)},
        "access": None,
        "_attachments": {
            "@s/n-1.0.0.tgz": {
                "content_type": "application/octet-stream",
                "data": base64.b64encode(tarball).decode(),
                "length": len(tarball),
            }
        },
    }


def receive(body: dict[str, Any]) -> tuple[PublishRequest, bytes]:
    buffer = json.dumps(body).encode()
    request = check_publish(scan_body(buffer), "@s/n")
    sink = io.BytesIO()
    decoded = decode_attachment(buffer, request.attachment.data, sink, max_tarball_bytes=MIB)
    check_digests(request, decoded)
    return request, sink.getvalue()


def changed(**changes: object) -> dict[str, Any]:
    return {**publish_body(), **changes}


def with_version(**changes: object) -> dict[str, Any]:
    return changed(versions={"1.0.0": {**version_object(), **changes}})


def with_attachment(**changes: object) -> dict[str, Any]:
    body = publish_body()
    body["_attachments"]["@s/n-1.0.0.tgz"].update(changes)
    return body


def test_a_publish_says_what_it_publishes() -> None:
    request, received = receive(publish_body())
    assert (request.name, request.version, request.dist_tags) == ("@s/n", "1.0.0", ("latest",))
    assert request.client == {"_nodeVersion": "24.0.0", "_npmVersion": "11.0.0"}
    assert received == TARBALL


def test_a_large_tarball_is_received_whole() -> None:
    tarball = bytes(range(256)) * 3_001
    assert receive(publish_body(tarball))[1] == tarball


def test_what_other_clients_leave_out_is_not_missed() -> None:
    """yarn sends no access, berry no readme, pnpm no versions of itself; length is optional."""
    body = with_version(dist=None, _nodeVersion=None, _npmVersion=5)
    for field in ("access", "description", "_id"):
        del body[field]
    del body["_attachments"]["@s/n-1.0.0.tgz"]["length"]
    assert receive(body)[0].client == {}


def test_a_version_is_compared_after_cleaning() -> None:
    request, _ = receive(with_version(version="v1.0.0"))
    assert request.version == "1.0.0"


@pytest.mark.parametrize(
    "body",
    [
        changed(name="@s/other"),
        changed(name=None),
        changed(_id="@s/other"),
        changed(versions={}),
        changed(versions=None),
        changed(versions={"1.0.0": version_object(), "1.0.1": version_object()}),
        changed(versions={"1.0.1": version_object()}),
        changed(versions={"1": version_object()}),
        changed(versions={"x" * 100_000: version_object()}),
        changed(versions=[]),
        with_version(name="@s/other"),
        with_version(name=None),
        with_version(version="1.0.1"),
        with_version(version=5),
        changed(**{"dist-tags": {}}),
        changed(**{"dist-tags": {"latest": "1.0.1"}}),
        changed(**{"dist-tags": {"1.x": "1.0.0"}}),
        changed(**{"dist-tags": {"1.0.0": "1.0.0"}}),
        changed(**{"dist-tags": {f"t{n}": "1.0.0" for n in range(21)}}),
        changed(_attachments={}),
        changed(_attachments=None),
        changed(_attachments={"n.zip": {"data": ""}}),
        changed(_attachments={"a.tgz": {"data": ""}, "b.tgz": {"data": ""}}),
        changed(_attachments={"a.tgz": {"data": 5}}),
        changed(_attachments={"a.tgz": {"data": [5, 10]}}),
        changed(_attachments={"a.tgz": {}}),
        with_attachment(length=6),
        with_attachment(length="7"),
        with_attachment(data="dGFyYmFsbA"),
        with_attachment(data="dGFy YmFsbA=="),
        with_attachment(data="dGFyYmFsbA==dGFy"),
        with_attachment(data="dGFyYmFsbA==\n"),
        with_attachment(data="dGFy\\/mFsbA=="),
        with_attachment(data="é" * 8),
        with_version(dist={"shasum": "0" * 40}),
        with_version(dist={"integrity": "sha512-" + "A" * 86 + "=="}),
        with_version(dist={"integrity": "md5-AAAA"}),
        with_version(dist={"integrity": "garbage"}),
        with_version(dist="x"),
    ],
)
def test_a_publish_that_disagrees_with_itself_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        receive(body)


def test_a_provenance_bundle_is_refused_with_a_sentence() -> None:
    body = publish_body()
    body["_attachments"]["@s/n-1.0.0.sigstore"] = {
        "content_type": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "data": "{}",
        "length": 2,
    }
    with pytest.raises(Invalid, match="publish without `--provenance`"):
        receive(body)


@pytest.mark.parametrize("tarball", ["x", 5, None, "http://elsewhere/x.tgz", {"a": []}])
def test_the_tarball_url_of_a_client_is_not_looked_at(tarball: object) -> None:
    receive(with_version(dist={"tarball": tarball}))


def test_an_integrity_of_several_hashes_is_checked_whole() -> None:
    sha1 = "sha1-" + base64.b64encode(hashlib.sha1(TARBALL).digest()).decode()
    sha512 = version_object()["dist"]["integrity"]
    receive(with_version(dist={"integrity": f"{sha1} {sha512}?opt"}))
    with pytest.raises(Invalid, match=r"the integrity of `@s/n@1.0.0` is `sha1-"):
        receive(with_version(dist={"integrity": f"{sha512} sha1-AAAA"}))


def test_a_tarball_over_the_limit_is_refused_while_it_is_decoded() -> None:
    sink = io.BytesIO()
    data = base64.b64encode(bytes(10 * MIB)).decode()
    with pytest.raises(TooLarge):
        decode_attachment(b"", data, sink, max_tarball_bytes=MIB)
    assert len(sink.getvalue()) <= MIB


@pytest.mark.parametrize("shift", range(5))
def test_escaped_slashes_are_read_wherever_pieces_are_cut(shift: int) -> None:
    data = b"AAAA" * 65_536
    buffer = data[: -shift or None] + b"\\/" * 4 * 70_000 + b"A" * shift
    plain = buffer.replace(b"\\/", b"/")
    sink = io.BytesIO()
    decode_attachment(buffer, (0, len(buffer)), sink, max_tarball_bytes=MIB)
    assert sink.getvalue() == base64.b64decode(plain)


@pytest.mark.parametrize("tail", [b"\\", b"\\\\/AA", b"\\n", b"\\u003d", b'"'])
@pytest.mark.parametrize("shift", range(4))
def test_other_escapes_are_no_base64(tail: bytes, shift: int) -> None:
    buffer = b"A" * (262_144 - shift) + tail
    buffer += b"A" * (-len(buffer) % 4)
    with pytest.raises(Invalid):
        decode_attachment(buffer, (0, len(buffer)), io.BytesIO(), max_tarball_bytes=MIB)


def test_an_edit_says_what_changes() -> None:
    versions = {
        "1.0.0": {**version_object(), "deprecated": "use 2"},
        "1.0.1": {"name": "@s/n", "version": "1.0.1", "deprecated": ""},
    }
    body = {
        "_id": "@s/n", "_rev": "3-x", "name": "@s/n", "versions": versions, "_attachments": {},
        "dist-tags": {"latest": "1.0.1"}, "users": {"bob": True, "eve": False}, "time": {},
        "maintainers": [{"name": "alice", "email": ""}, {"name": "alice"}],
    }  # fmt: skip
    edit = read_edit(scan_body(json.dumps(body).encode()), "@s/n")
    assert edit.rev == "3-x"
    assert edit.deprecations == {"1.0.0": "use 2", "1.0.1": ""}
    assert edit.dists["1.0.0"].shasum == hashlib.sha1(TARBALL).hexdigest()
    assert edit.maintainers == ("alice",)
    assert edit.stars == ("bob",)
    assert edit.dist_tags == {"latest": "1.0.1"}


def test_an_edit_of_owners_says_nothing_else() -> None:
    body = b'{"_id":"@s/n","_rev":"3-x","maintainers":[]}'
    edit = read_edit(scan_body(body), "@s/n")
    assert edit.maintainers == ()
    assert (edit.deprecations, edit.stars, edit.dist_tags) == (None, None, None)


@pytest.mark.parametrize(
    "body",
    [
        {"_id": "other"},
        {"versions": {"1.0.0": {"deprecated": "x" * 1025}}},
        {"versions": {"1.0.0": {"deprecated": "x" * 100_000}}},
        {"versions": {"1.0.0": {"deprecated": 5}}},
        {"maintainers": ["alice"]},
        {"maintainers": "alice"},
        {"users": ["alice"]},
        {"dist-tags": {"latest": None}},
        {"_rev": 3},
    ],
)
def test_a_wrong_edit_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read_edit(scan_body(json.dumps(body).encode()), "@s/n")


HOSTILE = {
    "backslashes": b'{"a":"' + b"\\" * (32 * MIB),
    "an attachment of backslashes": b'{"_attachments":{"a.tgz":{"data":"' + b"\\" * (32 * MIB),
    "brackets": b"[" * (32 * MIB),
    "nested objects": b'{"a":' * (6 * MIB),
    "quotes": b'"' * (48 * MIB),
    "empty texts": b'"",' * (16 * MIB),
    "long texts": b'{"a":"' + b'","a":"'.join([b"x" * 9_000] * 3_000),
    "escapes everywhere": b'{"a":"' + b'\\"' * (16 * MIB),
    "text without end": b'{"a":"' + b"a" * (32 * MIB),
    "nothing": b"",
    "no JSON": b"\x00\xff",
    "two documents": b"{}{}",
    "escapes beside half a pair": b'{"name":"\\ud800"' + b',"\\n":1' * (2 * MIB),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_is_refused_in_linear_time(body: bytes) -> None:
    """48 MiB take a third of a second here; a quadratic search would take hours."""
    started = time.process_time()
    with pytest.raises((Invalid, TooLarge)):
        scan_body(body)
    assert time.process_time() - started < 20


@pytest.mark.parametrize("text", [b"cut \\ud83d", b"cut \\ude00", b"cut \xf0\x9f", b"cut \xe9"])
def test_texts_are_read_as_node_reads_them(text: bytes) -> None:
    body = scan_body(
        b'{"name":"n","versions":{"1.0.0":{"deprecated":"' + text + b'","description":"' + text
        + b'"}},"readme":"' + text + b'","users":{"' + text + b'":true}}'
    )  # fmt: skip
    assert body.versions is not None
    assert body.versions["1.0.0"].deprecated == "cut \ufffd"
    assert body.users == {"cut \ufffd": True}


def test_a_document_over_the_limit_is_refused_and_its_long_texts_do_not_count() -> None:
    text = b'"' + b"A" * MAX_DOCUMENT_BYTES + b'"'
    body = scan_body(b'{"_attachments":{"a.tgz":{"data":' + text + b"}}}")
    assert body.attachments is not None
    assert body.attachments["a.tgz"].data == (34, 34 + MAX_DOCUMENT_BYTES)
    with pytest.raises(TooLarge):
        scan_body(b'{"a":' + b" " * MAX_DOCUMENT_BYTES + b"1}")


def test_digests_are_those_of_the_bytes() -> None:
    decoded = decode_attachment(b"", "dGFyYmFsbA==", io.BytesIO(), max_tarball_bytes=7)
    dist = version_object()["dist"]
    assert decoded == Decoded(7, dist["shasum"], dist["integrity"])
