"""What nginx asks before it answers from a private registry's static tree: may this token read?

Source: https://nginx.org/en/docs/http/ngx_http_auth_request_module.html
"""

import falcon.asgi

from packledger.api.context import Context
from packledger.domain.errors import NotAuthenticated

MAY_READ = "/internal/may-read"
KEPT_S = 3
"""How long nginx may go on believing a yes; so long a token that was revoked still reads there."""


class MayRead:
    """Answers 204 for yes; anything else means that nginx shall ask the app for the document.

    In a private registry who has a token may read everything, so the token alone decides. Two who
    have none get no yes here: passwords, which are counted where they are used, and whatever an
    embedding program's hooks decide for themselves.
    """

    def __init__(self, context: Context) -> None:
        self._authenticator, self._hooks = context.authenticator, context.hooks

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer without a body, whoever it is."""
        hooked = self._hooks.authenticate is not None or self._hooks.access is not None
        basic = (req.get_header("authorization") or "").strip().lower().startswith("basic ")
        if hooked or basic:
            raise NotAuthenticated("this is for the registry itself to answer")
        await self._authenticator.require(req)
        resp.status = 204
        resp.set_header("x-accel-expires", str(KEPT_S))
