"""How often passwords may be tried: counted by account and address, in a table of all workers.

A table of counters in a small mapped file, found by a keyed hash: its size is fixed, whoever tries
what. Two keys in one slot count together, which at worst refuses somebody for minutes. Each slot
holds this window's count and the last one's, which together approximate a sliding window.
"""

import fcntl
import hashlib
import os
import re
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_network,
)
from pathlib import Path

from packledger.domain.accounts.addresses import network_of
from packledger.domain.errors import TooMany
from packledger.eventstore.mapped_file import map_shared

WINDOW_S = 300
PER_ACCOUNT_AND_ADDRESS = 10
PER_ADDRESS = 50
PER_ACCOUNT = 100
"""By all addresses together, but for those from which its password was given lately: who tries from
many addresses cannot keep its owner out."""
REGISTRATIONS_PER_ADDRESS = 100
TRUST_S = 24 * 3600
SLOTS = 65_536

_KEY_BYTES = 16
_SLOT = struct.Struct("<IHH")
_TRUST = struct.Struct("<II")
"""The window in which a password was right, and whose it was: a slot alone is everybody's."""
_TRUST_AT = _KEY_BYTES + SLOTS * _SLOT.size
_SIZE_BYTES = _TRUST_AT + SLOTS * _TRUST.size
_MOST = 0xFFFF


class Counters:
    """The table. now_s: seconds since the epoch, for tests."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time) -> None:
        self._map, self._fd = map_shared(path, _SIZE_BYTES)
        self._now_s = now_s
        with self._locked():
            if not any(self._map[:_KEY_BYTES]):
                # Without it nobody can choose names that fall into somebody else's slot.
                self._map[:_KEY_BYTES] = secrets.token_bytes(_KEY_BYTES)
            self._key = self._map[:_KEY_BYTES]

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()
        os.close(self._fd)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def wait_s(self, name: str, limit: int) -> int:
        """Return in how many seconds one more is allowed, 0 for now."""
        elapsed = self._now_s() % WINDOW_S
        _, current, previous = self._counts(self._at(name))
        if current >= limit:
            return int(2 * WINDOW_S - elapsed - (limit - 1) / current * WINDOW_S) + 1
        if current + previous * (1 - elapsed / WINDOW_S) < limit:
            return 0
        return max(1, int(WINDOW_S * (1 - (limit - current) / previous) - elapsed) + 1)

    def add(self, name: str) -> None:
        """Count one."""
        with self._locked():
            at = self._at(name)
            window, current, previous = self._counts(at)
            _SLOT.pack_into(self._map, at, window, min(current + 1, _MOST), previous)

    def take_back(self, name: str) -> None:
        """Do not count one that was counted."""
        with self._locked():
            at = self._at(name)
            window, current, previous = self._counts(at)
            _SLOT.pack_into(self._map, at, window, max(current - 1, 0), previous)

    def forget(self, name: str) -> None:
        """Count anew."""
        with self._locked():
            _SLOT.pack_into(self._map, self._at(name), 0, 0, 0)

    def trust(self, name: str) -> None:
        """Remember a name from now on."""
        slot, mark = self._slot(name)
        with self._locked():
            place = _TRUST_AT + slot * _TRUST.size
            _TRUST.pack_into(self._map, place, int(self._now_s() // WINDOW_S), mark)

    def is_trusted(self, name: str, age_s: int) -> bool:
        """Return whether a name was remembered in the last `age_s` seconds or so."""
        slot, mark = self._slot(name)
        window, whose = _TRUST.unpack_from(self._map, _TRUST_AT + slot * _TRUST.size)
        return bool(whose == mark and window >= (self._now_s() - age_s) // WINDOW_S)

    def _at(self, name: str) -> int:
        return _KEY_BYTES + self._slot(name)[0] * _SLOT.size

    def _slot(self, name: str) -> tuple[int, int]:
        """Return the slot of a name, and 32 bits that tell it from others there."""
        digest = hashlib.blake2b(name.encode(), digest_size=8, key=self._key).digest()
        rest, slot = divmod(int.from_bytes(digest, "little"), SLOTS)
        return slot, rest & 0xFFFFFFFF

    def _counts(self, at: int) -> tuple[int, int, int]:
        """Return a slot as of now: number of the window, its count, that of the one before."""
        now = int(self._now_s() // WINDOW_S)
        window, current, previous = _SLOT.unpack_from(self._map, at)
        if window == now:
            return now, current, previous
        return now, 0, current if window == now - 1 else 0


class LoginAttempts:
    """Refuses a password before it is looked at, when there were too many wrong ones."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def begin(self, account: str, address: str) -> None:
        """Count an attempt as a failure, until it turns out to be none.

        Raises:
            TooMany: there were too many from there, or at this account.
        """
        counters, limits = self._counters, self._limits(account, address)
        wait_s = max(counters.wait_s(name, limit) for name, limit in limits)
        if wait_s:
            raise TooMany("too many wrong passwords", wait_s)
        for name, _ in limits:
            counters.add(name)

    def succeed(self, account: str, address: str) -> None:
        """Take back what `begin` counted: the password was right."""
        (both, _), *others = self._limits(account, address)
        self._counters.forget(both)
        for name, _ in others:
            self._counters.take_back(name)
        self._counters.trust(_trusted(account, address))

    def _limits(self, account: str, address: str) -> list[tuple[str, int]]:
        """Return what an attempt counts for, and how much of it is allowed."""
        limits = [
            (f"both {address} {account}", PER_ACCOUNT_AND_ADDRESS),
            (f"address {address}", PER_ADDRESS),
        ]
        if not self._counters.is_trusted(_trusted(account, address), TRUST_S):
            limits.append((f"account {account}", PER_ACCOUNT))
        return limits

    def register(self, address: str) -> None:
        """Count a new account.

        Raises:
            TooMany: too many were registered from there.
        """
        name = f"new {address}"
        if wait_s := self._counters.wait_s(name, REGISTRATIONS_PER_ADDRESS):
            raise TooMany("too many new accounts from your address", wait_s)
        self._counters.add(name)


def _trusted(account: str, address: str) -> str:
    return f"trusted {address} {account}"


class Proxies:
    """Whose word is taken for where a request comes from."""

    def __init__(self, proxies: Sequence[str]) -> None:
        self._networks = [network_of(one) for one in proxies]

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """Return a client's address, of IPv6 the /64 that belongs to one customer."""
        found = self.address(peer, forwarded_for)
        if isinstance(found, IPv6Address):
            return str(ip_network((found, 64), strict=False))
        return str(found)

    def address(self, peer: str, forwarded_for: str | None) -> IPv4Address | IPv6Address | None:
        """Return a client's whole address, None if it has none.

        forwarded_for: `X-Forwarded-For`; its last address that is no proxy of ours.
        """
        hops = [peer]
        if forwarded_for:
            hops += reversed(forwarded_for.split(","))
        found: IPv4Address | IPv6Address | None = None
        for hop in hops:
            address = _address(hop)
            if address is None:
                break
            found = address
            if not any(address in network for network in self._networks):
                break
        return found


_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?")
"""`[2001:db8::1]`, `[2001:db8::1]:443`, `192.0.2.1:443`; what has no brackets is taken whole.
Source: https://www.rfc-editor.org/rfc/rfc7239#section-6"""


def _address(hop: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a hop as proxies write it, None if it is none.

    A listener on `[::]` sees IPv4 clients as `::ffff:192.0.2.1`: they are who they are.
    """
    text = hop.strip()
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
