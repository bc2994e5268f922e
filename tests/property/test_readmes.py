"""A README is kept as valid UTF-8, and as much of it as fits, whatever its archive is."""

from hypothesis import given
from hypothesis import strategies as st

from packledger.commands.readmes import MAX_README_BYTES, readme_text


@given(st.binary(max_size=40), st.integers(0, MAX_README_BYTES), st.booleans())
def test_any_bytes_become_text_that_fits(data: bytes, padding: int, is_whole: bool) -> None:
    start = (b"a" * padding + data)[:MAX_README_BYTES]
    text = readme_text(start, len(start) + (not is_whole)).decode()
    assert len(text.encode()) <= MAX_README_BYTES
    if is_whole:
        wanted = start.decode(errors="replace")
        assert wanted.startswith(text)
        assert len(wanted.encode()) <= MAX_README_BYTES or len(text.encode()) > MAX_README_BYTES - 4


@given(st.text(min_size=1, max_size=8), st.integers(0, 3))
def test_of_a_text_that_is_too_long_whole_characters_are_kept(text: str, lead: int) -> None:
    whole = ("a" * lead + text * MAX_README_BYTES).encode()
    kept = readme_text(whole[:MAX_README_BYTES], len(whole))
    assert whole.startswith(kept)
    assert MAX_README_BYTES - 4 < len(kept) <= MAX_README_BYTES
