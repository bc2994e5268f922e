"""Who is asking: the token alone (cargo), `Bearer TOKEN` (both), `Basic user:password` (npm).

A browser shows a session in its cookie. A request shows one credential of one kind, and the chain
of providers says whose it is.
"""

from collections.abc import Callable
from datetime import datetime

import falcon.asgi

from packledger.api.access.attempts import LoginAttempts, Proxies
from packledger.api.access.hooks import Hooks
from packledger.api.access.providers import (
    UNKNOWN,
    AccountPasswords,
    Credential,
    Kind,
    Passwords,
    Providers,
    Shown,
    digest_of,
    own_sessions,
    own_tokens,
)
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NotAuthenticated
from packledger.eventstore.credentials import Credentials
from packledger.projections.model_reader import ModelReader


def _hops(req: falcon.asgi.Request) -> tuple[str, str | None]:
    return req.remote_addr, req.get_header("x-forwarded-for")


def is_password(header: str) -> bool:
    """Return whether an `Authorization` header holds a name and a password."""
    return header.strip().lower().startswith("basic ")


def credential_in(header: str) -> Credential:
    """Return what an `Authorization` header shows.

    Raises:
        NotAuthenticated: it is of another scheme.
    """
    scheme, _, rest = header.strip().partition(" ")
    if is_password(header):
        return Credential(Kind.BASIC, rest)
    if rest and scheme.lower() != "bearer":
        raise NotAuthenticated(
            "the authorization scheme is not known here; send the token alone or as Bearer"
        )
    return Credential(Kind.TOKEN, rest.strip() or scheme)


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
        self._attempts, self._proxies = attempts, proxies
        self._tokens = own_tokens(accounts, now)
        self._passwords = Passwords(accounts, credentials, attempts)
        asked_first, others = hooks.tokens(), hooks.others()
        self.asks_others = bool(asked_first or others)
        """Whether somebody else may know a credential that we do not."""
        # The first that claims a credential decides; one line for each provider.
        self._providers = Providers(
            (
                *asked_first,
                self._tokens,
                own_sessions(accounts, now),
                AccountPasswords(accounts, self._passwords),
                *others,
                self._passwords,
            )
        )

    async def identify(self, req: falcon.asgi.Request) -> Identity | None:
        """Return who asks, None when nobody says. However many ask, a request is looked at once.

        Raises:
            NotAuthenticated: a credential that is not accepted.
            NotAllowed: a token that is used from elsewhere than it may be.
        """
        if not hasattr(req.context, "identity"):
            header = req.get_header("authorization")
            known = None if header is None else await self.whose(req, credential_in(header))
            req.context.identity = known
        identity: Identity | None = req.context.identity
        return identity

    async def whose(self, req: falcon.asgi.Request, credential: Credential) -> Identity:
        """Return whose a credential is that a request shows.

        Raises:
            NotAuthenticated, TooMany: nobody's, or it is not accepted.
            NotAllowed: it is used from elsewhere than it may be.
        """
        shown = Shown(req.method, req.path, self._address(req))
        known = await self._providers.identify(credential, shown)
        if known.cidr:
            known.check_from(self.whole_address(req))
        return known

    def token_digest(self, header: str) -> str | None:
        """Return what `accepts` knows an `Authorization` header by, None for a password.

        A password is slow to look at and counts, and no public read needs one.

        Raises:
            NotAuthenticated: it is of another scheme.
        """
        return None if is_password(header) else digest_of(credential_in(header).secret)

    def accepts(self, digest: str) -> bool:
        """Return whether a token is no reason to refuse a public read.

        At once, and without asking anybody else: what they may know is not accepted here.
        """
        try:
            known = self._tokens.find(digest)
        except NotAuthenticated:
            return False
        # From where it is used is told by the request, which is not there yet.
        return known is not None and not known.cidr

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
        """Return whose token of ours this is.

        Raises:
            NotAuthenticated: unknown, revoked or expired.
        """
        known = self._tokens.find(digest_of(secret))
        if known is None:
            raise NotAuthenticated(UNKNOWN)
        return known

    async def by_password(self, req: falcon.asgi.Request, account: str, password: str) -> Identity:
        """Return the account with this password; see `Passwords.check`."""
        return await self._passwords.check(account, password, self._address(req))

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
