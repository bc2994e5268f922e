"""Who looks at a page: a session's secret in a cookie; every form proves its origin.

Three things keep other sites from acting for a visitor: cookies that browsers do not send along
(`SameSite`), the `Origin` of each form, and a token in it that only our own pages know: a digest of
the session under a key of ours.
Source: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import hashlib
import hmac
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import falcon.asgi
import msgspec

from packledger.api.access.providers import Credential, Kind
from packledger.api.context import Context
from packledger.api.http.bodies import read_small
from packledger.commands import tokens
from packledger.commands.tokens import SESSION_DAYS
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import Invalid, NotAllowed, NotAuthenticated, Unavailable

Request = falcon.asgi.Request
Response = falcon.asgi.Response
Form = dict[str, list[str]]

FORM_BYTES = 64 * 1024
FORM_FIELDS = 1_000
TOKEN_FIELD = "form_token"  # noqa: S105 - a field's name


class Visitor(msgspec.Struct, frozen=True):
    """Who looks. identity: None for nobody; secret: of the session, empty without one.

    All that a page does for its visitor it does for this identity, whose `kind` is a session.
    """

    identity: Identity | None = None
    secret: str = ""


NOBODY = Visitor()
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Sessions:
    """Reads and writes the cookies."""

    def __init__(self, context: Context) -> None:
        self._context = context
        parts = urlsplit(context.registry.public_url)
        self._origin = _origin(context.registry.public_url)
        self._secure = parts.scheme == "https"
        self._path = parts.path or "/"
        # Browsers keep a name with this prefix from being set by another host or over http.
        prefix = "__Host-" if self._secure and self._path == "/" else ""
        self._session, self._form = f"{prefix}packledger-session", f"{prefix}packledger-form"
        self._key = b""
        self._read_key()

    async def visitor(self, req: Request) -> Visitor:
        """Return who looks; a session that has ended is nobody."""
        secret = (req.get_cookie_values(self._session) or [""])[0]
        if not secret:
            return NOBODY
        shown = Credential(Kind.SESSION, secret)
        try:
            return Visitor(await self._context.authenticator.whose(req, shown), secret)
        except NotAuthenticated:
            return NOBODY

    def form_token(self, req: Request, resp: Response, visitor: Visitor) -> str:
        """Return what this visitor's forms must carry."""
        if visitor.secret:
            return self._token(visitor.secret)
        key = (req.get_cookie_values(self._form) or [""])[0]
        if not key:
            key = secrets.token_urlsafe(24)
            self._set(resp, self._form, key, "Strict")
        return self._token(key)

    def _read_key(self) -> None:
        with suppress(Unavailable):
            self._key = self._context.registry.credentials.form_key().encode()

    def _token(self, secret: str) -> str:
        """Return a form's token, empty as long as our key cannot be read: no form is taken then."""
        if not self._key:
            self._context.commands.submit(self._read_key)
            return ""
        return hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()

    async def read_form(self, req: Request, visitor: Visitor) -> Form:
        """Return a form that one of our own pages sent: field → values.

        Raises:
            Invalid, TooLarge: no form, or one without end.
            NotAllowed: it comes from somewhere else, or from a page of another session.
        """
        self._check_origin(req)
        content_type = (req.content_type or "").partition(";")[0].strip().lower()
        if content_type != "application/x-www-form-urlencoded":
            raise Invalid("this page takes what its own form sends, nothing else")
        body = await read_small(req, "the form", FORM_BYTES)
        try:
            form = parse_qs(
                body.decode("ascii"), keep_blank_values=True, max_num_fields=FORM_FIELDS
            )
        except ValueError as error:
            raise Invalid("the form cannot be read; load the page again") from error
        key = visitor.secret or (req.get_cookie_values(self._form) or [""])[0]
        given, wanted = field(form, TOKEN_FIELD), self._token(key) if key else ""
        if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise NotAllowed(
                "the form is from an older page or your browser refuses cookies; go back, load the "
                "page again and send it once more"
            )
        return form

    def _check_origin(self, req: Request) -> None:
        origin = req.get_header("origin")
        if origin is not None:
            here = origin.lower() == self._origin or (
                origin.lower().partition("://")[2] == (req.get_header("host") or "").lower()
            )
        else:
            here = req.get_header("sec-fetch-site") in {None, "same-origin"}
        if not here:
            raise NotAllowed(
                f"the form was sent by another site; open `{self._context.registry.public_url}` "
                "and use the form there"
            )

    async def sign_in(self, req: Request, resp: Response, name: str, password: str) -> None:
        """Begin a session. Every attempt of a page to sign in passes here.

        Raises:
            NotAuthenticated: wrong name or password, or a disabled account.
        """
        identity = await self._context.authenticator.by_password(req, name, password)
        await self.begin(req, resp, identity)

    async def begin(self, req: Request, resp: Response, identity: Identity) -> None:
        """Give the browser a session of this account."""
        context = self._context
        caller = context.caller_as(req, identity)
        secret = await context.act(caller, lambda: tokens.begin_session(context.registry, caller))
        self._set(resp, self._session, secret, "Lax", max_age_s=SESSION_DAYS * 86_400)

    async def end(self, req: Request, resp: Response, visitor: Visitor) -> None:
        """End the session: its secret is refused, its cookies are gone."""
        identity = visitor.identity
        if identity is not None:
            context, caller = self._context, self._context.caller_as(req, identity)
            await context.act(
                caller, lambda: tokens.end_session(context.registry, caller, identity.token)
            )
        # Not Falcon's `unset_cookie`: without `Secure` a `__Host-` cookie would stay.
        for name, same_site in ((self._session, "Lax"), (self._form, "Strict")):
            self._set(resp, name, "", same_site, expires=_LONG_AGO)

    def _set(
        self,
        resp: Response,
        name: str,
        value: str,
        same_site: str,
        *,
        max_age_s: int | None = None,
        expires: datetime | None = None,
    ) -> None:
        resp.set_cookie(
            name,
            value,
            max_age=max_age_s,
            expires=expires,
            path=self._path,
            secure=self._secure,
            http_only=True,
            same_site=same_site,
        )


def field(form: Form, name: str) -> str:
    """Return a field's first value, empty when it is not there."""
    return form.get(name, [""])[0]


def _origin(url: str) -> str:
    """Return a URL's origin as browsers write it: lower case, without a default port.

    Source: https://www.rfc-editor.org/rfc/rfc6454#section-6.2
    """
    parts = urlsplit(url.lower())
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}"
