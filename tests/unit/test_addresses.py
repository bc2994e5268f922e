"""Ranges of addresses: which are understood, and what they hold."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.accounts.addresses import MAX_RANGES, are_within, is_within, ranges_of
from packledger.domain.errors import Invalid

addresses = st.ip_addresses()
networks = st.builds(
    lambda address, bits: str(ip_network((address, min(bits, address.max_prefixlen)), False)),
    addresses,
    st.integers(0, 128),
)


@given(st.lists(networks, max_size=4), addresses)
def test_a_range_holds_what_the_standard_library_says(ranges: list[str], address: object) -> None:
    kept = ranges_of(ranges)
    plain = getattr(address, "ipv4_mapped", None) or address
    expected = any(plain in ip_network(one) for one in kept)
    assert is_within(str(address), kept) is expected


@given(st.lists(networks, max_size=3), st.lists(networks, max_size=3), addresses)
def test_what_is_within_is_nowhere_else(
    wanted: list[str], ranges: list[str], address: object
) -> None:
    inner, outer = ranges_of(wanted), ranges_of(ranges)
    if are_within(inner, outer) and inner and is_within(str(address), inner):
        assert not outer or is_within(str(address), outer)
    if outer and not inner:
        assert not are_within(inner, outer), "no ranges mean everywhere"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        (" 2001:db8::1/32 ", "2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::1", "::1/128"),
    ],
)
def test_a_range_is_kept_in_its_usual_form(text: str, kept: str) -> None:
    assert ranges_of([text, text]) == (kept,)


@pytest.mark.parametrize(
    "text",
    ["", "all", "192.0.2.0/33", "192.0.2", "192.0.2.0/24/24", "::/129", "::g", "1" * 500, "/8",
     "10.0.0.0-10.0.0.9", "192.0.2.0/24,10.0.0.0/8", "fe80::1%eth0/64x", "\0"],
)  # fmt: skip
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no range of addresses"):
        ranges_of([text])


def test_a_token_has_a_few_ranges() -> None:
    ranges_of([f"10.0.{n}.0/24" for n in range(MAX_RANGES)])
    with pytest.raises(Invalid, match="at most"):
        ranges_of(["10.0.0.0/24"] * (MAX_RANGES + 1))


def test_mapped_addresses_are_those_they_map() -> None:
    assert is_within("::ffff:192.0.2.9", ["192.0.2.0/24"])
    assert not is_within("None", ["0.0.0.0/0", "::/0"])
    assert is_within(str(IPv6Address("2001:db8::9")), ["2001:db8::/32"])
    assert not is_within(str(IPv4Address("10.0.0.1")), ["::/0"])
