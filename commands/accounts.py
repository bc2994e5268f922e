"""Accounts, tokens and sessions: register, set up, disable, issue, revoke, sign in and out.

A credential is written before the event that needs it, like a blob.
"""

import hashlib
import secrets
import string
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from packledger.commands.registry import Registry
from packledger.domain import account
from packledger.domain.account import Account, canonical_account_name, check_account_name
from packledger.domain.actor import Actor
from packledger.domain.addresses import ranges_of
from packledger.domain.errors import Conflict, Invalid, NoSuchAccount, NotAuthenticated
from packledger.domain.events import SessionBegun, TokenIssued
from packledger.domain.permissions import Identity
from packledger.domain.times import rfc3339
from packledger.eventstore.log import Decision

SECRET_PREFIX = "plk_"  # noqa: S105 - not a secret: what secret scanners look for
SESSION_PREFIX = "pls_"
SECRET_LENGTH = 40
"""Letters and digits after the prefix: 238 random bits, so a fast hash of it is safe to keep."""
MIN_PASSWORD = 8
MAX_PASSWORD = 1024
SESSION_DAYS = 1


class TokenWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a new token shall be. label: for people; expires_days: None for never.

    cidr: ranges of addresses that it may be used from, none for everywhere.
    """

    label: str = ""
    read_only: bool = False
    scopes: Sequence[str] = ()
    packages: Sequence[str] = ()
    expires_days: int | None = None
    cidr: Sequence[str] = ()


def register(
    registry: Registry, actor: Actor, name: str, password: str, role: str = "user", email: str = ""
) -> None:
    """Create an account.

    Raises:
        Invalid: a name, role or password that cannot be used.
        Conflict: the name is taken.
    """
    check_account_name(name)
    check_password_length(password)
    # Decided once without the event, so that a taken name keeps its password.
    account.decide_register(load(registry, name), actor, name, role)
    if not registry.credentials.add(name, password, email):
        _continue_registration(registry, name, password)
    _execute(
        registry,
        name,
        lambda state, version: account.decide_register(
            state, actor, name, role, registry.credentials.digest(name)
        ),
    )
    if role == "admin":
        registry.credentials.end_setup()


def _continue_registration(registry: Registry, name: str, password: str) -> None:
    """Go on after a registration that died between its credential and its event.

    Only with the same password: it may as well be another one that runs right now.
    """
    try:
        registry.credentials.check_password(name, password)
    except NotAuthenticated as error:
        raise Conflict(f"the account name `{name}` is taken; choose another one") from error


def check_password_length(password: str) -> None:
    """Refuse a password that is too short to keep anybody out, or absurdly long.

    Raises:
        Invalid: not 8 to 1024 characters.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")


def claim_setup(registry: Registry, actor: Actor, code: str, name: str, password: str) -> None:
    """Create the first administrator with the one-time setup code.

    Raises:
        NotAuthenticated: not the code, or it was used.
        Invalid, Conflict: as `register`; the code stays valid.
    """
    check_account_name(name)
    check_password_length(password)
    account.decide_register(load(registry, name), actor, name, "admin")
    if not registry.credentials.claim_setup(code, name):
        raise NotAuthenticated(
            "this is not the setup code, or it was used; `packledger serve` prints it at its start"
        )
    register(registry, actor, name, password, role="admin")


def change_password(registry: Registry, actor: Actor, name: str, password: str) -> None:
    """Set another password; tokens stay valid, sessions end.

    Raises:
        NoSuchAccount: there is none.
        Invalid: a password that cannot be used.
    """
    check_password_length(password)
    account.existing(load(registry, name), name)
    registry.credentials.set_password(name, password)
    # Two who change it at once: whose event comes last has read what is stored then.
    _execute(
        registry,
        name,
        lambda state, version: account.decide_password(
            state, actor, name, registry.credentials.digest(name)
        ),
    )


def disable(registry: Registry, actor: Actor, name: str) -> None:
    """Refuse an account and its tokens from now on.

    Raises:
        NoSuchAccount: there is none.
    """
    _execute(registry, name, lambda state, version: account.decide_disable(state, actor, name))


def issue_token(
    registry: Registry, identity: Identity, actor: Actor, name: str, wish: TokenWish
) -> tuple[str, TokenIssued]:
    """Return a new secret, to be shown once, and what the log holds of it.

    identity: who asks; the token can do no more than that one.

    Raises:
        NoSuchAccount, NotAllowed, Invalid: as `domain.account.decide_issue`.
    """
    days = wish.expires_days
    if days is not None and not 1 <= days <= 3650:
        raise Invalid("a token expires after 1 to 3650 days, or never")
    secret, sha256 = _new_secret(SECRET_PREFIX)
    issued = TokenIssued(
        **actor.stamp(),
        account=name,
        token_id=secrets.token_hex(6),
        sha256=sha256,
        label=wish.label[:100],
        read_only=wish.read_only,
        scopes=tuple(wish.scopes),
        packages=tuple(wish.packages),
        expires=rfc3339(registry.now() + timedelta(days=days)) if days else "",
        cidr=ranges_of(wish.cidr) or msgspec.UNSET,
    )
    identity.check_may_issue(name, issued)
    _execute(registry, name, lambda state, version: account.decide_issue(state, actor, issued))
    return secret, issued


def _new_secret(prefix: str) -> tuple[str, str]:
    """Return a secret, and the SHA-256 that is kept of it."""
    alphabet = string.ascii_letters + string.digits
    secret = prefix + "".join(secrets.choice(alphabet) for _ in range(SECRET_LENGTH))
    return secret, hashlib.sha256(secret.encode()).hexdigest()


def revoke_token(registry: Registry, identity: Identity, actor: Actor, token: Identity) -> bool:
    """End a token; return whether it is refused already: it is not while no projector runs.

    identity: who asks; token: whom it stands for.

    Raises:
        NoSuchAccount, NotFound: no such account or token.
        NotAllowed: it is not the caller's, or may do more than the caller.
    """
    identity.check_may_revoke(token)
    _execute(
        registry,
        token.account,
        lambda state, version: account.decide_revoke(state, actor, token.account, token.token),
    )
    return not registry.board.waiting_for(registry.log.last_position())


def begin_session(registry: Registry, actor: Actor, name: str) -> str:
    """Return the secret of a new session, for the cookie of one browser.

    Raises:
        NoSuchAccount, NotAllowed: no such account, or a disabled one.
    """
    secret, sha256 = _new_secret(SESSION_PREFIX)
    begun = SessionBegun(
        **actor.stamp(),
        name=name,
        session_id=secrets.token_hex(6),
        sha256=sha256,
        expires=rfc3339(registry.now() + timedelta(days=SESSION_DAYS)),
    )
    _execute(
        registry, name, lambda state, version: account.decide_begin_session(state, actor, begun)
    )
    return secret


def end_session(registry: Registry, actor: Actor, name: str, session_id: str) -> None:
    """End a session of an account; does nothing when it has ended.

    Raises:
        NoSuchAccount: there is none.
    """
    _execute(
        registry,
        name,
        lambda state, version: account.decide_end_session(state, actor, name, session_id),
    )


def load(registry: Registry, name: str) -> Account | None:
    """Return an account, by any case of its name."""
    state: Account | None = registry.log.load("account", canonical_account_name(name)).state
    return state


def _execute(registry: Registry, name: str, decide: Decision) -> None:
    registry.execute("account", canonical_account_name(name), decide)


def as_registered(registry: Registry, names: Sequence[str]) -> list[str]:
    """Return the names as their accounts were registered; those of no account as they are."""
    found = [(name, load(registry, name)) for name in names]
    return [account.name if account else name for name, account in found]


def check_accounts_exist(registry: Registry, names: Sequence[str]) -> None:
    """Refuse owners that are no accounts.

    Raises:
        NoSuchAccount: one of them is not, or is disabled.
    """
    for name in names:
        state = load(registry, name)
        if state is None or state.disabled:
            raise NoSuchAccount(name)
