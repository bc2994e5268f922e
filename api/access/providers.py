"""Who a credential stands for: a chain of identity providers, the first that claims it decides.

A provider answers with an identity (mine), with None (not mine, ask the next), or refuses (mine,
and not accepted). What nobody claims is refused.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol

import msgspec

from packledger.api.access.attempts import LoginAttempts
from packledger.domain.accounts.account import canonical_account_name
from packledger.domain.accounts.permissions import PASSWORD, Identity
from packledger.domain.errors import NotAuthenticated, RegistryError, Unavailable
from packledger.domain.times import rfc3339
from packledger.eventstore.credentials import Credentials
from packledger.projections.accounts.reads import (
    SessionRow,
    TokenRow,
    account_of,
    session_of,
    token_of,
)
from packledger.projections.model_reader import ModelReader

log = logging.getLogger("packledger.access")

CACHED_TOKENS = 1_000
PASSWORDS_AT_ONCE = 2
"""Each password check takes a core for 20 ms and 19 MiB."""
UNKNOWN = "the token is not valid: it is unknown or was revoked; log in again"
LookUp = Callable[[sqlite3.Connection, str], TokenRow | SessionRow | None]


class ProviderSilent(Unavailable):
    """An identity provider has failed, or has not answered in time."""


class Kind(Enum):
    """How a credential is shown. One kind never passes for another."""

    TOKEN = "alone, or as `Bearer`"  # noqa: S105 - not a secret
    BASIC = "as `Basic`"
    SESSION = "in a page's cookie"


class Credential(msgspec.Struct, frozen=True):
    """What somebody shows. secret: of `Basic` its base64, as it was sent."""

    kind: Kind
    secret: str


class Shown(msgspec.Struct, frozen=True):
    """With which request. address: the client's, of IPv6 the network: attempts count by it."""

    method: str
    path: str
    address: str


class Provider(Protocol):
    """Knows some credentials."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """Of which it is asked; it never hears of others."""

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        """Return whose it is, None if it is not this provider's to know.

        Raises:
            NotAuthenticated, NotAllowed, TooMany: it is, and it is not accepted.
        """


class Providers:
    """The chain."""

    def __init__(self, chain: Sequence[Provider]) -> None:
        self._chain = tuple(chain)

    async def identify(self, credential: Credential, shown: Shown) -> Identity:
        """Return whose a credential is.

        Raises:
            NotAuthenticated: nobody's, or refused by whose it is.
            NotAllowed, TooMany: as that one says.
        """
        for provider in self._chain:
            if credential.kind in provider.kinds:
                identity = await provider.identify(credential, shown)
                if identity is not None:
                    return identity
        raise NotAuthenticated(UNKNOWN)


class Bounded:
    """A provider from outside: it has so long to answer, and an error of its own is no answer."""

    def __init__(self, provider: Provider, timeout_s: float) -> None:
        self._provider, self._timeout_s = provider, timeout_s
        self.kinds = provider.kinds

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        """Return what the provider says.

        Raises:
            ProviderSilent: it failed, or did not answer in time.
            RegistryError: the provider's own refusal.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._provider.identify(credential, shown)
        except RegistryError:
            raise
        except Exception as error:
            log.error("an identity provider failed: %r", error)
            raise ProviderSilent("who you are cannot be told just now; try again") from error


def digest_of(secret: str) -> str:
    """Return what a secret is kept and known by: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


class _Seen(msgspec.Struct, frozen=True):
    state: tuple[int, int]
    identity: Identity


class OwnSecrets:
    """Tokens or sessions of this registry, of which it keeps the digests."""

    def __init__(
        self, kind: Kind, look_up: LookUp, accounts: ModelReader, now: Callable[[], datetime]
    ) -> None:
        self.kinds = frozenset({kind})
        self._look_up, self._accounts, self._now = look_up, accounts, now
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        """Return whose it is, None if it is not ours."""
        return self.find(digest_of(credential.secret))

    def find(self, digest: str) -> Identity | None:
        """Return whose a digest's secret is, at once; None if it is not ours, or was ended.

        Raises:
            NotAuthenticated: it has expired.
        """
        state = self._accounts.state()
        seen = self._seen.get(digest)
        if seen is None or seen.state != state:
            self._seen.pop(digest, None)
            row = self._look_up(self._accounts.db(), digest)
            if row is None:
                return None
            seen = self._seen[digest] = _Seen(state, row.identity())
            if len(self._seen) > CACHED_TOKENS:
                self._seen.popitem(last=False)
        if seen.identity.expires:
            seen.identity.check_fresh(rfc3339(self._now()))
        return seen.identity


def own_tokens(accounts: ModelReader, now: Callable[[], datetime]) -> OwnSecrets:
    """Return who knows the registry's tokens."""
    return OwnSecrets(Kind.TOKEN, token_of, accounts, now)


def own_sessions(accounts: ModelReader, now: Callable[[], datetime]) -> OwnSecrets:
    """Return who knows the sessions of its pages."""
    return OwnSecrets(Kind.SESSION, session_of, accounts, now)


class Passwords:
    """Names with passwords: whoever they are, so nobody comes after it.

    A name without an account takes as long as a wrong password, and is counted like one.
    """

    kinds = frozenset({Kind.BASIC})

    def __init__(
        self, accounts: ModelReader, credentials: Credentials, attempts: LoginAttempts
    ) -> None:
        self._accounts, self._credentials, self._attempts = accounts, credentials, attempts
        self._at_once = asyncio.Semaphore(PASSWORDS_AT_ONCE)

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        """Return whose name and password they are."""
        account, password = _name_and_password(credential)
        return await self.check(account, password, shown.address)

    async def check(self, account: str, password: str, address: str) -> Identity:
        """Return the account with this password; takes 20 ms in a thread.

        Every password that anybody gives passes here, and is counted.

        Raises:
            NotAuthenticated: unknown account, wrong password, or disabled.
            TooMany: too many wrong ones, of this account or from this address.
        """
        # Counted by the name that all its spellings mean.
        counted = canonical_account_name(account)
        self._attempts.begin(counted, address)
        async with self._at_once:
            await asyncio.to_thread(self._credentials.check_password, account, password)
        self._attempts.succeed(counted, address)
        row = account_of(self._accounts.db(), account)
        if row is None or row.disabled:
            raise NotAuthenticated(f"the account `{account}` is disabled; ask an administrator")
        return Identity(account=row.name, admin=row.role == "admin", kind=PASSWORD)


class AccountPasswords:
    """Passwords of accounts that there are: those of others may be for who comes next."""

    kinds = frozenset({Kind.BASIC})

    def __init__(self, accounts: ModelReader, passwords: Passwords) -> None:
        self._accounts, self._passwords = accounts, passwords

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        """Return whose they are, None if there is no such account."""
        account, _ = _name_and_password(credential)
        if account_of(self._accounts.db(), account) is None:
            return None
        return await self._passwords.identify(credential, shown)


def _name_and_password(credential: Credential) -> tuple[str, str]:
    try:
        text = base64.b64decode(credential.secret, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise NotAuthenticated("the Basic credentials are not base64 of user:password") from error
    name, _, password = text.partition(":")
    return name, password
