"""What a token may do: its scopes, its packages, its time; and what it may hand on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.accounts.permissions import (
    LOGIN_SCOPES,
    MANAGE_TOKENS,
    PACKAGE_SCOPES,
    PASSWORD,
    SCOPES,
    SESSION,
    Identity,
)
from packledger.domain.errors import NotAllowed, NotAuthenticated

NAMES = st.text("ab-*[", min_size=1, max_size=4)


def may(identity: Identity, scope: str = "yank", ecosystem: str = "npm", name: str = "a") -> bool:
    try:
        identity.check_may(scope, ecosystem, name)
    except NotAllowed:
        return False
    return True


def test_a_token_without_limits_may_everything() -> None:
    assert may(Identity("alice"))
    assert may(Identity("alice", token="t"), "publish-new", "cargo", "demo")


def test_a_read_only_token_may_change_nothing() -> None:
    with pytest.raises(NotAllowed, match=r"`t` may only read"):
        Identity("alice", token="t", read_only=True).check_may("yank", "npm", "a")


def test_an_administrator_is_held_to_the_tokens_limits() -> None:
    assert not may(Identity("root", admin=True, read_only=True))
    assert not may(Identity("root", admin=True, scopes=("publish-new",)))
    assert not may(Identity("root", admin=True, packages=("b",)))


def test_a_scope_allows_itself_alone() -> None:
    identity = Identity("alice", scopes=("publish-new", "yank"))
    assert may(identity, "yank")
    assert may(identity, "publish-new")
    assert not may(identity, "publish-update")
    assert not may(identity, "publish")


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("demo", ["cargo:demo", "npm:demo"], ["npm:demos", "npm:@a/demo", "cargo:Demo"]),
        ("npm:demo", ["npm:demo"], ["cargo:demo"]),
        ("cargo:de*", ["cargo:demo", "cargo:de"], ["npm:demo", "cargo:d"]),
        ("@acme/*", ["npm:@acme/tool"], ["npm:@acme2/tool", "npm:acme"]),
        ("*", ["npm:demo", "cargo:demo"], []),
        ("c*", ["cargo:cc", "npm:cc"], ["cargo:demo", "npm:demo"]),
        ("cargo*", ["cargo:cargo-deb"], ["cargo:demo"]),
        ("npm:*", ["npm:demo"], ["cargo:demo"]),
        ("d[e]mo", [], ["npm:demo"]),
        ("d*o", [], ["npm:demo"]),
    ],
)
def test_a_package_limit_covers(pattern: str, covered: list[str], not_covered: list[str]) -> None:
    identity = Identity("alice", packages=("other", pattern))
    for one in covered:
        ecosystem, _, name = one.partition(":")
        assert may(identity, "yank", ecosystem, name), one
    for one in not_covered:
        ecosystem, _, name = one.partition(":")
        assert not may(identity, "yank", ecosystem, name), one


@given(st.lists(NAMES, min_size=1, max_size=3), NAMES)
def test_only_a_last_star_is_special(patterns: list[str], name: str) -> None:
    expected = any(
        name == pattern or (pattern[-1] == "*" and name.startswith(pattern[:-1]))
        for pattern in patterns
    )
    assert may(Identity("alice", packages=tuple(patterns)), name=name) is expected


def test_a_token_ends_at_its_time() -> None:
    identity = Identity("alice", token="t", expires="2026-11-21T10:00:00.000Z")
    identity.check_fresh("2026-11-21T09:59:59.999Z")
    for now in ("2026-11-21T10:00:00.000Z", "2026-11-21T10:00:00.001Z", "2027-01-01T00:00:00.000Z"):
        with pytest.raises(NotAuthenticated, match="`t`"):
            identity.check_fresh(now)
    Identity("alice").check_fresh("9999-01-01T00:00:00.000Z")


LIMITS = st.fixed_dictionaries(
    {
        "read_only": st.booleans(),
        "scopes": st.lists(st.sampled_from(SCOPES), unique=True, max_size=4).map(tuple)
        | st.just(LOGIN_SCOPES),
        "packages": st.lists(
            st.sampled_from(["a", "a*", "ab", "c*", "npm:a*", "npm:ab", "cargo:*", "*", "npm:*"]),
            max_size=2,
        ).map(tuple),
        "expires": st.sampled_from(["", "2026-11-21T10:00:00.000Z", "2027-11-21T10:00:00.000Z"]),
    }
)
TIMES = ("2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z", "2028-01-01T00:00:00.000Z")


def everything(identity: Identity) -> set[tuple[str, ...]]:
    """All that somebody with this identity may do, at three moments."""
    able: set[tuple[str, ...]] = set()
    for now in TIMES:
        if identity.expires and identity.expires <= now:
            continue
        able |= {
            (now, scope, ecosystem, name)
            for scope in PACKAGE_SCOPES
            for ecosystem in ("cargo", "npm")
            for name in ("a", "ab", "abc", "cargo", "c", "zzz")
            if may(identity, scope, ecosystem, name)
        }
        for named in ("check_may_see_tokens", "check_may_fetch_files"):
            try:
                getattr(identity, named)()
            except NotAllowed:
                continue
            able.add((now, named))
    return able


@given(LIMITS, LIMITS, st.booleans())
def test_nobody_makes_or_ends_a_token_that_can_do_more(
    mine: dict[str, Any], wanted: dict[str, Any], admin: bool
) -> None:
    me, other = Identity("alice", admin, "t", **mine), Identity("alice", admin, "u", **wanted)
    for check in (lambda: me.check_may_issue("alice", other), lambda: me.check_may_revoke(other)):
        try:
            check()
        except NotAllowed:
            continue
        assert everything(other) <= everything(me)
        assert MANAGE_TOKENS in me.scopes
        assert not me.read_only


@given(LIMITS)
def test_who_proves_to_be_a_person_makes_any_token_of_their_own(wanted: dict[str, Any]) -> None:
    for kind in (SESSION, PASSWORD):
        person, token = Identity("alice", kind=kind), Identity("alice", token="u", **wanted)
        person.check_may_issue("alice", token)
        person.check_may_revoke(token)
        for refused in (
            lambda: person.check_may_issue("bob", token),  # noqa: B023 - called at once
            lambda: person.check_may_revoke(Identity("bob", token="v")),  # noqa: B023
        ):
            with pytest.raises(NotAllowed):
                refused()


@given(LIMITS)
def test_a_token_may_always_end_itself(limits: dict[str, Any]) -> None:
    token = Identity("alice", token="t", **limits)
    token.check_may_revoke(token)


def test_an_administrators_token_ends_others_tokens_within_its_limits_alone() -> None:
    others = Identity("bob", token="u", packages=("cargo:a",), scopes=("yank",))
    scopes = LOGIN_SCOPES
    Identity("root", True, "t", scopes=scopes).check_may_revoke(others)
    Identity("root", True, "t", scopes=scopes, packages=("cargo:a",)).check_may_revoke(others)
    for limited in (
        Identity("root", True, "t", scopes=scopes, packages=("cargo:b",)),
        Identity("root", True, "t"),
        Identity("root", False, "t", scopes=scopes),
    ):
        with pytest.raises(NotAllowed):
            limited.check_may_revoke(others)
