"""`npm token`: own tokens.

Source: https://github.com/npm/cli (`lib/commands/token.js`)
"""

from collections.abc import Awaitable, Callable

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.http.answers import PRIVATE, answer_json
from packledger.api.http.bodies import read_json
from packledger.commands import tokens
from packledger.commands.tokens import SECRET_PREFIX, TokenWish
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import Invalid, NotFound
from packledger.domain.events.accounts import TokenIssued
from packledger.projections.accounts.reads import TokenRow, token_by_id, tokens_of

Request = falcon.asgi.Request
Response = falcon.asgi.Response
Answer = Callable[[Request, Response], Awaitable[None]]

READ_ONLY = "read-only"
PERMISSIONS = {None, "", "read-write", READ_ONLY}


class NpmTokenWish(msgspec.Struct):
    """The body of `npm token create`. scopes: npm scopes such as `@acme`; expires: days.

    What was not asked for is missing or null, as the client likes.
    """

    password: str
    name: str | None = None
    description: str | None = None
    expires: int | None = None
    packages: list[str] | None = None
    scopes: list[str] | None = None
    packages_and_scopes_permission: str | None = None
    orgs: list[str] | None = None
    readonly: bool | None = None
    cidr_whitelist: list[str] | None = None


class NpmTokens:
    """Answers `/-/npm/v1/tokens…`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def answer_for(self, method: str, parts: list[str]) -> Answer | None:
        """Return who answers the path below `/-/`, None if nobody does."""
        match method, parts:
            case "GET", ["npm", "v1", "tokens"]:
                return self.list
            case "POST", ["npm", "v1", "tokens"]:
                return self.create
            case "DELETE", ["npm", "v1", "tokens", "token", *token]:
                return lambda req, resp: self.revoke(req, resp, "/".join(token))
            case _:
                return None

    async def list(self, req: Request, resp: Response) -> None:
        """List the caller's tokens. `urls` has no `next`: pnpm would follow even an empty one."""
        identity = (await self._context.require(req)).known
        identity.check_may_see_tokens()

        def listed() -> dict[str, object]:
            rows = tokens_of(self._context.accounts.db(), identity.account)
            return {"objects": [_shown(row) for row in rows], "total": len(rows), "urls": {}}

        await answer_json(resp, listed)
        resp.set_header("cache-control", PRIVATE)

    async def create(self, req: Request, resp: Response) -> None:
        """Create a token; the caller's password is asked for again, a token is not enough."""
        context = self._context
        caller = await context.require(req)
        asked = await read_json(req, NpmTokenWish, "the wish for a token")
        _check_wish(asked)
        account = caller.known.account
        person = await context.authenticator.by_password(req, account, asked.password)
        in_scopes = [f"{scope.rstrip('/')}/*" for scope in asked.scopes or []]
        wish = TokenWish(
            label=asked.name or asked.description or "",
            read_only=bool(asked.readonly) or asked.packages_and_scopes_permission == READ_ONLY,
            # Not for crates of the same names.
            packages=[f"npm:{name}" for name in [*(asked.packages or []), *in_scopes]],
            expires_days=asked.expires,
            cidr=asked.cidr_whitelist or (),
        )
        proven = caller.proving(person)
        secret, issued = await context.act(
            proven, lambda: tokens.issue_token(context.registry, proven, person.account, wish)
        )
        resp.media = {**_shown(_row(issued)), "token": secret}
        resp.set_header("cache-control", PRIVATE)

    async def revoke(self, req: Request, resp: Response, which: str) -> None:
        """Revoke one of the caller's tokens, named by its id or by the secret itself."""
        context = self._context
        caller = await context.require(req)
        if which.startswith(SECRET_PREFIX):  # whoever has a token may end it, in its own name
            ending = context.authenticator.by_token(which)
            caller = context.caller_as(req, ending)
        else:
            ending = self._by_id(caller.known, which)
        await context.act(caller, lambda: tokens.revoke_token(context.registry, caller, ending))
        resp.media = {"ok": "token revoked"}

    def _by_id(self, identity: Identity, token_id: str) -> Identity:
        if token_id != identity.token:
            identity.check_may_see_tokens()
        row = token_by_id(self._context.accounts.db(), token_id)
        if row is None or (row.account != identity.account and not identity.admin):
            raise NotFound("you have no token with this id; `npm token list` shows the ids")
        return row.identity()


def _check_wish(wish: NpmTokenWish) -> None:
    """Refuse limits that cannot be kept: a token must not be able to do more than was asked for."""
    if wish.orgs:
        raise Invalid("this registry has no organisations; leave `--orgs` out")
    if wish.packages_and_scopes_permission not in PERMISSIONS:
        raise Invalid(
            f"the permission `{str(wish.packages_and_scopes_permission)[:40]}` is not known here; "
            "choose `read-only` or `read-write`"
        )


def _row(issued: TokenIssued) -> TokenRow:
    return TokenRow(
        token_id=issued.token_id,
        account=issued.account,
        role="",
        label=issued.label,
        read_only=issued.read_only,
        scopes=[*issued.scopes],
        packages=[*issued.packages],
        created=issued.at,
        expires=issued.expires,
        cidr=[*(issued.cidr or ())],
    )


def _shown(row: TokenRow) -> dict[str, object]:
    """Return a token as npm lists it. `token` is what secrets begin with, never a part of one."""
    return {
        "key": row.token_id,
        "token": SECRET_PREFIX,
        "name": row.label,
        "user": row.account,
        "created": row.created,
        "updated": row.created,
        "readonly": row.read_only,
        "cidr_whitelist": row.cidr or None,
        "expires": row.expires or None,
        "packages": row.packages,
        "scopes": row.scopes,
    }
