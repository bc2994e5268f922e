"""The events of an account's stream: its tokens and sessions are in it, too."""

import msgspec

from packledger.domain.events.event import Event


class AccountRegistered(Event, frozen=True, tag="account.registered.v1"):
    """An account exists. role: `user` or `admin`. Its password is beside the log, never in it.

    credential: SHA-256 hex of the stored hash, so that a replaced one shows (ADR 0044).
    """

    name: str
    role: str
    credential: str | msgspec.UnsetType = msgspec.UNSET


class AccountPasswordChanged(Event, frozen=True, tag="account.password_changed.v1"):
    """The password was changed; its hash is beside the log. credential: as of a registration."""

    name: str
    credential: str | msgspec.UnsetType = msgspec.UNSET


class AccountRoleChanged(Event, frozen=True, tag="account.role_changed.v1"):
    """The account became `user` or `admin`."""

    name: str
    role: str


class AccountDisabled(Event, frozen=True, tag="account.disabled.v1"):
    """The account and its tokens are refused."""

    name: str


class AccountEnabled(Event, frozen=True, tag="account.enabled.v1"):
    """The account is accepted again, with its old password; its tokens have ended."""

    name: str


class TokenIssued(Event, frozen=True, tag="token.issued.v1"):
    """A token was shown to its owner once.

    sha256: hex of the secret (160 random bits, so the hash tells nothing); token_id: public id;
    label: for people; scopes and packages: what it is limited to, empty for no limit;
    expires: RFC 3339 or empty for never; cidr: ranges of addresses that it may be used from, not
    there for everywhere.
    """

    account: str
    token_id: str
    sha256: str
    label: str = ""
    read_only: bool = False
    scopes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    expires: str = ""
    cidr: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class TokenRevoked(Event, frozen=True, tag="token.revoked.v1"):
    """A token is refused from now on."""

    account: str
    token_id: str


class SessionBegun(Event, frozen=True, tag="account.session_begun.v1"):
    """Somebody signed in with a browser.

    sha256: hex of the secret in its cookie; expires: RFC 3339.
    """

    name: str
    session_id: str
    sha256: str
    expires: str


class SessionEnded(Event, frozen=True, tag="account.session_ended.v1"):
    """A browser was signed out; the cookie is refused from now on."""

    name: str
    session_id: str


AccountEvent = (
    AccountRegistered
    | AccountPasswordChanged
    | AccountRoleChanged
    | AccountDisabled
    | AccountEnabled
    | TokenIssued
    | TokenRevoked
    | SessionBegun
    | SessionEnded
)
"""Every event that an account's stream can hold."""
