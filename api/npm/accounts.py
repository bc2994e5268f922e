"""Accounts as npm knows them: login, logout, whoami.

Web login is answered 404, at which npm and pnpm ask for name and password instead.
"""

from collections.abc import Awaitable, Callable

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.http.answers import PRIVATE
from packledger.api.http.bodies import read_json
from packledger.commands import accounts, tokens
from packledger.commands.tokens import TokenWish
from packledger.domain.accounts.account import check_account_name
from packledger.domain.accounts.permissions import LOGIN_SCOPES, PASSWORD, Identity
from packledger.domain.errors import Invalid, NoSuchAccount, NotAllowed, NotAuthenticated
from packledger.projections.accounts.reads import account_of

Request = falcon.asgi.Request
Response = falcon.asgi.Response
Answer = Callable[[Request, Response], Awaitable[None]]

USER_PREFIX = "org.couchdb.user:"


class UserDocument(msgspec.Struct):
    """The body of `npm login`; everything else in it is the client's own affair."""

    name: str
    password: str
    id: str = msgspec.field(name="_id", default="")
    email: str | None = None


class NpmAccounts:
    """Answers `/-/user/…` and `/-/whoami`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def answer_for(self, method: str, parts: list[str]) -> Answer | None:
        """Return who answers the path below `/-/`, None if nobody does."""
        match method, parts:
            case "GET", ["whoami"]:
                return self.whoami
            case "PUT", ["user", user] if user.startswith(USER_PREFIX):
                return lambda req, resp: self.log_in(req, resp, user)
            case "PUT", ["user", user, "-rev", _] if user.startswith(USER_PREFIX):
                return lambda req, resp: self.log_in(req, resp, user)
            case "GET", ["user", user] if user.startswith(USER_PREFIX):
                return lambda req, resp: self.user(req, resp, user)
            case "DELETE", ["user", "token", *token]:
                # yarn 1 sends the token raw: it may hold slashes
                return lambda req, resp: self.log_out(req, resp, "/".join(token))
            case _:
                return None

    async def whoami(self, req: Request, resp: Response) -> None:
        """Answer the caller's name; never cached, since npm's cache key is the URL alone."""
        caller = await self._context.require(req)
        resp.media = {"username": caller.known.account}
        resp.set_header("cache-control", PRIVATE)

    async def user(self, req: Request, resp: Response, user: str) -> None:
        """Answer a user document; npm wants both fields, and e-mail addresses are nobody's."""
        name = user.removeprefix(USER_PREFIX)
        row = account_of(self._context.accounts.db(), name)
        if row is None:
            raise NoSuchAccount(name)
        resp.media = {"_id": user, "_rev": "1-0", "name": row.name, "email": "", "roles": []}
        resp.set_header("cache-control", PRIVATE)

    async def log_in(self, req: Request, resp: Response, user: str) -> None:
        """Register a new name if that is open, else check the password; answer a new token."""
        document = await read_json(req, UserDocument, "the login")
        name = document.name
        if user != USER_PREFIX + name or document.id not in {"", user}:
            raise Invalid(f"the login is for `{name[:64]}`, but its path says `{user[:90]}`")
        check_account_name(name)
        context = self._context
        account = await context.run(lambda: accounts.load(context.registry, name))
        # To strangers, a private registry does not say whether there is such an account.
        if account is None and not context.private:
            await self._register(req, document)
            identity = Identity(account=name, kind=PASSWORD)
        else:
            identity = await context.authenticator.by_password(req, name, document.password)
        caller = context.caller_as(req, identity)
        wish = TokenWish(label="npm login", scopes=LOGIN_SCOPES)
        secret, _ = await context.act(
            caller, lambda: tokens.issue_token(context.registry, caller, identity.account, wish)
        )
        resp.status = 201
        resp.media = {"ok": f"you are authenticated as '{identity.account}'", "token": secret}
        resp.set_header("cache-control", PRIVATE)

    async def _register(self, req: Request, document: UserDocument) -> None:
        context = self._context
        if not context.open_registration:
            raise NotAllowed(
                f"there is no account `{document.name}`, and this registry does not let clients "
                "create any; ask its operator for one"
            )
        context.authenticator.count_registration(req)
        actor = context.caller_as(req, Identity(account=document.name)).actor
        await context.run(
            lambda: accounts.register(
                context.registry,
                actor,
                document.name,
                document.password,
                email=document.email or "",
            )
        )

    async def log_out(self, req: Request, resp: Response, token: str) -> None:
        """Revoke the token in the path, which must be the caller's own.

        A dead one is fine: npm forgets a token only after the registry did.
        """
        context = self._context
        try:
            ending = context.authenticator.by_token(token)
        except NotAuthenticated:
            resp.media = {"ok": "logged out"}
            return
        caller = await context.require(req)
        if ending.account != caller.known.account:
            raise NotAllowed("the token in the path is not yours; log out with your own")
        await context.act(
            caller, lambda: tokens.revoke_token(context.registry, caller, ending, shown=True)
        )
        resp.media = {"ok": "logged out"}
