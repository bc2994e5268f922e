"""Setting up, signing in and out."""

import falcon.asgi

from packledger.api.http.errors import status_of
from packledger.api.web.sessions import Visitor, field
from packledger.api.web.site import Site
from packledger.commands import accounts
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NotAuthenticated, RegistryError

Request = falcon.asgi.Request
Response = falcon.asgi.Response


class _FormPage:
    """A page that is one form, which somebody without a session may send."""

    _template: str

    def __init__(self, site: Site) -> None:
        self._site = site

    def _show(
        self,
        req: Request,
        resp: Response,
        visitor: Visitor,
        *,
        status: int = 200,
        refusal: str = "",
        name: str = "",
    ) -> None:
        self._site.render(
            req,
            resp,
            self._template,
            visitor=visitor,
            status=status,
            form=True,
            refusal=refusal,
            name=name,
            set_up=self._site.has_admin(),
        )


class Login(_FormPage):
    """`/login`."""

    _template = "login.html"

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the form, or go on if somebody is signed in already."""
        visitor = await self._site.sessions.visitor(req)
        if visitor.identity is not None:
            self._site.go(resp, "/account")
            return
        self._show(req, resp, visitor)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Begin a session. Afterwards always the account's page: a form names no other."""
        site = self._site
        visitor = await site.sessions.visitor(req)
        form = await site.sessions.read_form(req, visitor)
        name = field(form, "name").strip()
        try:
            await site.sessions.sign_in(req, resp, name, field(form, "password"))
        except RegistryError as error:
            # 401 would make the browser ask in a box of its own.
            status = 403 if isinstance(error, NotAuthenticated) else status_of(error)
            self._show(req, resp, visitor, status=status, refusal=error.sentence, name=name)
            return
        site.go(resp, "/account")


class Logout:
    """`/logout`: a form only, so that no link signs anybody out."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def on_post(self, req: Request, resp: Response) -> None:
        """End the session."""
        visitor = await self._site.sessions.visitor(req)
        if visitor.identity is not None:
            await self._site.sessions.read_form(req, visitor)
            await self._site.sessions.end(req, resp, visitor)
        self._site.go(resp, "/")


class Setup(_FormPage):
    """`/setup`: the first administrator, with the one-time code that `serve` printed."""

    _template = "setup.html"

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the form, or that it is not needed any more."""
        self._show(req, resp, await self._site.sessions.visitor(req))

    async def on_post(self, req: Request, resp: Response) -> None:
        """Create the administrator and sign in."""
        site, registry = self._site, self._site.context.registry
        visitor = await site.sessions.visitor(req)
        form = await site.sessions.read_form(req, visitor)
        code, name, password = (field(form, key) for key in ("code", "name", "password"))
        actor = registry.actor(name, request=req.context.request_id)
        try:
            await site.context.run(
                lambda: accounts.claim_setup(registry, actor, code, name, password)
            )
        except RegistryError as error:
            self._show(req, resp, visitor, status=400, refusal=error.sentence, name=name)
            return
        await site.sessions.begin(req, resp, Identity(account=name, admin=True))
        site.go(resp, "/account")
