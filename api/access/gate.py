"""What nginx asks before it answers from a private registry's static tree: may this token read?

Source: https://nginx.org/en/docs/http/ngx_http_auth_request_module.html
"""

from contextlib import suppress

import falcon.asgi

from packledger.api.context import Context
from packledger.domain.errors import NotAuthenticated

KEPT_S = 3
"""How long nginx may go on believing a yes; so long a token that was revoked still reads there."""


class MayRead:
    """Answers 204 for yes and 403 for no: then nginx has the app refuse in the client's own words.

    In a private registry who has a token may read everything, so the token alone decides. No yes is
    given for passwords, which are counted where they are used, nor where an embedding program's
    hooks decide for themselves: the app answers those.
    """

    def __init__(self, context: Context) -> None:
        self._authenticator = context.authenticator
        self._hooked = context.authenticator.asks_others or context.policies.hides

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer without a word about whose token it is."""
        resp.status = 403
        password = (req.get_header("authorization") or "").strip().lower().startswith("basic ")
        if self._hooked or password:
            return
        with suppress(NotAuthenticated):
            if (await self._authenticator.require(req)).cidr:
                return  # a yes that is kept would hold for other addresses, too
            resp.status = 204
            resp.set_header("x-accel-expires", str(KEPT_S))
