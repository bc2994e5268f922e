"""By the end of a token a secret scanner knows it from what only looks like one."""

import re
import string
import zlib

from hypothesis import given
from hypothesis import strategies as st

from packledger.commands import accounts
from packledger.commands.redaction import redacted
from packledger.commands.tokens import (
    SECRET_PREFIX,
    SESSION_PREFIX,
    TokenWish,
    begin_session,
    checksum_of,
    issue_token,
)
from packledger.domain.accounts.permissions import OPERATOR
from small_registry import SmallRegistry, memory_folder

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
letters = st.text(string.ascii_letters + string.digits, min_size=34, max_size=34)


@given(letters)
def test_a_checksum_is_the_crc_in_base62(random: str) -> None:
    number = 0
    for digit in checksum_of(random):
        number = number * 62 + DIGITS.index(digit)
    assert len(checksum_of(random)) == 6
    assert number == zlib.crc32(random.encode())


def test_the_documented_example() -> None:
    assert checksum_of("0" * 34) == "0iqUEf"


def test_new_secrets_end_with_their_checksum_and_are_never_shown() -> None:
    with memory_folder() as folder:
        small = SmallRegistry(folder)
        alice = small.caller("alice")
        accounts.register(small.registry, alice.actor, "alice", "password of alice")
        token, _ = issue_token(small.registry, alice.proving(OPERATOR), "alice", TokenWish())
        session = begin_session(small.registry, alice)
        small.close()
    for secret, prefix in ((token, SECRET_PREFIX), (session, SESSION_PREFIX)):
        found = re.fullmatch(rf"{prefix}([A-Za-z0-9]{{34}})([A-Za-z0-9]{{6}})", secret)
        assert found
        assert checksum_of(found[1]) == found[2]
        assert redacted(f"GET /{secret[:20]}") == f"GET /{prefix}\u2026"
