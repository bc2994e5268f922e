"""Who is asking: the token alone (cargo), `Bearer TOKEN` (both), `Basic user:password` (npm).

A browser shows a session in its cookie. A token is no session and a session is no token: each is
looked for where its own kind is kept.
"""

import asyncio
import base64
import binascii
import hashlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import falcon.asgi
import msgspec

from packledger.api.access.attempts import LoginAttempts, Proxies
from packledger.api.access.hooks import Hooks
from packledger.domain.accounts.account import canonical_account_name
from packledger.domain.accounts.permissions import PASSWORD, Identity
from packledger.domain.errors import NotAuthenticated
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

CACHED_TOKENS = 1_000
LookUp = Callable[[sqlite3.Connection, str], TokenRow | SessionRow | None]
PASSWORDS_AT_ONCE = 2
"""Each password check takes a core for 20 ms and 19 MiB."""


class _Seen(msgspec.Struct, frozen=True):
    state: tuple[int, int]
    identity: Identity


def _hops(req: falcon.asgi.Request) -> tuple[str, str | None]:
    return req.remote_addr, req.get_header("x-forwarded-for")


def is_password(header: str) -> bool:
    """Return whether an `Authorization` header holds a name and a password."""
    return header.strip().lower().startswith("basic ")


def _token_in(header: str) -> str:
    """Return the token of an `Authorization` header.

    Raises:
        NotAuthenticated: it is of another scheme.
    """
    scheme, _, rest = header.strip().partition(" ")
    if rest and scheme.lower() != "bearer":
        raise NotAuthenticated(
            "the authorization scheme is not known here; send the token alone or as Bearer"
        )
    return rest.strip() or scheme


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Authenticator:
    """Finds the identity of a request. Lives on the event loop of one process."""

    def __init__(
        self,
        accounts: ModelReader,
        credentials: Credentials,
        now: Callable[[], datetime],
        hooks: Hooks,
        attempts: LoginAttempts,
        proxies: Proxies,
    ) -> None:
        self._accounts, self._credentials, self._now = accounts, credentials, now
        self._hooks, self._attempts, self._proxies = hooks, attempts, proxies
        self._seen: OrderedDict[tuple[LookUp, str], _Seen] = OrderedDict()
        self._passwords = asyncio.Semaphore(PASSWORDS_AT_ONCE)

    @property
    def asks_others(self) -> bool:
        """Whether an embedding program may know a token that we do not."""
        return self._hooks.authenticate is not None

    async def identify(self, req: falcon.asgi.Request) -> Identity | None:
        """Return who asks, None when nobody says. However many ask, a request is looked at once.

        Raises:
            NotAuthenticated: a credential that is not accepted.
            NotAllowed: a token that is used from elsewhere than it may be.
        """
        if not hasattr(req.context, "identity"):
            req.context.identity = await self._identify(req)
        identity: Identity | None = req.context.identity
        return identity

    async def _identify(self, req: falcon.asgi.Request) -> Identity | None:
        header = req.get_header("authorization")
        if header is None:
            return None
        if is_password(header):
            return await self._by_password(req, header.strip().partition(" ")[2])
        token = _token_in(header)
        known = await self._hooks.identify(token, req.method, req.path) or self.by_token(token)
        if known.cidr:
            known.check_from(self.whole_address(req))
        return known

    def token_digest(self, header: str) -> str | None:
        """Return what `accepts` knows an `Authorization` header by, None for a password.

        A password is slow to look at and counts, and no public read needs one.

        Raises:
            NotAuthenticated: it is of another scheme.
        """
        return None if is_password(header) else _digest(_token_in(header))

    def accepts(self, digest: str) -> bool:
        """Return whether a token is no reason to refuse a public read.

        At once, and without asking an embedding program: what it may know is not accepted here.
        """
        try:
            # From where it is used is told by the request, which is not there yet.
            return not self._by_digest(token_of, digest).cidr
        except NotAuthenticated:
            return False

    async def require(self, req: falcon.asgi.Request) -> Identity:
        """Return who asks.

        Raises:
            NotAuthenticated: nobody, or a credential that is not accepted.
        """
        identity = await self.identify(req)
        if identity is None:
            raise NotAuthenticated("this needs a token; log in first, or pass one with the request")
        return identity

    def by_token(self, secret: str) -> Identity:
        """Return whose token this is.

        Raises:
            NotAuthenticated: unknown, revoked or expired.
        """
        return self._by_digest(token_of, _digest(secret))

    def by_session(self, secret: str) -> Identity:
        """Return whose session this is.

        Raises:
            NotAuthenticated: unknown, ended or expired.
        """
        return self._by_digest(session_of, _digest(secret))

    def _by_digest(self, look_up: LookUp, digest: str) -> Identity:
        key = look_up, digest
        state = self._accounts.state()
        seen = self._seen.get(key)
        if seen is None or seen.state != state:
            self._seen.pop(key, None)
            row = look_up(self._accounts.db(), digest)
            if row is None:
                raise NotAuthenticated(
                    "the token is not valid: it is unknown or was revoked; log in again"
                )
            seen = self._seen[key] = _Seen(state, row.identity())
            if len(self._seen) > CACHED_TOKENS:
                self._seen.popitem(last=False)
        if seen.identity.expires:
            seen.identity.check_fresh(rfc3339(self._now()))
        return seen.identity

    async def _by_password(self, req: falcon.asgi.Request, encoded: str) -> Identity:
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError) as error:
            raise NotAuthenticated(
                "the Basic credentials are not base64 of user:password"
            ) from error
        account, _, password = text.partition(":")
        return await self.by_password(req, account, password)

    async def by_password(self, req: falcon.asgi.Request, account: str, password: str) -> Identity:
        """Return the account with this password; takes 20 ms in a thread.

        Every password that anybody gives passes here, and is counted.

        Raises:
            NotAuthenticated: unknown account, wrong password, or disabled.
            TooMany: too many wrong ones, of this account or from this address.
        """
        # Counted by the name that all its spellings mean.
        address, counted = self._address(req), canonical_account_name(account)
        self._attempts.begin(counted, address)
        async with self._passwords:
            await asyncio.to_thread(self._credentials.check_password, account, password)
        self._attempts.succeed(counted, address)
        row = account_of(self._accounts.db(), account)
        if row is None or row.disabled:
            raise NotAuthenticated(f"the account `{account}` is disabled; ask an administrator")
        return Identity(account=row.name, admin=row.role == "admin", kind=PASSWORD)

    def count_registration(self, req: falcon.asgi.Request) -> None:
        """Count a new account.

        Raises:
            TooMany: too many were registered from this address.
        """
        self._attempts.register(self._address(req))

    def whole_address(self, req: falcon.asgi.Request) -> str:
        """Return from where a request comes."""
        return str(self._proxies.address(*_hops(req)))

    def _address(self, req: falcon.asgi.Request) -> str:
        return self._proxies.client(*_hops(req))
