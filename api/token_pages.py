"""An account's own tokens: listed, created and shown once, revoked."""

import asyncio

import falcon.asgi

from packledger.api.page_words import day
from packledger.api.sessions import SESSION_LABEL, Form, Visitor, field
from packledger.api.site import Site
from packledger.commands import accounts
from packledger.domain.account import SCOPES
from packledger.domain.errors import Invalid, NotFound, RegistryError
from packledger.domain.events import TokenIssued
from packledger.domain.permissions import Identity
from packledger.domain.times import rfc3339
from packledger.projections.accounts import TokenRow, tokens_of

Request = falcon.asgi.Request
Response = falcon.asgi.Response

EXPIRIES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "1 year", "": "never"}
SCOPE_WORDS = {
    "publish-new": "publish new crates and packages",
    "publish-update": "publish new versions",
    "yank": "yank, deprecate and unpublish",
    "change-owners": "change owners",
    "dist-tags": "set dist-tags",
}
MAX_PATTERNS = 50


class AccountPage:
    """`/account`: who one is, one's tokens, and a form for another."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the page."""
        visitor = self._site.sessions.visitor(req)
        if visitor.identity is None:
            self._site.go(resp, "/login")
            return
        await self._show(req, resp, visitor, visitor.identity)

    async def on_post_tokens(self, req: Request, resp: Response) -> None:
        """Create a token and show it, this once."""
        site, context = self._site, self._site.context
        visitor = site.sessions.visitor(req)
        identity = visitor.identity
        if identity is None:
            site.go(resp, "/login")
            return
        form = await site.sessions.read_form(req, visitor)
        actor = context.actor(req, identity)
        try:
            wanted = _wanted(form)
            secret, issued = await context.run(
                lambda: accounts.issue_token(
                    context.registry,
                    actor,
                    identity.account,
                    label=wanted.label,
                    read_only=wanted.read_only,
                    scopes=wanted.scopes,
                    packages=wanted.packages,
                    expires_days=wanted.days,
                )
            )
        except RegistryError as error:
            await self._show(
                req, resp, visitor, identity, status=400, refusal=error.sentence, sent=form
            )
            return
        site.render(req, resp, "token.html", visitor=visitor, secret=secret, token=issued)
        resp.set_header("cache-control", "no-store")

    async def on_post_revoke(self, req: Request, resp: Response) -> None:
        """Revoke one of one's own tokens."""
        site, context = self._site, self._site.context
        visitor = site.sessions.visitor(req)
        identity = visitor.identity
        if identity is None:
            site.go(resp, "/login")
            return
        form = await site.sessions.read_form(req, visitor)
        actor = context.actor(req, identity)
        token_id = field(form, "token_id")
        try:
            await context.run(
                lambda: accounts.revoke_token(context.registry, actor, identity.account, token_id)
            )
        except NotFound as error:
            await self._show(req, resp, visitor, identity, status=404, refusal=error.sentence)
            return
        site.go(resp, "/account?revoked")

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
        rows = await asyncio.to_thread(
            lambda: tokens_of(self._site.context.accounts.db(), identity.account)
        )
        await self._site.render_long(
            req,
            resp,
            "account.html",
            visitor=visitor,
            status=status,
            refusal=refusal,
            tokens=[_shown(row, now, identity) for row in reversed(rows) if _worth(row, now)],
            expiries=EXPIRIES,
            scopes=SCOPE_WORDS,
            sent=sent or {},
            revoked="revoked" in req.params,
        )
        resp.set_header("cache-control", "no-store")


def _worth(row: TokenRow, now: str) -> bool:
    """Return whether a token is worth a line: a session that is over by itself is not."""
    return row.label != SESSION_LABEL or row.expires > now


def _shown(row: TokenRow, now: str, identity: Identity) -> dict[str, object]:
    expired = bool(row.expires) and row.expires <= now
    return {
        "id": row.token_id,
        "label": row.label or "without a name",
        "created": row.created,
        "expires": day(row.expires) if row.expires else "never",
        "expired": expired,
        "limits": limits_of(row),
        "this": row.token_id == identity.token,
    }


def limits_of(token: TokenRow | TokenIssued) -> str:
    """Return in words what a token may do."""
    scopes = ", ".join(SCOPE_WORDS.get(scope, scope) for scope in token.scopes)
    may = "Read only" if token.read_only else f"May {scopes}" if scopes else "May do all you may"
    return f"{may}; for {', '.join(token.packages)} alone" if token.packages else may


class _Wanted:
    """A token as the form asks for it."""

    def __init__(self, form: Form) -> None:
        self.label = field(form, "label").strip()
        self.read_only = field(form, "access") == "read"
        # What a token may do is no question where it may not write at all.
        self.scopes = [] if self.read_only else form.get("scope", [])
        self.packages = field(form, "packages").replace(",", " ").split()
        days = field(form, "days")
        self.days = int(days) if days.isdecimal() and len(days) <= 4 else None


def _wanted(form: Form) -> _Wanted:
    """Return what the form asks for.

    Raises:
        Invalid: no name, an expiry that is not offered, or an unknown scope.
    """
    wanted = _Wanted(form)
    if not wanted.label:
        raise Invalid("give the token a name, so that you know later what it is for")
    if field(form, "days") not in EXPIRIES:
        raise Invalid("choose one of the times after which the token expires")
    unknown = [scope for scope in wanted.scopes if scope not in SCOPES]
    if unknown:
        raise Invalid(f"`{unknown[0][:40]}` is not something that a token can be limited to")
    if len(wanted.packages) > MAX_PATTERNS or any(len(one) > 256 for one in wanted.packages):
        raise Invalid(f"a token is limited to at most {MAX_PATTERNS} packages; use a name with `*`")
    return wanted
