import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.cargo.names import (
    canonical_crate_name,
    check_alias,
    check_crate_name,
    check_dependency_name,
    index_path,
)
from packledger.domain.errors import Invalid

REST = string.ascii_letters + string.digits + "-_"
NAMES = st.builds(
    str.__add__, st.sampled_from(string.ascii_letters), st.text(REST, min_size=0, max_size=63)
)


@given(NAMES)
def test_a_name_of_cargos_letters_may_be_depended_on_and_called_so(name: str) -> None:
    check_dependency_name(name)
    check_alias(name)
    check_alias("_" + name[1:])


@given(st.text())
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    good = (
        0 < len(text) <= 64
        and text[0] in string.ascii_letters
        and all(char in REST for char in text)
    )
    if good:
        check_dependency_name(text)
    else:
        with pytest.raises(Invalid, match="is not a crate name"):
            check_dependency_name(text)


@pytest.mark.parametrize(
    "name", ["", "1st", "_x", "-x", "a b", "a.b", "a/b", "über", "a\n", "a" * 65, "x\0"]
)
def test_a_name_with_other_letters_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is not a crate name"):
        check_crate_name(name)


@pytest.mark.parametrize(
    "name", ["std", "STD", "nul", "COM1", "lpt0", "new", "New", "proc-macro", "proc_macro", "Core"]
)
def test_a_reserved_name_is_refused_in_any_spelling(name: str) -> None:
    with pytest.raises(Invalid, match=f"`{name}` is reserved"):
        check_crate_name(name)


def test_a_reserved_name_may_be_depended_on() -> None:
    check_dependency_name("core")


@given(NAMES)
def test_colliding_spellings_have_one_canonical_name(name: str) -> None:
    canonical = canonical_crate_name(name)
    assert canonical == canonical_crate_name(canonical)
    assert canonical == canonical_crate_name(name.swapcase())
    assert canonical == canonical_crate_name(name.replace("_", "-"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a", "1/a"),
        ("Ab", "2/ab"),
        ("aBc", "3/a/abc"),
        ("serde", "se/rd/serde"),
        ("ABcD_e", "ab/cd/abcd_e"),
        ("my-crate", "my/-c/my-crate"),
    ],
)
def test_the_index_path_is_cargos(name: str, path: str) -> None:
    assert index_path(name) == path
