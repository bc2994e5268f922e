"""An account's own tokens and sessions: listed, created and shown once, ended."""

import asyncio

import falcon.asgi

from packledger.api.web.sessions import Form, Visitor, field
from packledger.api.web.site import Site
from packledger.api.web.words import day
from packledger.commands import tokens
from packledger.commands.tokens import TokenWish
from packledger.domain.accounts.caller import Caller
from packledger.domain.accounts.permissions import PACKAGE_SCOPES, SCOPES, Identity
from packledger.domain.errors import Invalid, NotFound, RegistryError
from packledger.domain.events.accounts import TokenIssued
from packledger.domain.times import rfc3339
from packledger.projections.accounts.reads import (
    SessionRow,
    TokenRow,
    sessions_of,
    token_by_id,
    tokens_of,
)

Request = falcon.asgi.Request
Response = falcon.asgi.Response

EXPIRIES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "1 year", "": "never"}
SCOPE_WORDS = {
    "publish-new": "publish new crates and packages",
    "publish-update": "publish new versions",
    "yank": "yank, deprecate and unpublish",
    "change-owners": "change owners",
    "dist-tags": "set dist-tags",
    "stars": "star packages",
    "manage-tokens": "list and revoke your tokens",
    "fetch-files": "fetch every stored file and the whole history, as an administrator",
}


class AccountPage:
    """`/account`: who one is, one's tokens, and a form for another."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the page."""
        visitor = await self._site.sessions.visitor(req)
        if visitor.identity is None:
            self._site.go(resp, "/login")
            return
        await self._show(req, resp, visitor, visitor.identity)

    async def on_post_tokens(self, req: Request, resp: Response) -> None:
        """Create a token and show it, this once."""
        site, context = self._site, self._site.context
        visitor = await site.sessions.visitor(req)
        identity = visitor.identity
        if identity is None:
            site.go(resp, "/login")
            return
        form = await site.sessions.read_form(req, visitor)
        caller = context.caller_as(req, identity)
        try:
            wish = _wanted(form)
            secret, issued = await context.act(
                caller, lambda: tokens.issue_token(context.registry, caller, identity.account, wish)
            )
        except RegistryError as error:
            await self._show(
                req, resp, visitor, identity, status=400, refusal=error.sentence, sent=form
            )
            return
        site.render(req, resp, "token.html", visitor=visitor, secret=secret, token=issued)
        resp.set_header("cache-control", "no-store")

    async def on_post_revoke(self, req: Request, resp: Response) -> None:
        """Revoke one of one's own tokens, or end one of one's sessions."""
        site, context = self._site, self._site.context
        visitor = await site.sessions.visitor(req)
        identity = visitor.identity
        if identity is None:
            site.go(resp, "/login")
            return
        form = await site.sessions.read_form(req, visitor)
        caller = context.caller_as(req, identity)
        which = field(form, "token_id")
        try:
            await context.act(caller, lambda: self._end(caller, which))
        except NotFound as error:
            await self._show(req, resp, visitor, identity, status=404, refusal=error.sentence)
            return
        site.go(resp, "/account?revoked")

    def _end(self, caller: Caller, which: str) -> None:
        context, name = self._site.context, caller.known.account
        if which in {row.session_id for row in sessions_of(context.accounts.db(), name)}:
            tokens.end_session(context.registry, caller, which)
            return
        row = token_by_id(context.accounts.db(), which)
        if row is None or row.account != name:
            raise NotFound(f"you have no token `{which[:40]}`")
        tokens.revoke_token(context.registry, caller, row.identity())

    async def _show(  # noqa: PLR0913 - a page with a form has many states
        self,
        req: Request,
        resp: Response,
        visitor: Visitor,
        identity: Identity,
        *,
        status: int = 200,
        refusal: str = "",
        sent: Form | None = None,
    ) -> None:
        now = rfc3339(self._site.context.registry.now())
        db = self._site.context.accounts.db
        rows, begun = await asyncio.to_thread(
            lambda: (tokens_of(db(), identity.account), sessions_of(db(), identity.account))
        )
        shown = [_shown(row, now) for row in reversed(rows)]
        live = [row for row in begun if row.expires > now]
        await self._site.render_long(
            req,
            resp,
            "account.html",
            visitor=visitor,
            status=status,
            refusal=refusal,
            tokens=shown,
            sessions=[_shown_session(row, identity) for row in reversed(live)],
            expiries=EXPIRIES,
            scopes=SCOPE_WORDS,
            sent=sent or {},
            revoked="revoked" in req.params,
        )
        resp.set_header("cache-control", "no-store")


def _shown_session(row: SessionRow, identity: Identity) -> dict[str, object]:
    return {
        "id": row.session_id,
        "created": row.created,
        "expires": day(row.expires),
        "this": row.session_id == identity.token,
    }


def _shown(row: TokenRow, now: str) -> dict[str, object]:
    expired = bool(row.expires) and row.expires <= now
    return {
        "id": row.token_id,
        "label": row.label or "without a name",
        "created": row.created,
        "expires": day(row.expires) if row.expires else "never",
        "expired": expired,
        "limits": limits_of(row),
    }


def limits_of(token: TokenRow | TokenIssued) -> str:
    """Return in words what a token may do."""
    given = set(token.scopes or PACKAGE_SCOPES)
    everything = given.issuperset(PACKAGE_SCOPES)
    named = [one for one in token.scopes if not (everything and one in PACKAGE_SCOPES)]
    scopes = ", ".join(SCOPE_WORDS.get(scope, scope) for scope in named)
    may = "Read only" if token.read_only else "May do all you may" if everything else ""
    may = f"{may}, and {scopes}" if may and scopes else may or f"May {scopes}"
    may += f"; for {', '.join(token.packages)} alone" * bool(token.packages)
    return f"{may}; from {', '.join(token.cidr)} alone" if token.cidr else may


def _wanted(form: Form) -> TokenWish:
    """Return what the form asks for.

    Raises:
        Invalid: no name, an expiry that is not offered, or an unknown scope.
    """
    label, days = field(form, "label").strip(), field(form, "days")
    read_only = field(form, "access") == "read"
    scopes = form.get("scope", [])
    packages = field(form, "packages").replace(",", " ").split()
    if not label:
        raise Invalid("give the token a name, so that you know later what it is for")
    if days not in EXPIRIES:
        raise Invalid("choose one of the times after which the token expires")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise Invalid(f"`{unknown[0][:40]}` is not something that a token can be limited to")
    # What a token may change is no question where it may change nothing.
    kept = [scope for scope in scopes if not (read_only and scope in PACKAGE_SCOPES)]
    return TokenWish(
        label=label,
        read_only=read_only,
        scopes=kept,
        packages=packages,
        expires_days=int(days) if days else None,
    )
