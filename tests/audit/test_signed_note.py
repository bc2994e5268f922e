"""Notes, keys and checkpoints: what is published examples' is read, what is mutated is refused."""

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.audit.translog.checkpoint import (
    Checkpoint,
    open_checkpoint,
    origin_of,
    parse_checkpoint,
)
from packledger.audit.translog.notes import (
    COSIGNATURE,
    ED25519,
    BadNote,
    Note,
    Signature,
    VerifierKey,
    new_key,
    parse_note,
    parse_signer,
    parse_verifier,
)

NAME = "registry.example.com/log"
KEY = new_key(NAME)
CHECKPOINT = Checkpoint(NAME, 70_000, bytes(range(32)))
SIGNED = str(KEY.sign(CHECKPOINT.text())).encode()

# The example of Go's package note: https://pkg.go.dev/golang.org/x/mod/sumdb/note
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
GO_NOTE = f"""If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann {GO_SIGNATURE}
"""
# The example of https://c2sp.org/tlog-cosignature
LOG = "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8="
WITNESS = (
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIU"
    "BkBIfZ+qnA=="
)
COSIGNED = f"""example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa {LOG}
— witness.example.com/w1 {WITNESS}
"""


def test_a_note_of_gos_package_is_verified_and_written_as_it_was() -> None:
    note, key = parse_note(GO_NOTE.encode()), parse_verifier(GO_KEY)
    assert key.kind == ED25519
    assert key.signed(note) == note.signatures[0]
    assert str(note) == GO_NOTE
    assert str(key) == GO_KEY


def test_the_checkpoint_of_the_specification_is_read() -> None:
    note = parse_note(COSIGNED.encode())
    checkpoint = parse_checkpoint(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == note.text
    assert [len(one.body) for one in note.signatures] == [64, 72]
    assert str(note) == COSIGNED


def test_a_signature_is_made_and_found_again() -> None:
    assert open_checkpoint(SIGNED, KEY.verifier)[0] == CHECKPOINT
    again = parse_signer(KEY.encoded())
    assert again.verifier == KEY.verifier == parse_verifier(f"{KEY.verifier}\n")
    assert again.sign(CHECKPOINT.text()) == KEY.sign(CHECKPOINT.text())


@given(st.data())
def test_no_byte_of_a_signed_checkpoint_may_be_another(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SIGNED) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != SIGNED[at]))
    changed = SIGNED[:at] + bytes([byte]) + SIGNED[at + 1 :]
    with pytest.raises(BadNote):
        open_checkpoint(changed, KEY.verifier)


@pytest.mark.parametrize("encoded", [GO_SIGNATURE, LOG, WITNESS])
def test_the_bits_that_base64_passes_over_may_not_be_others(encoded: str) -> None:
    """Else one signature has several texts."""
    digits = string.ascii_letters + string.digits + "+/"
    body, padding = encoded.rstrip("="), "=" * (len(encoded) - len(encoded.rstrip("=")))
    twins = {body[:-1] + digit + padding for digit in digits}
    same = {one for one in twins if base64.b64decode(one) == base64.b64decode(encoded)}
    assert len(same) == 4 ** len(padding)
    for twin in same - {encoded}:
        with pytest.raises(BadNote):
            parse_note(f"text\n\n\N{EM DASH} {NAME} {twin}\n".encode())


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_note_or_refused(data: bytes) -> None:
    for text in (data, b"a\n\n" + data, b"a\n0\n\n\xe2\x80\x94 " + data):
        try:
            note = parse_note(text)
        except BadNote:
            continue
        assert str(note).encode() == text


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    for candidate in (text, f"a+{text}", f"a+00000000+{text}"):
        for parse in (parse_verifier, parse_signer):
            with pytest.raises(BadNote):
                parse(candidate)


def test_a_foreign_origin_and_a_foreign_key_are_told_apart() -> None:
    with pytest.raises(BadNote, match=r"of the log `[a-z./]*`, the key of `other`"):
        open_checkpoint(SIGNED, new_key("other").verifier)
    with pytest.raises(BadNote, match="is not signed with the key"):
        open_checkpoint(SIGNED, new_key(NAME).verifier)


def test_signatures_of_unknown_keys_are_ignored() -> None:
    note = parse_note(SIGNED)
    stranger = Signature("stranger", b"abcd", b"whatever")
    impostor = Signature(NAME, b"abcd", bytes(64))
    more = Note(note.text, (stranger, impostor, *note.signatures))
    assert open_checkpoint(str(more).encode(), KEY.verifier)[0] == CHECKPOINT


def test_a_signature_is_as_long_as_its_type_wants() -> None:
    note = KEY.sign(CHECKPOINT.text())
    right = note.signatures[0].body
    for body in (b"\0" + right, b"\0" * 8 + right, right[1:], right + b"\0"):
        padded = Signature(NAME, KEY.verifier.key_id, body)
        with pytest.raises(BadNote, match="not valid"):
            KEY.verifier.signed(Note(note.text, (padded,)))


def test_a_verifier_of_cosignatures_wants_a_time() -> None:
    key = VerifierKey(NAME, COSIGNATURE, KEY.verifier.public)
    assert parse_verifier(str(key)) == key
    plain = KEY.sign(CHECKPOINT.text()).signatures[0].body
    for body in (plain, b"\0" * 8 + plain):
        note = Note(CHECKPOINT.text(), (Signature(NAME, key.key_id, body),))
        with pytest.raises(BadNote, match="not valid"):
            key.signed(note)


@pytest.mark.parametrize(
    "text", ["", "a\n1\n", "a\n01\nx\n", "\n1\nAA==\n", f"a\n-1\n{'A' * 43}=\n", "a\n1\nAA==\n"]
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        parse_checkpoint(text)


@given(
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-z.]{1,9}(:[0-9]{1,4})?(/[a-z+]{1,5})?", fullmatch=True),
)
def test_an_origin_is_the_logs_url_without_its_scheme(scheme: str, rest: str) -> None:
    origin = origin_of(f"{scheme}://{rest}")
    assert origin == rest.replace("+", "%2B") + "/log"
    assert parse_verifier(str(new_key(origin).verifier)).name == origin
