"""`npm access`, and what `--access` may say: there is no access of single packages yet.

Everybody who may read this registry reads all of it. What asks for less is refused, never taken and
not kept; what asks for what is so anyway is answered.

Source: https://github.com/npm/cli/blob/v11.0.0/workspaces/libnpmaccess/lib/index.js
"""

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.http.bodies import read_json
from packledger.domain.accounts.actions import Action
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import Invalid, NoSuchPackage
from packledger.projections.packuments.reads import head_of

Request = falcon.asgi.Request
Response = falcon.asgi.Response

PUBLIC, RESTRICTED = "public", "restricted"


class AccessWish(msgspec.Struct):
    """The body of `npm access set`; what asks for a second factor is only looked for."""

    access: str | None = None
    publish_requires_tfa: bool | None = None


def check_access_wish(wish: str | None, name: str, *, private: bool) -> None:
    """Refuse an access that this registry does not give.

    Raises:
        Invalid: it is unknown, or less than everybody who reads this registry.
    """
    if wish not in {None, "", PUBLIC, RESTRICTED}:
        raise Invalid(f"the access `{str(wish)[:40]}` is not known; it is `public` or `restricted`")
    if wish == RESTRICTED and not private:
        raise Invalid(
            f"`{name}` cannot be restricted: who reaches this registry reads every package in it. "
            "Say `--access public` (yarn: `npmPublishAccess: public` in `.yarnrc.yml`), or "
            "ask its operator to make the registry private"
        )


class NpmAccess:
    """Answers `/-/package/NAME/access` and `…/visibility`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def visibility(self, req: Request, resp: Response, name: str) -> None:
        """Answer whether everybody reads the package, for `npm access get status`."""
        await self._context.check_access(req, NPM, name)
        self._check_there(name)
        resp.media = {"public": not self._context.private}

    async def set(self, req: Request, resp: Response, name: str) -> None:
        """Answer `npm access set status=…`: nothing is changed, since it is so already."""
        context = self._context
        caller = await context.require(req)
        await context.check_may(caller, Action.CHANGE_ACCESS, NPM, name)
        await context.check_access(req, NPM, name)
        self._check_there(name)
        wish = await read_json(req, AccessWish, "the access")
        if wish.publish_requires_tfa is not None:
            raise Invalid("this registry has no second factor; leave `mfa` out")
        check_access_wish(wish.access, name, private=context.private)
        if wish.access == PUBLIC and context.private:
            raise Invalid(f"`{name}` cannot be public: all of this registry needs a token")
        resp.media = {"ok": f"everybody who may read this registry reads `{name}`"}

    def _check_there(self, name: str) -> None:
        head = head_of(self._context.packuments.db(), name)
        if head is None or not head.dist_tags:
            raise NoSuchPackage(name)
