"""Registering, and dying between the credential and the event that needs it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from packledger.commands import accounts, tokens
from packledger.commands.tokens import TokenWish
from packledger.domain.accounts.permissions import OPERATOR
from packledger.domain.errors import (
    Conflict,
    Invalid,
    NoSuchAccount,
    NotAuthenticated,
    Unavailable,
    WrongPassword,
)
from packledger.domain.events.accounts import AccountPasswordChanged, AccountRegistered, TokenIssued
from packledger.domain.streams import ACCOUNTS
from packledger.eventstore.log import Log
from small_registry import SmallRegistry, memory_folder

PASSWORD, OTHER = "a good password", "another password"


@pytest.fixture
def small() -> Iterator[SmallRegistry]:
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        yield small


def register(small: SmallRegistry, name: str, password: str = PASSWORD, **more: Any) -> None:
    accounts.register(small.registry, small.actor("root"), name, password, **more)


def check(small: SmallRegistry, name: str, password: str = PASSWORD) -> None:
    small.registry.credentials.check_password(name, password)


def registered(small: SmallRegistry, name: str) -> int:
    """How often an account was registered."""
    return sum(isinstance(one, AccountRegistered) for one in small.log.stream(ACCOUNTS, name))


@pytest.fixture
def dies_before_its_event(small: SmallRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registration of `alice` left its credential and no event."""

    def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Log, "execute", full)
        with pytest.raises(Unavailable):
            register(small, "alice")
    assert registered(small, "alice") == 0


def test_a_registered_account_has_its_password_and_no_other(small: SmallRegistry) -> None:
    register(small, "alice", email="alice@example.com")
    check(small, "alice")
    assert small.registry.credentials.email("alice") == "alice@example.com"
    for name, password in (("alice", OTHER), ("alice", ""), ("bob", PASSWORD), ("", "")):
        with pytest.raises(WrongPassword):
            check(small, name, password)


def test_a_taken_name_keeps_its_password(small: SmallRegistry) -> None:
    register(small, "alice")
    for password in (OTHER, PASSWORD):
        with pytest.raises(Conflict, match="`alice`"):
            register(small, "alice", password)
    check(small, "alice")
    assert registered(small, "alice") == 1


@pytest.mark.usefixtures("dies_before_its_event")
def test_a_registration_that_died_can_be_repeated(small: SmallRegistry) -> None:
    register(small, "alice")
    check(small, "alice")
    assert registered(small, "alice") == 1


@pytest.mark.usefixtures("dies_before_its_event")
def test_a_registration_that_died_is_not_taken_over_with_another_password(
    small: SmallRegistry,
) -> None:
    with pytest.raises(Conflict, match="`alice`"):
        register(small, "alice", OTHER)
    assert registered(small, "alice") == 0
    check(small, "alice")


def test_a_refused_registration_leaves_no_credential(small: SmallRegistry) -> None:
    for name, password, more in (
        ("Alice!", PASSWORD, {}),
        ("alice", "short", {}),
        ("alice", "x" * 1025, {}),
        ("alice", PASSWORD, {"role": "king"}),
    ):
        with pytest.raises(Invalid):
            register(small, name, password, **more)
        with pytest.raises(WrongPassword):
            check(small, name, password)


def test_the_setup_code_makes_one_administrator(small: SmallRegistry) -> None:
    code = small.registry.credentials.new_setup_code()
    assert code is not None
    actor = small.actor("")
    for wrong in ("", "abc", code[:-1]):
        with pytest.raises(NotAuthenticated):
            accounts.claim_setup(small.registry, actor, wrong, "root", PASSWORD)
    with pytest.raises(Invalid):
        accounts.claim_setup(small.registry, actor, code, "root", "short")
    accounts.claim_setup(small.registry, actor, f" {code.upper()}\n", "root", PASSWORD)
    state = small.log.load(ACCOUNTS, "root").state
    assert state.role == "admin"
    with pytest.raises(NotAuthenticated):
        accounts.claim_setup(small.registry, actor, code, "second", PASSWORD)
    assert small.registry.credentials.new_setup_code() is None


def test_a_new_setup_code_replaces_the_old_one(small: SmallRegistry) -> None:
    old = small.registry.credentials.new_setup_code()
    new = small.registry.credentials.new_setup_code()
    assert old is not None
    assert new is not None
    with pytest.raises(NotAuthenticated):
        accounts.claim_setup(small.registry, small.actor(""), old, "root", PASSWORD)
    accounts.claim_setup(small.registry, small.actor(""), new, "root", PASSWORD)


def test_an_administrator_made_otherwise_ends_the_setup(small: SmallRegistry) -> None:
    code = small.registry.credentials.new_setup_code()
    assert code is not None
    register(small, "root", role="admin")
    with pytest.raises(NotAuthenticated):
        accounts.claim_setup(small.registry, small.actor(""), code, "second", PASSWORD)


@pytest.fixture
def code(small: SmallRegistry, monkeypatch: pytest.MonkeyPatch) -> str:
    """A setup code whose use for `root` died before its event."""
    code = small.registry.credentials.new_setup_code()
    assert code is not None

    def full(*_: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Log, "execute", full)
        with pytest.raises(Unavailable):
            accounts.claim_setup(small.registry, small.actor(""), code, "root", PASSWORD)
    return code


def test_a_setup_that_died_can_be_repeated_for_the_same_name(
    small: SmallRegistry, code: str
) -> None:
    with pytest.raises(NotAuthenticated):
        accounts.claim_setup(small.registry, small.actor(""), code, "second", PASSWORD)
    accounts.claim_setup(small.registry, small.actor(""), code, "root", PASSWORD)
    assert small.log.load(ACCOUNTS, "root").state.role == "admin"
    assert small.registry.credentials.new_setup_code() is None


def test_a_setup_that_died_gets_another_code_at_the_next_start(
    small: SmallRegistry, code: str
) -> None:
    another = small.registry.credentials.new_setup_code()
    assert another is not None
    with pytest.raises(NotAuthenticated):
        accounts.claim_setup(small.registry, small.actor(""), code, "root", PASSWORD)
    accounts.claim_setup(small.registry, small.actor(""), another, "second", PASSWORD)
    assert small.log.load(ACCOUNTS, "second").state.role == "admin"


def test_a_changed_password_is_the_only_one(small: SmallRegistry) -> None:
    register(small, "alice", email="alice@example.com")
    accounts.change_password(small.registry, small.actor("alice"), "alice", OTHER)
    check(small, "alice", OTHER)
    with pytest.raises(WrongPassword):
        check(small, "alice")
    assert small.registry.credentials.email("alice") == "alice@example.com"
    assert isinstance(small.log.stream(ACCOUNTS, "alice")[-1], AccountPasswordChanged)
    with pytest.raises(NoSuchAccount):
        accounts.change_password(small.registry, small.actor("bob"), "bob", OTHER)
    with pytest.raises(WrongPassword):
        check(small, "bob", OTHER)


def test_no_secret_enters_the_log(small: SmallRegistry) -> None:
    register(small, "alice", email="alice@example.com")
    secret, issued = tokens.issue_token(
        small.registry, small.caller("alice").proving(OPERATOR), "alice", TokenWish()
    )
    accounts.change_password(small.registry, small.actor("alice"), "alice", OTHER)
    assert isinstance(issued, TokenIssued)
    stored = b"".join(one.state for one in small.log.read(0, 1000))
    assert issued.sha256.encode() in stored
    for private in (secret, PASSWORD, OTHER, "alice@example.com", "argon2"):
        assert private.encode() not in stored
