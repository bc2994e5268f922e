"""An account, its tokens and its sessions: what their events add up to, and what may happen.

A token is for programs, a session for one browser; neither is ever taken for the other.

Passwords are not here: their hashes live beside the log, in `eventstore/credentials.py`.
"""

import re

import msgspec
from msgspec import UNSET

from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.permissions import SCOPES
from packledger.domain.errors import Conflict, Invalid, NoSuchAccount, NotAllowed, NotFound
from packledger.domain.events.accounts import (
    AccountDisabled,
    AccountEnabled,
    AccountEvent,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    SessionBegun,
    SessionEnded,
    TokenIssued,
    TokenRevoked,
)

ROLES = ("user", "admin")

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class Account(msgspec.Struct):
    """An account's state.

    name: as it was registered, which every event about it has. tokens: public id → label, the live
    ones only; sessions: public id → when they end by themselves, RFC 3339.
    """

    name: str
    role: str
    disabled: bool
    tokens: dict[str, str]
    sessions: dict[str, str] = {}

    def copy(self) -> "Account":
        """Return a copy that `evolve` may change."""
        return Account(self.name, self.role, self.disabled, dict(self.tokens), dict(self.sessions))


def canonical_account_name(name: str) -> str:
    """Return what an account is found by: no two differ in the case of letters alone.

    Only in ASCII: `str.lower` takes the sign of Kelvin for a k, which no name has.
    """
    return name.lower() if name.isascii() else name


def check_account_name(name: str) -> None:
    """Refuse a name that would not survive in a URL, an owner list or a log line.

    Raises:
        Invalid: not 1-64 of a-z, A-Z, 0-9, `.`, `_`, `-`, with a letter or digit at both ends.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"`{name[:64]}` cannot be an account name: use 1 to 64 letters from a to z, digits, "
            "`.`, `_` and `-`, with a letter or digit first and last"
        )


def evolve(account: Account | None, event: AccountEvent) -> Account:  # noqa: C901 - one case an event
    """Fold one event of an account's stream into its state, in place."""
    if isinstance(event, AccountRegistered):
        return Account(event.name, event.role, False, {})
    assert account is not None, "an account's stream begins with account.registered"
    match event:
        case AccountPasswordChanged():
            account.sessions.clear()
        case AccountRoleChanged(role=role):
            account.role = role
        case AccountDisabled():
            account.disabled = True
            account.tokens.clear()
            account.sessions.clear()
        case AccountEnabled():
            account.disabled = False
        case TokenIssued(token_id=token_id, label=label):
            account.tokens[token_id] = label
        case TokenRevoked(token_id=token_id):
            account.tokens.pop(token_id)
        case SessionBegun(session_id=session_id, at=at, expires=expires):
            # Those that are over leave, or an account that signs in daily would grow for ever.
            live = {one: until for one, until in account.sessions.items() if until > at}
            account.sessions = {**live, session_id: expires}
        case SessionEnded(session_id=session_id):
            account.sessions.pop(session_id)
        case _:
            raise TypeError(f"{type(event).__name__} is no event of an account")
    return account


def decide_register(
    account: Account | None, actor: Actor, name: str, role: str, credential: str = ""
) -> list[AccountEvent]:
    """Return the event of a new account. credential: the digest of what its password is stored as.

    Raises:
        Invalid: the name or the role is not one.
        Conflict: the name is taken.
    """
    check_account_name(name)
    _check_role(role)
    if account is not None:
        raise Conflict(f"the account name `{account.name}` is taken; choose another one")
    known = credential or UNSET
    return [AccountRegistered(**actor.stamp(), name=name, role=role, credential=known)]


def decide_disable(account: Account | None, actor: Actor, name: str) -> list[AccountEvent]:
    """Return the event that disables an account; none when it is so already.

    Raises:
        NoSuchAccount: there is none.
    """
    account = existing(account, name)
    return [] if account.disabled else [AccountDisabled(**actor.stamp(), name=account.name)]


def decide_enable(account: Account | None, actor: Actor, name: str) -> list[AccountEvent]:
    """Return the event that takes a disabling back; none when it is not disabled.

    Raises:
        NoSuchAccount: there is none.
    """
    account = existing(account, name)
    return [AccountEnabled(**actor.stamp(), name=account.name)] if account.disabled else []


def decide_role(account: Account | None, actor: Actor, name: str, role: str) -> list[AccountEvent]:
    """Return the event of another role; none when it is so already.

    Raises:
        NoSuchAccount: there is none.
        Invalid: the role is not one.
    """
    account = existing(account, name)
    _check_role(role)
    if account.role == role:
        return []
    return [AccountRoleChanged(**actor.stamp(), name=account.name, role=role)]


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Invalid(f"`{role}` is not a role; it is one of {', '.join(ROLES)}")


def decide_password(
    account: Account | None, actor: Actor, name: str, credential: str = ""
) -> list[AccountEvent]:
    """Return the event that says a password was changed. credential: as of `decide_register`.

    Raises:
        NoSuchAccount: there is none.
    """
    known, name = credential or UNSET, existing(account, name).name
    return [AccountPasswordChanged(**actor.stamp(), name=name, credential=known)]


def decide_issue(account: Account | None, actor: Actor, issued: TokenIssued) -> list[AccountEvent]:
    """Return the event of a new token.

    Raises:
        NoSuchAccount: there is none.
        NotAllowed: the account is disabled.
        Invalid: an unknown scope.
    """
    account = existing(account, issued.account)
    if account.disabled:
        raise NotAllowed(f"the account `{account.name}` is disabled; it gets no new tokens")
    for scope in issued.scopes:
        if scope not in SCOPES:
            raise Invalid(f"`{scope}` is not a scope; it is one of {', '.join(SCOPES)}")
    return [msgspec.structs.replace(issued, account=account.name)]


def decide_begin_session(
    account: Account | None, actor: Actor, begun: SessionBegun
) -> list[AccountEvent]:
    """Return the event of a browser that signed in.

    Raises:
        NoSuchAccount: there is none.
        NotAllowed: the account is disabled.
    """
    account = existing(account, begun.name)
    if account.disabled:
        raise NotAllowed(f"the account `{account.name}` is disabled; ask an administrator")
    return [msgspec.structs.replace(begun, name=account.name)]


def decide_end_session(
    account: Account | None, actor: Actor, name: str, session_id: str
) -> list[AccountEvent]:
    """Return the event that signs a browser out; none when it is so already.

    Raises:
        NoSuchAccount: there is none.
    """
    account = existing(account, name)
    if session_id not in account.sessions:
        return []
    return [SessionEnded(**actor.stamp(), name=account.name, session_id=session_id)]


def decide_revoke(
    account: Account | None, actor: Actor, name: str, token_id: str
) -> list[AccountEvent]:
    """Return the event that ends a token.

    Raises:
        NoSuchAccount, NotFound: no such account or token.
    """
    account = existing(account, name)
    if token_id not in account.tokens:
        raise NotFound(f"`{name}` has no token `{token_id}`")
    return [TokenRevoked(**actor.stamp(), account=account.name, token_id=token_id)]


def existing(account: Account | None, name: str) -> Account:
    """Return the account if there is one.

    Raises:
        NoSuchAccount: there is none.
    """
    if account is None:
        raise NoSuchAccount(name)
    return account
