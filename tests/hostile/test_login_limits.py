"""Passwords cannot be guessed by trying, and guessing keeps nobody out."""

import asyncio
import base64
import http.client
import itertools
import json
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import create_asgi_req
from hypothesis import assume, given
from hypothesis import strategies as st

from packledger.api.access.attempts import (
    PER_ACCOUNT,
    PER_ACCOUNT_AND_ADDRESS,
    PER_ADDRESS,
    TRUST_S,
    WINDOW_S,
    Counters,
    LoginAttempts,
    Proxies,
)
from packledger.api.access.auth import Authenticator
from packledger.api.access.hooks import Hooks
from packledger.domain.errors import NotAuthenticated, TooMany
from packledger.eventstore.credentials import Credentials
from raw_http import Answer
from target import Target, assert_own_format

addresses = (f"127.0.{number // 250}.{number % 250 + 2}" for number in itertools.count())


class Visitor:
    """A client with an address of its own: all of 127.0.0.0/8 is this machine."""

    def __init__(self, target: Target) -> None:
        self._target, self.address = target, next(addresses)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        peer = http.client.HTTPConnection(
            "127.0.0.1", self._target.port, timeout=30, source_address=(self.address, 0)
        )
        try:
            peer.request(method, path, None if body is None else json.dumps(body), headers)
            said = peer.getresponse()
            names = {name.lower(): value for name, value in said.getheaders()}
            return Answer(said.status, names, said.read())
        finally:
            peer.close()

    def log_in(self, account: str, password: str) -> Answer:
        user = f"org.couchdb.user:{account}"
        body = {"_id": user, "name": account, "password": password}
        return self.ask("PUT", f"/npm/-/user/{user}", body)

    def basic(self, path: str, account: str, password: str) -> Answer:
        encoded = base64.b64encode(f"{account}:{password}".encode()).decode()
        return self.ask("PUT", path, [], authorization=f"Basic {encoded}")


@pytest.fixture
def visitor(target: Target) -> Visitor:
    return Visitor(target)


def test_wrong_passwords_are_refused_after_a_while(target: Target, visitor: Visitor) -> None:
    """Whichever of the workers counts: exactly so many are looked at."""
    statuses = [
        visitor.log_in("alice", f"wrong {number}").status
        for number in range(PER_ACCOUNT_AND_ADDRESS + 3)
    ]
    assert statuses == [401] * PER_ACCOUNT_AND_ADDRESS + [429] * 3
    refused = visitor.log_in("alice", "password of alice")
    assert refused.status == 429, "else the right one can be told from the wrong ones"
    assert_own_format("/npm/", refused)
    assert 0 < int(refused.headers["retry-after"]) <= 2 * WINDOW_S
    assert b"too many wrong passwords; try again in" in refused.body


def test_who_guesses_keeps_nobody_else_out(target: Target, visitor: Visitor) -> None:
    for number in range(PER_ACCOUNT_AND_ADDRESS + 1):
        last = visitor.log_in("bob", f"wrong {number}")
    assert last.status == 429
    assert Visitor(target).log_in("bob", "password of bob").status == 201
    assert visitor.log_in("alice", "password of alice").status == 201
    token = f"Bearer {target.tokens['bob']}"
    assert visitor.ask("GET", "/npm/-/whoami", authorization=token).status == 200


@pytest.mark.parametrize("path", ["/npm/victim", "/cargo/api/v1/crates/new"])
def test_basic_authentication_counts_too(visitor: Visitor, path: str) -> None:
    for number in range(PER_ACCOUNT_AND_ADDRESS):
        assert visitor.basic(path, "nobody-at-all", f"wrong {number}").status == 401
    refused = visitor.basic(path, "nobody-at-all", "wrong")
    assert refused.status == 429
    assert_own_format(path, refused)


def test_right_passwords_do_not_count(visitor: Visitor) -> None:
    for _ in range(PER_ACCOUNT_AND_ADDRESS + 2):
        assert visitor.log_in("alice", "password of alice").status == 201
    for number in range(PER_ACCOUNT_AND_ADDRESS - 1):
        assert visitor.log_in("alice", f"wrong {number}").status == 401
    assert visitor.log_in("alice", "password of alice").status == 201
    assert visitor.log_in("alice", "wrong").status == 401


class Clock:
    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(tmp_path: Path, clock: Clock) -> Iterator[Counters]:
    opened = Counters(tmp_path / "attempts", clock)
    yield opened
    opened.close()


def tries_until_refused(attempts: LoginAttempts, account: str, address: str) -> int:
    for count in itertools.count():
        try:
            attempts.begin(account, address)
        except TooMany:
            return count
    raise AssertionError("not reached")


class Patient(Credentials):
    """Credentials whose hash is ready when somebody else says so."""

    def __init__(self) -> None:
        self.ready = threading.Event()

    def check_password(self, account: str, password: str) -> None:
        assert self.ready.wait(5), "the event loop is what waits"
        raise NotAuthenticated("wrong")


def test_the_event_loop_goes_on_while_a_hash_is_made(tmp_path: Path, clock: Clock) -> None:
    patient = Patient()
    attempts = LoginAttempts(Counters(tmp_path / "attempts", clock))
    nobody: Any = None
    authenticator = Authenticator(nobody, patient, clock, Hooks(), attempts, Proxies(()))

    async def try_one() -> None:
        attempt = asyncio.ensure_future(
            authenticator.by_password(create_asgi_req(), "alice", "wrong")
        )
        while not attempt.done():
            await asyncio.sleep(0)
            patient.ready.set()
        await attempt

    with pytest.raises(NotAuthenticated):
        asyncio.run(try_one())


def test_one_address_cannot_try_every_account(counters: Counters) -> None:
    attempts = LoginAttempts(counters)
    tried = sum(tries_until_refused(attempts, f"account-{n}", "203.0.113.1") for n in range(20))
    assert tried == PER_ADDRESS
    assert tries_until_refused(attempts, "account-0", "203.0.113.2") > 0


def test_many_addresses_cannot_try_one_account(counters: Counters) -> None:
    attempts = LoginAttempts(counters)
    attempts.begin("alice", "198.51.100.7")
    attempts.succeed("alice", "198.51.100.7")
    tried = sum(tries_until_refused(attempts, "alice", f"203.0.113.{n}") for n in range(100))
    assert tried == PER_ACCOUNT
    attempts.begin("alice", "198.51.100.7")  # where the password was right before


def test_what_others_have_counted_makes_no_address_trusted(counters: Counters) -> None:
    """With counters in place of marks, who tried from enough addresses was trusted everywhere."""
    for number in range(20_000):
        counters.add(f"address {number}")
        if number % 10 == 0:
            counters.trust(f"trusted {number}")
    assert not [n for n in range(20_000) if counters.is_trusted(f"trusted by nobody {n}", TRUST_S)]
    assert counters.is_trusted("trusted 19990", TRUST_S)


def test_waiting_as_long_as_said_is_enough(counters: Counters, clock: Clock) -> None:
    attempts = LoginAttempts(counters)
    for start_s in (0.0, 0.5, WINDOW_S / 3, WINDOW_S - 0.5):
        clock.now_s = 1_800_000_000 + 100 * WINDOW_S * (1 + start_s) + start_s
        tries_until_refused(attempts, "alice", "203.0.113.1")
        with pytest.raises(TooMany) as refused:
            attempts.begin("alice", "203.0.113.1")
        assert 0 < refused.value.retry_after_s <= 2 * WINDOW_S
        clock.now_s += refused.value.retry_after_s
        attempts.begin("alice", "203.0.113.1")


def test_another_worker_counts_in_the_same_table(tmp_path: Path, clock: Clock) -> None:
    first, second = (LoginAttempts(Counters(tmp_path / "attempts", clock)) for _ in range(2))
    for _ in range(PER_ACCOUNT_AND_ADDRESS // 2):
        first.begin("alice", "203.0.113.1")
        second.begin("alice", "203.0.113.1")
    for attempts in (first, second):
        with pytest.raises(TooMany):
            attempts.begin("alice", "203.0.113.1")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.1", None, "203.0.113.1"),
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "192.0.2.1, 198.51.100.7, 127.0.0.1", "198.51.100.7"),
        ("127.0.0.1", "forged, \xff", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.1", None, "203.0.113.1"),
        # What a listener on `[::]` sees of a proxy on this machine.
        ("::ffff:127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:127.0.0.1", "198.51.100.7, ::ffff:127.0.0.2", "198.51.100.7"),
        ("127.0.0.1", "[2001:db8:1:2::9]:443, [::1]:8080, 127.0.0.1:9", "2001:db8:1:2::/64"),
        ("127.0.0.1", "[198.51.100.7]", "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7:port", "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(
    peer: str, forwarded_for: str | None, client: str
) -> None:
    assert Proxies(("127.0.0.0/8", "::1")).client(peer, forwarded_for) == client


@given(client=st.ip_addresses(), hops=st.lists(st.sampled_from(["127.0.0.1", "::1", "127.9.9.9"])))
def test_an_address_is_the_same_however_a_proxy_writes_it(client: Any, hops: list[str]) -> None:
    """With a port, in brackets, mapped to IPv6; and so are the proxies."""
    assume(not client.is_loopback and (client.version == 4 or client.ipv4_mapped is None))
    proxies = Proxies(("::ffff:127.0.0.0/104", "::1"))
    (expected, *others) = {
        proxies.client(writing(peer), ",".join(map(writing, [str(client), *hops])) + spaces)
        for writing in _WRITINGS
        for peer in ("127.0.0.1", "::1")
        for spaces in ("", " ", "\t")
    }
    assert others == []
    assert expected == (str(client) if client.version == 4 else str(_network_of(client)))


def _mapped(address: str) -> str:
    return address if ":" in address else f"::ffff:{address}"


_WRITINGS = (
    str,
    _mapped,
    lambda address: f"[{address}]",
    lambda address: f"[{_mapped(address)}]:65535",
    lambda address: f"[{address}]:1" if ":" in address else f"{address}:1",
    lambda address: f" {address.upper()}",
)


def _network_of(client: Any) -> Any:
    return ip_network((int(client), 64), strict=False)
