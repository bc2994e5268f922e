"""Tokens and sessions: what of each kind is made, handed out once, and ended.

Only the SHA-256 of a secret is kept.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from packledger.commands.accounts import execute
from packledger.commands.registry import Registry
from packledger.domain.accounts import account
from packledger.domain.accounts.addresses import ranges_of
from packledger.domain.accounts.caller import Caller
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import Invalid
from packledger.domain.events.accounts import SessionBegun, TokenIssued
from packledger.domain.times import rfc3339
from packledger.projections.accounts.fold import ACCOUNTS

SECRET_PREFIX = "plk_"  # noqa: S105 - not a secret: what secret scanners look for
SESSION_PREFIX = "pls_"
SECRET_LENGTH = 40
"""Letters and digits after the prefix: 202 random bits, so a fast hash of it is safe to keep, and a
checksum."""
CHECKSUM_LENGTH = 6
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
SESSION_DAYS = 1
MAX_PATTERNS = 50
"""Packages that a token is limited to: each request that it makes looks at all of them."""
MAX_PATTERN_LENGTH = 256


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


def issue_token(
    registry: Registry, caller: Caller, name: str, wish: TokenWish
) -> tuple[str, TokenIssued]:
    """Return a new secret, to be shown once, and what the log holds of it.

    The token can do no more than the caller.

    Raises:
        NoSuchAccount, NotAllowed, Invalid: as `domain.account.decide_issue`.
    """
    days = wish.expires_days
    if days is not None and not 1 <= days <= 3650:
        raise Invalid("a token expires after 1 to 3650 days, or never")
    _check_packages(wish.packages)
    secret, sha256 = _new_secret(SECRET_PREFIX)
    issued = TokenIssued(
        **caller.actor.stamp(),
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
    caller.known.check_may_issue(name, issued)
    execute(
        registry, name, lambda state, version: account.decide_issue(state, caller.actor, issued)
    )
    return secret, issued


def _check_packages(patterns: Sequence[str]) -> None:
    if len(patterns) > MAX_PATTERNS:
        raise Invalid(f"a token is limited to at most {MAX_PATTERNS} packages; use a name with `*`")
    if any(len(one) > MAX_PATTERN_LENGTH for one in patterns):
        raise Invalid(
            f"a package that a token is limited to has {MAX_PATTERN_LENGTH} letters at most"
        )


def _new_secret(prefix: str) -> tuple[str, str]:
    """Return a secret, and the SHA-256 that is kept of it."""
    random = "".join(secrets.choice(_BASE62) for _ in range(SECRET_LENGTH - CHECKSUM_LENGTH))
    secret = prefix + random + checksum_of(random)
    return secret, hashlib.sha256(secret.encode()).hexdigest()


def checksum_of(random: str) -> str:
    """Return what a secret's random part is followed by: its CRC-32 in base62, six digits.

    By it a secret scanner tells a token from a text that only looks like one. Tokens that were
    made before have none, and go on being valid.
    """
    number, digits = zlib.crc32(random.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits


def revoke_token(
    registry: Registry, caller: Caller, token: Identity, *, shown: bool = False
) -> bool:
    """End a token; return whether it is refused already: it is not while no projector runs.

    token: whom it stands for; shown: the caller has its secret, and whoever has it may end it.

    Raises:
        NoSuchAccount, NotFound: no such account or token.
        NotAllowed: it is not the caller's, or may do more than the caller.
    """
    if not shown:
        caller.known.check_may_revoke(token)
    execute(
        registry,
        token.account,
        lambda state, version: account.decide_revoke(
            state, caller.actor, token.account, token.token
        ),
    )
    # Not `waiting_for`, which leaves out what stopped: then the token goes on being accepted.
    return registry.board.position(ACCOUNTS) >= registry.log.last_position()


def begin_session(registry: Registry, caller: Caller) -> str:
    """Return the secret of a new session, for the cookie of one browser.

    Raises:
        NoSuchAccount, NotAllowed: no such account, or a disabled one.
    """
    secret, sha256 = _new_secret(SESSION_PREFIX)
    begun = SessionBegun(
        **caller.actor.stamp(),
        name=caller.known.account,
        session_id=secrets.token_hex(6),
        sha256=sha256,
        expires=rfc3339(registry.now() + timedelta(days=SESSION_DAYS)),
    )
    execute(
        registry,
        begun.name,
        lambda state, version: account.decide_begin_session(state, caller.actor, begun),
    )
    return secret


def end_session(registry: Registry, caller: Caller, session_id: str) -> None:
    """End a session of the caller's; does nothing when it has ended.

    Raises:
        NoSuchAccount: there is none.
    """
    name = caller.known.account
    execute(
        registry,
        name,
        lambda state, version: account.decide_end_session(state, caller.actor, name, session_id),
    )
