"""Ranges of addresses that a token may be used from, as CIDR has them.

Source: https://www.rfc-editor.org/rfc/rfc4632#section-3.1
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from packledger.domain.errors import Invalid

MAX_RANGES = 20


def ranges_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return ranges in their usual form; a single address is one, too.

    Raises:
        Invalid: one of them is none, or there are too many.
    """
    if len(texts) > MAX_RANGES:
        raise Invalid(f"a token is bound to at most {MAX_RANGES} ranges of addresses")
    return tuple(dict.fromkeys(str(_range(text.strip())) for text in texts))


def _range(text: str) -> IPv4Network | IPv6Network:
    try:
        return network_of(text)
    except ValueError as error:
        raise Invalid(
            f"`{text[:60]}` is no range of addresses; write it as `192.0.2.0/24` or `2001:db8::/32`"
        ) from error


def network_of(text: str) -> IPv4Network | IPv6Network:
    """Return a network; one of mapped IPv4 addresses is the network of those, as clients' are.

    Raises:
        ValueError: it is none.
    """
    found = ip_network(text, strict=False)
    if isinstance(found, IPv6Network) and found.prefixlen >= 96:
        first = found.network_address.ipv4_mapped
        if first is not None:
            return IPv4Network((first, found.prefixlen - 96))
    return found


def is_within(address: str, ranges: Sequence[str]) -> bool:
    """Return whether an address is in one of some ranges; what is no address is in none."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    plain = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return any((plain or found) in ip_network(one) for one in ranges)


def are_within(wanted: Sequence[str], ranges: Sequence[str]) -> bool:
    """Return whether all addresses of some ranges are in others, too. No ranges: everywhere."""
    if not ranges:
        return True
    outer = [ip_network(one) for one in ranges]
    return bool(wanted) and all(
        any(_holds(own, ip_network(one)) for own in outer) for one in wanted
    )


def _holds(outer: IPv4Network | IPv6Network, inner: IPv4Network | IPv6Network) -> bool:
    if isinstance(outer, IPv4Network):
        return isinstance(inner, IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and inner.subnet_of(outer)
