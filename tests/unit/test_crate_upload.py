import contextlib
import io
import itertools
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.commands.cargo.upload import CrateMetadata, CrateUpload
from packledger.domain.errors import Invalid, RegistryError, TooLarge

JSON = json.dumps(
    {"name": "foo", "vers": "1.0.0", "readme": "# é", "deps": [{"any": "thing"}], "links": None}
).encode()
LIMIT = 1000


def framed(metadata: bytes, crate: bytes) -> bytes:
    return len(metadata).to_bytes(4, "little") + metadata + len(crate).to_bytes(4, "little") + crate


def upload(body: bytes, cuts: list[int] | None = None) -> tuple[CrateUpload, bytes]:
    sink = io.BytesIO()
    parser = CrateUpload(sink, LIMIT)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts or []), len(body)]
    for start, end in itertools.pairwise(edges):
        parser.feed(body[start:end])
    parser.finish()
    return parser, sink.getvalue()


@given(st.binary(max_size=LIMIT), st.lists(st.integers(0, 4000), max_size=30))
def test_however_the_body_is_cut_the_crate_and_the_metadata_arrive(
    crate: bytes, cuts: list[int]
) -> None:
    parser, received = upload(framed(JSON, crate), cuts)
    assert received == crate
    assert parser.size_bytes == len(crate)
    assert parser.metadata == CrateMetadata("foo", "1.0.0", "# é")


@given(st.binary(max_size=200), st.lists(st.integers(0, 4000), max_size=5))
def test_any_bytes_are_read_or_refused(body: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(RegistryError):
        upload(body, cuts)


@given(st.binary(max_size=100), st.data())
def test_a_body_cut_anywhere_is_refused(crate: bytes, data: st.DataObject) -> None:
    body = framed(JSON, crate)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Invalid, match="damaged"):
        upload(body[:cut])


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=9), st.lists(st.integers(0, 999)))
def test_bytes_after_the_end_are_refused(crate: bytes, extra: bytes, cuts: list[int]) -> None:
    with pytest.raises(Invalid, match="after its end"):
        upload(framed(JSON, crate) + extra, cuts)


@pytest.mark.parametrize(
    "metadata",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"name":"a"}', b'{"name":1,"vers":"1.0.0"}',
        b'{"name":"a","vers":null}', b'{"name":"a","vers":"1","readme":[]}', b'{"name":"\xff"}',
        b"[" * 500_000,
    ],
    ids=lambda metadata: repr(metadata[:30]),
)  # fmt: skip
def test_metadata_that_cannot_be_read_is_refused(metadata: bytes) -> None:
    with pytest.raises(Invalid, match="metadata of the upload cannot be read"):
        upload(framed(metadata, b"x"))


def test_the_metadata_is_there_before_the_crate_arrives() -> None:
    parser = CrateUpload(io.BytesIO(), LIMIT)
    parser.feed(framed(JSON, b"")[:-4])
    assert parser.metadata is not None
    assert parser.size_bytes is None


def test_a_crate_over_the_limit_is_refused_when_its_length_is_known() -> None:
    parser = CrateUpload(io.BytesIO(), LIMIT)
    with pytest.raises(TooLarge, match=f"has {LIMIT + 1} bytes; {LIMIT} are allowed"):
        parser.feed(framed(JSON, bytes(LIMIT + 1))[: len(JSON) + 8])


def test_metadata_over_the_limit_is_refused_when_its_length_is_known() -> None:
    parser = CrateUpload(io.BytesIO(), LIMIT)
    with pytest.raises(TooLarge, match="shorten the README"):
        parser.feed(((1 << 20) + 1).to_bytes(4, "little"))


def test_metadata_of_the_largest_size_is_read_in_small_chunks() -> None:
    readme = "x" * ((1 << 20) - len('{"name":"a","vers":"1.0.0","readme":""}'))
    metadata = json.dumps(
        {"name": "a", "vers": "1.0.0", "readme": readme}, separators=(",", ":")
    ).encode()
    assert len(metadata) == 1 << 20
    crate = random.Random(1).randbytes(LIMIT)
    parser, received = upload(framed(metadata, crate), list(range(0, 1 << 20, 4096)))
    assert parser.metadata == CrateMetadata("a", "1.0.0", readme)
    assert received == crate
