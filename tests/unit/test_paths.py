"""A path that is routed has one reading, whoever decodes and normalises it."""

import posixpath
from contextlib import suppress
from urllib.parse import unquote, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.api.http.paths import check_plain
from packledger.domain.errors import Invalid
from respelled import PLAIN, respelled

raw = st.lists(
    st.sampled_from([*"/@.%\\#;?ab ", "%2f", "%2e", "%25", "%5c", "%00", "%41", "é", "//", "@s%2f"])
).map("".join)


@pytest.mark.parametrize("path", PLAIN)
def test_what_clients_send_is_plain(path: str) -> None:
    check_plain(path.encode())


@settings(max_examples=2_000)
@given(path=st.one_of(raw, st.sampled_from(PLAIN).flatmap(respelled)))
def test_a_plain_path_has_one_reading(path: str) -> None:
    with suppress(Invalid):
        check_plain(path.encode())
        decoded = unquote_to_bytes(path).decode()
        assert decoded.startswith("/")
        assert "//" not in decoded
        assert posixpath.normpath(decoded) == (decoded.rstrip("/") or "/")
        assert unquote(decoded) == decoded
        assert "\\" not in decoded
        assert decoded.isascii() is False or decoded.isprintable()
        if not decoded.startswith(("/npm/-/user/token/", "/npm/-/npm/v1/tokens/token/")):
            _assert_only_scopes_hide_a_slash(path)


def _assert_only_scopes_hide_a_slash(path: str) -> None:
    for sent in path.split("/"):
        hidden = unquote(sent).split("/")
        assert len(hidden) == 1 or (len(hidden) == 2 and hidden[0].startswith("@"))
