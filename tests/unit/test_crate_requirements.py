import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.cargo.requirements import (
    check_rust_version,
    normalise_requirement,
    normalise_target,
)
from packledger.domain.errors import Invalid

NUMBER = st.integers(0, 2**64 - 1).map(str)
PRE = st.sampled_from(["", "-alpha", "-rc.1", "-0.a-b.12"])
COMPARATOR = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["^", "~", "=", ">", ">=", "<", "<="]), NUMBER),
    st.builds("{}{}.{}".format, st.sampled_from(["^", "~", "=", "<"]), NUMBER, NUMBER),
    st.builds("{}{}.{}.{}{}".format, st.sampled_from(["^", ">="]), NUMBER, NUMBER, NUMBER, PRE),
    st.builds("{}.*".format, NUMBER),
    st.builds("{}.{}.*".format, NUMBER, NUMBER),
)


@given(st.lists(COMPARATOR, min_size=1, max_size=20).map(", ".join))
def test_a_requirement_as_cargo_prints_it_stays_as_it_is(text: str) -> None:
    assert normalise_requirement(text) == text


@given(st.text("0123456789.*xX=<>~^, +-abz", max_size=12))
def test_normalising_again_changes_nothing(text: str) -> None:
    try:
        once = normalise_requirement(text)
    except Invalid:
        return
    assert normalise_requirement(once) == once


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("1.0", "^1.0"),
        ("1", "^1"),
        (" 0.2.3 ", "^0.2.3"),
        (">=1,<2", ">=1, <2"),
        (">= 1.2 , < 1.5", ">=1.2, <1.5"),
        ("= 1.2", "=1.2"),
        ("*", "*"),
        ("x", "*"),
        ("1.*", "1.*"),
        ("1.x.X", "1.*"),
        ("1.2.*", "1.2.*"),
        ("^1.*", "^1"),
        ("=1.2.x", "=1.2"),
        ("1.2.3-rc.1+build.007", "^1.2.3-rc.1"),
        ("~1", "~1"),
    ],
)
def test_a_requirement_is_printed_as_cargo_does(written: str, printed: str) -> None:
    assert normalise_requirement(written) == printed


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "latest", "1.2.3.4", "01.0", "1.0.0-", "1.0.0-01", "1.2-rc", "1.*.0", "*.1", "1,",
        "*, 1", ">=1 <2", "==1", "1\t", "18446744073709551616", "v1", ">", "1.0.0+", "\u0661.0",
        ", ".join([">0"] * 33), "1.0.0-" + "a" * 3000,
    ],
)  # fmt: skip
def test_a_requirement_that_cargo_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="version requirement"):
        normalise_requirement(text)


@pytest.mark.parametrize("text", ["1", "1.60", "1.60.0", "0.0.0"])
def test_a_bare_rust_version_is_accepted(text: str) -> None:
    check_rust_version(text)


@pytest.mark.parametrize("text", ["", "^1.60", "x", "1.60.0-beta", "1.", "01.2", "1.2.3.4", "1 "])
def test_any_other_rust_version_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="rust-version"):
        check_rust_version(text)


@pytest.mark.parametrize(
    "text",
    [
        "x86_64-unknown-linux-gnu", "thumbv7em-none-eabi.json", "cfg(unix)", "cfg(any())",
        'cfg(all(target_os = "linux", not(target_arch="arm"),))', "cfg(r#true)", "cfg( true )",
        'cfg(feature = "a b(")', "cfg(" + "not(" * 60 + "unix" + ")" * 60 + ")",
    ],
)  # fmt: skip
def test_a_target_that_cargo_reads_is_accepted(text: str) -> None:
    normalise_target(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "a b", "cfg()", "cfg(unix", "cfg(unix))", "cfg(any(unix)", "cfg(not(a, b))", "cfg(1a)",
        'cfg("x")', "cfg(a =)", 'cfg(a = "x)', "cfg(a b)", "cfg(,)", "cfg(any(,))", "CFG(unix)",
        "cfg(a = b)", "cfg(all)", "cfg(" + "not(" * 99 + "unix" + ")" * 99 + ")", "a" * 5000,
        "cfg(unix\n)",
    ],
)  # fmt: skip
def test_a_target_that_cargo_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a target"):
        normalise_target(text)
