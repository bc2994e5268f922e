"""The few pages that clients name: the start, first-start setup, and the one of `cargo login`."""

import html

import falcon.asgi

from packledger.api.answers import PRIVATE
from packledger.api.context import Context
from packledger.commands import accounts
from packledger.domain.errors import Invalid, RegistryError

Request = falcon.asgi.Request
Response = falcon.asgi.Response

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}}
code,pre{{background:#eee;padding:.1em .3em}}pre{{padding:1em;overflow:auto}}
label{{display:block;margin:.8em 0}}input{{display:block;font:inherit;padding:.3em}}
</style></head><body><main><h1>{title}</h1>{body}</main></body></html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"


def _answer(resp: Response, title: str, body: str, status: int = 200) -> None:
    resp.status = status
    resp.content_type = "text/html; charset=utf-8"
    resp.text = _PAGE.format(title=html.escape(title), body=body)
    resp.set_header("content-security-policy", _POLICY)
    resp.set_header("cache-control", PRIVATE)


class Start:
    """`/`: how to use the registry."""

    def __init__(self, public_url: str) -> None:
        url = html.escape(public_url)
        self._body = (
            "<h2>cargo</h2><p>In <code>~/.cargo/config.toml</code>:</p>"
            f'<pre>[registries.packledger]\nindex = "sparse+{url}/cargo/index/"</pre>'
            f"<h2>npm, pnpm</h2><pre>npm config set registry {url}/npm/</pre>"
        )

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the page."""
        _answer(resp, "packledger", self._body)


class CargoMe:
    """`/cargo/me`: `cargo login` sends people here for a token."""

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the page."""
        _answer(
            resp,
            "A token for cargo",
            "<p>Ask the operator of this registry for an account and a token. On its machine:</p>"
            "<pre>packledger token create --user NAME</pre>"
            "<p>prints one. Paste it where <code>cargo login</code> waits for it.</p>",
        )


class Setup:
    """`/setup`: the first administrator, with the one-time code that `serve` printed."""

    _FORM = (
        "<p>{said}</p><form method=post action=/setup>"
        "<label>Setup code, printed by <code>packledger serve</code>"
        "<input name=code required autocomplete=off></label>"
        "<label>Account name<input name=name required autocomplete=username></label>"
        "<label>Password, 8 characters or more"
        "<input name=password type=password required minlength=8 autocomplete=new-password></label>"
        "<button>Create the administrator</button></form>"
    )

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the form."""
        _answer(resp, "Set up packledger", self._FORM.format(said=""))

    async def on_post(self, req: Request, resp: Response) -> None:
        """Create the administrator; a cross-site request cannot guess the code."""
        form = await req.get_media()
        if not isinstance(form, dict):
            raise Invalid("the setup form must be sent as a form")
        code, name, password = (str(form.get(key, "")) for key in ("code", "name", "password"))
        registry = self._context.registry
        actor = registry.actor(name, request=req.context.request_id)
        try:
            await self._context.run(
                lambda: accounts.claim_setup(registry, actor, code, name, password)
            )
        except RegistryError as error:
            said = html.escape(error.sentence)
            _answer(resp, "Set up packledger", self._FORM.format(said=said), status=400)
            return
        _answer(
            resp,
            "The administrator exists",
            f"<p>Sign in with <code>npm login --registry {html.escape(registry.public_url)}/npm/"
            "</code>, or get a token for cargo with <code>packledger token create --user "
            f"{html.escape(name)}</code>.</p>",
        )


def add_routes(app: falcon.asgi.App[Request, Response], context: Context) -> None:
    """Add the pages."""
    app.add_route("/", Start(context.registry.public_url))
    app.add_route("/cargo/me", CargoMe())
    app.add_route("/setup", Setup(context))
