"""`pnpm owner`: one owner at a time, where npm sends the whole list back with a revision.

Source: https://github.com/pnpm/pnpm (`owner`); its `ls` reads the packument, as npm's does
"""

from collections.abc import Awaitable, Callable

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.http.answers import REVALIDATE, answer_json
from packledger.api.http.bodies import read_json
from packledger.api.npm.urls import PackagePath
from packledger.commands.npm.owners import change_owner
from packledger.domain.accounts.actions import Action
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import NoSuchPackage
from packledger.projections.packuments.form import person
from packledger.projections.packuments.reads import head_of

Request = falcon.asgi.Request
Response = falcon.asgi.Response
Answer = Callable[[Request, Response], Awaitable[None]]


class OwnerName(msgspec.Struct):
    """The body that names an account."""

    user: str


class NpmOwners:
    """Answers `/-/package/NAME/owners[/ACCOUNT]`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def answer_for(self, method: str, path: PackagePath) -> Answer | None:
        """Return who answers the path of a package, None if nobody does."""
        match method, path.rest:
            case "GET", ("owners",):
                return lambda req, resp: self.list(req, resp, path.name)
            case "PUT", ("owners",):
                return lambda req, resp: self.change(req, resp, path.name, None, adding=True)
            case "DELETE", ("owners", account):
                return lambda req, resp: self.change(req, resp, path.name, account, adding=False)
            case _:
                return None

    async def list(self, req: Request, resp: Response, name: str) -> None:
        """List the owners as the packument does, to whom may read that."""
        await self._context.check_access(req, NPM, name)

        def listed() -> object:
            head = head_of(self._context.packuments.db(), name)
            if head is None:
                raise NoSuchPackage(name)
            return [person(owner) for owner in head.maintainers]

        await answer_json(resp, listed)
        resp.set_header("cache-control", REVALIDATE)

    async def change(
        self, req: Request, resp: Response, name: str, account: str | None, *, adding: bool
    ) -> None:
        """Add or remove an owner. account: None if the body names it."""
        context = self._context
        caller = await context.require(req)
        await context.check_may(caller, Action.CHANGE_OWNERS, NPM, name)
        if account is None:
            account = (await read_json(req, OwnerName, "the owner")).user
        await context.act(
            caller, lambda: change_owner(context.registry, caller, name, account, adding=adding)
        )
        resp.status = 201 if adding else 200
        resp.media = {"ok": "owner added" if adding else "owner removed"}
