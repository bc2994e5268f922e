"""A part of a file is what the RFC says, and never more than the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.api.http.ranges import range_of

ETAG = '"etag"'
FILE = bytes(range(200))
numbers = st.integers(0, 300)


def part(value: str, if_range: str | None = None) -> bytes | None:
    """The bytes that are answered; None for 416, the whole file where no range was understood."""
    asked = range_of(value, if_range, ETAG)
    if asked is None:
        return FILE
    found = asked.of(len(FILE))
    if found is None:
        return None
    assert found.content_range == f"bytes {found.first}-{found.first + found.size_bytes - 1}/200"
    return FILE[found.first : found.first + found.size_bytes]


@given(first=numbers, last=numbers)
def test_from_one_byte_to_another(first: int, last: int) -> None:
    expected = FILE[first : last + 1] if first <= last else FILE
    assert part(f"bytes={first}-{last}") == (expected or None)


@given(first=numbers)
def test_from_one_byte_on(first: int) -> None:
    assert part(f"bytes={first}-") == (FILE[first:] or None)


@given(suffix=numbers)
def test_so_many_at_the_end(suffix: int) -> None:
    assert part(f"bytes=-{suffix}") == (FILE[max(0, 200 - suffix) :] or None)


@pytest.mark.parametrize(
    "value",
    ["", "bytes", "bytes=", "bytes=-", "bytes=x-", "bytes=1-2,4-5", "lines=1-2", "bytes=9-1",
     "bytes=+1-2", "bytes=1-2x", "bytes=\u0661-", f"bytes={'9' * 30}-"],
)  # fmt: skip
def test_what_is_no_single_range_means_the_whole(value: str) -> None:
    assert part(value) == FILE


@pytest.mark.parametrize(
    ("if_range", "begins"), [(ETAG, 7), (f" {ETAG} ", 7), (f"W/{ETAG}", 0), ('"other"', 0),
                             ("Tue, 01 Dec 2026 03:40:00 GMT", 0), ("", 0)]
)  # fmt: skip
def test_a_range_of_another_file_means_the_whole(if_range: str, begins: int) -> None:
    assert part("bytes=7-", if_range) == FILE[begins:]


def test_a_download_begins_with_its_first_byte() -> None:
    said = {"bytes=0-": True, "bytes=0-0": True, "bytes=1-": False, "bytes=-5": False}
    for value, begins in said.items():
        asked = range_of(value, None, ETAG)
        assert asked is not None
        assert asked.begins is begins
