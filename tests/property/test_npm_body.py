"""Whatever is sent, the scanner says what `json.loads` would say, or refuses."""

import base64
import io
import json
import re
import tempfile
from mmap import ACCESS_READ, mmap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.commands.npm.attachment import decode_attachment
from packledger.commands.npm.body import Buffer, scan_body
from packledger.commands.npm.upload import check_publish, read_edit
from packledger.domain.errors import Invalid, RegistryError

LONG = st.sampled_from([0, 1, 3, 8_190, 8_191, 8_192, 8_193, 9_000, 140_000])
PIECES = st.sampled_from(["a", "\\", '"', "\\\\", '\\"', "\n", "é", "/", "[0,1]", "{", "\x00"])
TEXT = st.builds(lambda piece, times, end: piece * times + end, PIECES, LONG, st.text(max_size=9))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
SHORT = st.text(max_size=20)
STRICT_BASE64 = re.compile(
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "name": SHORT,
        "_rev": SHORT,
        "dist-tags": st.dictionaries(SHORT, SHORT, max_size=3),
        "versions": st.dictionaries(
            SHORT,
            st.fixed_dictionaries(
                {"name": SHORT, "readme": TEXT}, optional={"deprecated": SHORT, "x": JSON}
            ),
            max_size=3,
        ),
        "users": st.dictionaries(SHORT, st.booleans(), max_size=3),
        "_attachments": st.dictionaries(
            SHORT, st.fixed_dictionaries({"data": TEXT, "length": st.integers(0, 9)}), max_size=3
        ),
        "readme": TEXT,
        "x": JSON,
    },
)


def ordered(draw: st.DrawFn) -> bytes:
    """A valid body with its keys in any order and in any way of writing it."""
    body = draw(BODIES)
    keys = draw(st.permutations(list(body)))
    text = json.dumps(
        {key: body[key] for key in keys},
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 1])),
    )
    if draw(st.booleans()):
        text = text.replace("/", "\\/")
    return text.encode()


VALID = st.composite(ordered)()


def said(buffer: bytes, data: str | tuple[int, int]) -> str:
    """Return an attachment's data as JSON means it."""
    if isinstance(data, str):
        return data
    start, end = data
    text = json.loads(buffer[start - 1 : end + 1])
    assert isinstance(text, str)
    return text


@given(VALID)
def test_a_valid_body_is_read_as_json_reads_it(buffer: bytes) -> None:
    expected = json.loads(buffer)
    body = scan_body(buffer)
    assert body.name == expected.get("name")
    assert body.rev == expected.get("_rev")
    assert body.dist_tags == expected.get("dist-tags")
    assert body.users == expected.get("users")
    versions: dict[str, Any] = expected.get("versions", {})
    assert {
        key: (version.name, version.deprecated) for key, version in (body.versions or {}).items()
    } == {key: (version["name"], version.get("deprecated")) for key, version in versions.items()}
    attachments: dict[str, Any] = expected.get("_attachments", {})
    assert {
        key: (said(buffer, found.data), found.length)
        for key, found in (body.attachments or {}).items()
    } == {key: (sent["data"], sent["length"]) for key, sent in attachments.items()}


@given(st.binary(max_size=200) | VALID, st.data())
def test_any_bytes_are_read_or_refused(buffer: bytes, data: st.DataObject) -> None:
    if buffer:
        place = data.draw(st.integers(0, len(buffer) - 1))
        buffer = buffer[:place] + data.draw(st.binary(max_size=3)) + buffer[place + 1 :]
    for judge in (check_publish, read_edit):
        try:
            judge(scan_body(buffer), "n")
        except RegistryError:
            continue


def received(buffer: Buffer, data: str | tuple[int, int]) -> bytes:
    sink = io.BytesIO()
    decode_attachment(buffer, data, sink, max_tarball_bytes=1 << 20)
    return sink.getvalue()


@given(
    st.binary(max_size=400),
    st.sampled_from([0, 1, 2, 8_192, 196_607, 196_608, 196_609, 400_000]),
    st.booleans(),
)
def test_base64_is_decoded_as_the_standard_library_does(
    tarball: bytes, padding: int, escaped: bool
) -> None:
    tarball += b"\xff\xee" * (padding // 2) + b"\xff" * (padding % 2)
    text = base64.b64encode(tarball).decode()
    written = text.replace("/", "\\/") if escaped else text
    buffer = b'{"_attachments":{"a":{"data":"%b"}}}' % written.encode()
    attachments = scan_body(buffer).attachments
    assert attachments is not None
    assert received(buffer, attachments["a"].data) == tarball
    with tempfile.TemporaryFile() as file:
        file.write(buffer)
        file.flush()
        with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
            found = scan_body(mapped).attachments
            assert found == attachments
            assert received(mapped, found["a"].data) == tarball


@given(
    st.text("AQgw+/=\\ \n-_é", max_size=40),
    st.sampled_from(["", "AAAA", "A", "AA==", "A==="]),
    st.sampled_from([0, 262_136, 262_140, 262_144, 262_145]),
)
def test_what_is_not_strict_base64_is_refused(text: str, end: str, lead: int) -> None:
    text = "A" * lead + text + end
    spoken = text.replace("\\/", "/")
    written = text.encode()
    for data, meaning in ((text, text), ((0, len(written)), spoken)):
        if STRICT_BASE64.fullmatch(meaning):
            assert received(written, data) == base64.b64decode(meaning)
        else:
            with pytest.raises(Invalid):
                received(written, data)
