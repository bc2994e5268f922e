"""Accounts and tokens: given what happened, when somebody asks, then these events, or a refusal."""

import string
from typing import Any

import msgspec
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from packledger.domain.accounts import account
from packledger.domain.accounts.account import Account
from packledger.domain.accounts.actor import Actor
from packledger.domain.errors import Conflict, Invalid, NoSuchAccount, NotAllowed, NotFound
from packledger.domain.events.accounts import (
    AccountDisabled,
    AccountEnabled,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    SessionBegun,
    SessionEnded,
    TokenIssued,
    TokenRevoked,
)
from packledger.domain.events.event import Event
from packledger.domain.streams import ACCOUNTS

AT = "2026-11-21T10:00:00.000Z"
ROOT = Actor(AT, "root", admin=True)
S: dict[str, Any] = ROOT.stamp()
LATER = "2026-11-22T10:00:00.000Z"
REGISTERED = AccountRegistered(**S, name="alice", role="user")
DISABLED = AccountDisabled(**S, name="alice")
ISSUED = TokenIssued(**S, account="alice", token_id="t1", sha256="ab", label="laptop")
REVOKED = TokenRevoked(**S, account="alice", token_id="t1")


def given(*events: Event) -> Account:
    state = ACCOUNTS.fold(None, events)
    assert isinstance(state, Account)
    return state


def test_an_account_is_registered_once() -> None:
    assert account.decide_register(None, ROOT, "alice", "user") == [REGISTERED]
    for state in (given(REGISTERED), given(REGISTERED, DISABLED)):
        with pytest.raises(Conflict, match="`alice`"):
            account.decide_register(state, ROOT, "alice", "user")


@pytest.mark.parametrize(
    "name", ["", "a b", "-a", "a-", ".", "a/b", "é", "a" * 65, "a\n", "@a", "\uff41"]
)
def test_a_name_that_would_not_survive_in_a_url_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        account.decide_register(None, ROOT, name, "user")


@pytest.mark.parametrize("name", ["a", "0", "a.b", "a_b-c", "a" * 64, "Alice", "A.B-C"])
def test_a_plain_name_is_accepted(name: str) -> None:
    account.check_account_name(name)


@hypothesis_given(st.text())
def test_whatever_is_accepted_is_plain(name: str) -> None:
    try:
        account.check_account_name(name)
    except Invalid:
        return
    assert set(name) <= set(string.ascii_letters + string.digits + "._-")
    canonical = account.canonical_account_name(name)
    assert canonical == account.canonical_account_name(name.swapcase())


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(Invalid, match="`root`"):
        account.decide_register(None, ROOT, "alice", "root")


def test_disabling_twice_records_once_and_ends_the_tokens() -> None:
    assert account.decide_disable(given(REGISTERED), ROOT, "alice") == [DISABLED]
    state = given(REGISTERED, ISSUED, DISABLED)
    assert account.decide_disable(state, ROOT, "alice") == []
    assert state.disabled
    assert state.tokens == {}


def test_a_disabled_account_gets_no_token() -> None:
    with pytest.raises(NotAllowed, match="`alice`"):
        account.decide_issue(given(REGISTERED, DISABLED), ROOT, ISSUED)


def test_a_token_is_issued_and_revoked_once() -> None:
    assert account.decide_issue(given(REGISTERED), ROOT, ISSUED) == [ISSUED]
    state = given(REGISTERED, ISSUED)
    assert state.tokens == {"t1": "laptop"}
    assert account.decide_revoke(state, ROOT, "alice", "t1") == [REVOKED]
    with pytest.raises(NotFound, match="`t1`"):
        account.decide_revoke(given(REGISTERED, ISSUED, REVOKED), ROOT, "alice", "t1")


def test_an_unknown_scope_is_refused() -> None:
    issued = msgspec.structs.replace(ISSUED, scopes=("yank", "fly"))
    with pytest.raises(Invalid, match="`fly`"):
        account.decide_issue(given(REGISTERED), ROOT, issued)


def test_an_account_that_is_not_there_has_nothing() -> None:
    for ask in (
        lambda: account.decide_disable(None, ROOT, "alice"),
        lambda: account.decide_password(None, ROOT, "alice"),
        lambda: account.decide_issue(None, ROOT, ISSUED),
        lambda: account.decide_revoke(None, ROOT, "alice", "t1"),
    ):
        with pytest.raises(NoSuchAccount, match="`alice`"):
            ask()


def test_roles_and_passwords_change() -> None:
    changed = AccountRoleChanged(**S, name="alice", role="admin")
    assert given(REGISTERED, changed).role == "admin"
    events = account.decide_password(given(REGISTERED), ROOT, "alice")
    assert events == [AccountPasswordChanged(**S, name="alice")]
    assert given(REGISTERED, *events) == given(REGISTERED)


def test_folding_leaves_the_given_state_alone() -> None:
    state = given(REGISTERED, ISSUED)
    before = state.copy()
    ACCOUNTS.fold(state, [REVOKED, DISABLED])
    assert state == before


def test_enabling_accepts_again_without_the_old_tokens() -> None:
    enabled = AccountEnabled(**S, name="alice")
    state = given(REGISTERED, ISSUED, DISABLED)
    assert account.decide_enable(state, ROOT, "Alice") == [enabled]
    state = given(REGISTERED, ISSUED, DISABLED, enabled)
    assert not state.disabled
    assert state.tokens == {}
    assert account.decide_enable(state, ROOT, "alice") == []
    with pytest.raises(NoSuchAccount):
        account.decide_enable(None, ROOT, "alice")


def test_a_role_changes_once() -> None:
    changed = AccountRoleChanged(**S, name="alice", role="admin")
    assert account.decide_role(given(REGISTERED), ROOT, "ALICE", "admin") == [changed]
    state = given(REGISTERED, changed)
    assert state.role == "admin"
    assert account.decide_role(state, ROOT, "alice", "admin") == []
    with pytest.raises(Invalid, match="`owner`"):
        account.decide_role(state, ROOT, "alice", "owner")
    with pytest.raises(NoSuchAccount):
        account.decide_role(None, ROOT, "alice", "admin")


def test_sessions_begin_and_end_apart_from_tokens() -> None:
    begun = SessionBegun(**S, name="alice", session_id="s1", sha256="cd", expires=LATER)
    ended = SessionEnded(**S, name="alice", session_id="s1")
    assert account.decide_begin_session(given(REGISTERED), ROOT, begun) == [begun]
    state = given(REGISTERED, ISSUED, begun)
    assert account.decide_end_session(state, ROOT, "alice", "s1") == [ended]
    assert account.decide_end_session(state, ROOT, "alice", "t1") == [], "a token is no session"
    with pytest.raises(NotFound):
        account.decide_revoke(state, ROOT, "alice", "s1")
    assert given(REGISTERED, ISSUED, begun, ended).tokens == {"t1": "laptop"}
    for event in (DISABLED, AccountPasswordChanged(**S, name="alice")):
        assert given(REGISTERED, begun, event).sessions == {}
    with pytest.raises(NotAllowed):
        account.decide_begin_session(given(REGISTERED, DISABLED), ROOT, begun)


def test_a_session_that_is_over_leaves_the_state_when_another_begins() -> None:
    first = SessionBegun(**S, name="alice", session_id="s1", sha256="cd", expires=LATER)
    later = {**S, "at": "2027-01-01T00:00:00.000Z"}
    second = SessionBegun(**later, name="alice", session_id="s2", sha256="ef", expires="2028")
    assert list(given(REGISTERED, first, second).sessions) == ["s2"]
