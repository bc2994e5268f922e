"""`npm star` and `pnpm star`: an account's stars.

npm has had no such command since version 12. A star that npm gave is a change of the packument,
`commands.npm_edits`.

Source: https://github.com/npm/cli/blob/v11.0.0/lib/commands/stars.js,
https://github.com/pnpm/pnpm (`star`, `stars`)
"""

import asyncio
from collections.abc import Awaitable, Callable

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.http.answers import PRIVATE, answer_json
from packledger.api.http.bodies import read_json
from packledger.commands.npm import edits as npm_edits
from packledger.domain.accounts.actions import Package
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import Invalid, NoSuchAccount
from packledger.projections.accounts.reads import account_of
from packledger.projections.packuments.reads import starred_by

Request = falcon.asgi.Request
Response = falcon.asgi.Response
Answer = Callable[[Request, Response], Awaitable[None]]


class StarWish(msgspec.Struct):
    """The body of pnpm's star; older forms call the package `name`."""

    package: str = ""
    name: str = ""


class NpmStars:
    """Answers the paths about stars."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def answer_for(self, method: str, parts: list[str]) -> Answer | None:
        """Return who answers the path below `/-/`, None if nobody does."""
        match method, parts:
            case "GET", ["_view", "starredByUser"]:
                return self.stars
            case "GET", ["user", "v1", "star"]:
                return self.own_stars
            case "GET", ["user", account, "stars"]:
                return lambda req, resp: self.stars_of(req, resp, account)
            case "PUT", ["user", "v1", "star"]:
                return lambda req, resp: self.star(req, resp, starred=True)
            case "DELETE", ["user", "v1", "star"]:
                return lambda req, resp: self.star(req, resp, starred=False)
            case _:
                return None

    async def stars(self, req: Request, resp: Response) -> None:
        """List the packages that an account has starred; `key` is its name as JSON."""
        try:
            account = msgspec.json.decode(req.get_param("key") or "", type=str)
        except msgspec.DecodeError as error:
            raise Invalid('`key` must be an account name in quotes, as in `"alice"`') from error
        names = await self._starred_by(req, account)
        await answer_json(resp, lambda: {"rows": [{"value": name} for name in names]})
        resp.set_header("cache-control", PRIVATE)

    async def own_stars(self, req: Request, resp: Response) -> None:
        """List the names of the packages that the caller has starred, for pnpm."""
        caller = await self._context.require(req)
        names = await self._starred_by(req, caller.known.account)
        await answer_json(resp, lambda: names)
        resp.set_header("cache-control", PRIVATE)

    async def stars_of(self, req: Request, resp: Response, account: str) -> None:
        """List the names of the packages that an account has starred, for pnpm."""
        if account_of(self._context.accounts.db(), account) is None:
            raise NoSuchAccount(account)
        names = await self._starred_by(req, account)
        await answer_json(resp, lambda: names)
        resp.set_header("cache-control", PRIVATE)

    async def _starred_by(self, req: Request, account: str) -> list[str]:
        """Return the packages with an account's star, as far as the caller may see them."""
        context = self._context
        row = account_of(context.accounts.db(), account)
        name = row.name if row else account
        names = await asyncio.to_thread(lambda: starred_by(context.packuments.db(), name))
        if not context.policies.hides:
            return names
        found = [Package(NPM, name) for name in names]
        seen = await context.policies.seen(await context.caller(req), found)
        return [one.name for one in found if one in seen]

    async def star(self, req: Request, resp: Response, *, starred: bool) -> None:
        """Give or take back the caller's star."""
        context = self._context
        caller = await context.require(req)
        caller.known.check_may_write()
        wish = await read_json(req, StarWish, "the star")
        name = wish.package or wish.name
        await context.act(caller, lambda: npm_edits.star(context.registry, caller, name, starred))
        resp.media = {"ok": "starred" if starred else "unstarred"}
