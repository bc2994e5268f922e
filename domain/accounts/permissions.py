"""What an account with a certain credential may do; whether it owns the package is asked elsewhere.

Every credential is of one kind, and nobody makes or ends one that can do more than their own.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from packledger.domain.accounts.addresses import are_within, is_within
from packledger.domain.errors import NotAllowed, NotAuthenticated

PACKAGE_SCOPES = ("publish-new", "publish-update", "yank", "change-owners", "dist-tags", "stars")
"""What a token can be limited to: crates.io's names, and npm's `dist-tags` and `stars`."""
MANAGE_TOKENS = "manage-tokens"
"""Listing and revoking tokens, which no token may unless it was made for that."""
FETCH_FILES = "fetch-files"
"""Any stored file, and the whole history: an administrator's token that has limits needs it."""
SCOPES = (*PACKAGE_SCOPES, MANAGE_TOKENS, FETCH_FILES)
LOGIN_SCOPES = SCOPES
"""Of the token that `npm login` gives for a password: `npm token` goes on with it."""
_UNNAMED = {*PACKAGE_SCOPES, FETCH_FILES}
"""What a token without scopes may do, if it is without other limits and its account may."""

TOKEN, SESSION, PASSWORD, OPERATED = "token", "session", "password", "operator"


class Limits(Protocol):
    """What a token was limited to."""

    @property
    def read_only(self) -> bool: ...  # noqa: D102
    @property
    def scopes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def packages(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def expires(self) -> str: ...  # noqa: D102
    @property
    def cidr(self) -> Sequence[str] | msgspec.UnsetType: ...  # noqa: D102


class Identity(msgspec.Struct, frozen=True):
    """An authenticated caller.

    token: public id, of a session its id, empty for a password. scopes, packages: empty for no
    limit; a package is `NAME`, `cargo:NAME` or `npm:NAME`, and may end in `*`. expires: RFC 3339,
    empty for never. cidr: ranges that it may be used from, empty for everywhere. kind: `TOKEN`, or
    what proves a person: `SESSION`, `PASSWORD`, `OPERATED`.
    """

    account: str
    admin: bool = False
    token: str = ""
    read_only: bool = False
    scopes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    expires: str = ""
    kind: str = TOKEN
    cidr: tuple[str, ...] = ()

    def check_fresh(self, now: str) -> None:
        """Refuse a token whose time is over. now: RFC 3339.

        Raises:
            NotAuthenticated: it has expired.
        """
        if self.expires and self.expires <= now:
            raise NotAuthenticated(
                f"the token `{self.token}` expired on {self.expires}; create a new one"
            )

    def check_from(self, address: str) -> None:
        """Refuse a token that is used from elsewhere than it may be.

        Raises:
            NotAllowed: the address is in none of its ranges.
        """
        if self.cidr and not is_within(address, self.cidr):
            raise NotAllowed(
                f"the token `{self.token}` may not be used from your address `{address}`; it is "
                f"for {', '.join(self.cidr)}"
            )

    def check_may_publish(self) -> None:
        """Refuse a token that is not for publishing, whatever it may turn out to be.

        Raises:
            NotAllowed: read-only, or other scopes.
        """
        self.check_may_write()
        if self.scopes and not {"publish-new", "publish-update"} & {*self.scopes}:
            raise NotAllowed(f"the token `{self.token}` lacks the scope `publish-new`")

    def check_may_write(self) -> None:
        """Refuse a token that may change nothing at all.

        Raises:
            NotAllowed: it is read-only.
        """
        if self.read_only:
            raise NotAllowed(f"the token `{self.token}` may only read; use another one to write")

    def check_may(self, scope: str, ecosystem: str, name: str) -> None:
        """Refuse what the token is not for.

        Raises:
            NotAllowed: read-only, another scope, or another package.
        """
        self.check_may_write()
        if self.scopes and scope not in self.scopes:
            raise NotAllowed(f"the token `{self.token}` lacks the scope `{scope}`")
        if self.packages and not self._is_for(ecosystem, name):
            raise NotAllowed(f"the token `{self.token}` is not for the package `{name}`")

    def _is_for(self, ecosystem: str, name: str) -> bool:
        return any(_within((ecosystem, name), _split(pattern)) for pattern in self.packages)

    def check_may_fetch_files(self) -> None:
        """Refuse who may not have every file and the whole history, what is hidden included.

        Raises:
            NotAllowed: no administrator, or a token with limits that was not made for this.
        """
        if not self.admin:
            raise NotAllowed("only an administrator may fetch this")
        limited = self.read_only or bool(self.scopes) or bool(self.packages)
        if limited and FETCH_FILES not in self.scopes:
            raise NotAllowed(
                f"the token `{self.token}` has limits and lacks the scope `{FETCH_FILES}`"
            )

    def check_may_see_tokens(self) -> None:
        """Refuse a token that was not made for managing tokens.

        Raises:
            NotAllowed: it lacks the scope.
        """
        if self.kind == TOKEN and MANAGE_TOKENS not in self.scopes:
            raise NotAllowed(
                f"the token `{self.token}` lacks the scope `{MANAGE_TOKENS}`; use `npm login`, "
                "which asks for your password, or the account's page"
            )

    def check_may_issue(self, account: str, wanted: Limits) -> None:
        """Refuse to make a token that could do more than this caller.

        Raises:
            NotAllowed: somebody else's, or more than one's own.
        """
        self.check_may_see_tokens()
        self.check_may_write()
        if self.kind != OPERATED and self.account != account:
            raise NotAllowed(f"only `{account}` makes tokens for that account")
        self._check_holds(wanted)

    def check_may_revoke(self, token: "Identity") -> None:
        """Refuse to end a token that could do more than this caller; its own it always may.

        Raises:
            NotAllowed: somebody else's, or more than one's own.
        """
        if self.kind == TOKEN and self.token and self.token == token.token:
            return
        self.check_may_see_tokens()
        self.check_may_write()
        if self.account != token.account and not self.admin:
            raise NotAllowed(f"the token `{token.token}` is not yours")
        self._check_holds(token)

    def _check_holds(self, wanted: Limits) -> None:
        if self.kind == TOKEN and not self._holds(wanted):
            raise NotAllowed(
                f"the token `{self.token}` may do less than that one; use the account's page"
            )

    def _holds(self, wanted: Limits) -> bool:
        """Return whether whoever has this token may do all that `wanted` allows."""
        writes = (self.read_only, wanted.read_only) != (True, False)
        lasts = not self.expires or (bool(wanted.expires) and wanted.expires <= self.expires)
        near = are_within(wanted.cidr or (), self.cidr)
        return (
            writes
            and lasts
            and near
            and self._holds_scopes(wanted)
            and self._holds_packages(wanted)
        )

    def _holds_scopes(self, wanted: Limits) -> bool:
        return set(self.scopes or _UNNAMED).issuperset(wanted.scopes or _UNNAMED)

    def _holds_packages(self, wanted: Limits) -> bool:
        mine = [_split(pattern) for pattern in self.packages]
        if not mine:
            return True
        theirs = [_split(pattern) for pattern in wanted.packages]
        return bool(theirs) and all(any(_within(one, own) for own in mine) for one in theirs)


OPERATOR = Identity("", admin=True, kind=OPERATED)
"""Who runs a command on the data directory, and may do everything."""


def _split(pattern: str) -> tuple[str, str]:
    """Return the ecosystem, empty for both, and the name or its beginning with a star."""
    ecosystem, colon, name = pattern.partition(":")
    return (ecosystem, name) if colon else ("", pattern)


def _within(one: tuple[str, str], pattern: tuple[str, str]) -> bool:
    """Return whether all that one name or pattern means is meant by another, too."""
    if pattern[0] and one[0] != pattern[0]:
        return False
    # Only a trailing star is special: `[` may stand in no name, but a pattern is user input.
    if pattern[1].endswith("*"):
        return one[1].startswith(pattern[1][:-1])
    return one[1] == pattern[1]
