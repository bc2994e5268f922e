"""What a token may do: its scopes, its packages, its time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.errors import NotAllowed, NotAuthenticated
from packledger.domain.permissions import Identity

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
