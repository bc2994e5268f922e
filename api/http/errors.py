"""The only table from a refusal to an HTTP status, and from there to each client's own format.

cargo reads `{"errors":[{"detail"}]}`, npm, pnpm, yarn and bun read `{"error"}`.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import falcon
import falcon.asgi
import msgspec

from packledger.api.http.bodies import discard_body
from packledger.api.mounts import ErrorFormat, mount_of
from packledger.commands.redaction import redacted
from packledger.domain.errors import (
    Conflict,
    Invalid,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RegistryError,
    TooLarge,
    TooMany,
    Unavailable,
    WrongPassword,
)
from packledger.eventstore.mapper import UnknownEvent

log = logging.getLogger("packledger.api")

STATUS: dict[type[RegistryError], int] = {
    NotAuthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    Invalid: 400,
    TooLarge: 413,
    TooMany: 429,
    Unavailable: 503,
    UnknownEvent: 503,
}
RETRY_AFTER_S = "5"
Page = Callable[[falcon.asgi.Request, falcon.asgi.Response, int, str], Awaitable[bool]]


def status_of(error: RegistryError) -> int:
    """Return the HTTP status of a refusal."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def body_of(path: str, sentence: str) -> bytes:
    """Return an error body in the format of the client that uses this path."""
    if mount_of(path).errors is ErrorFormat.CARGO:
        return msgspec.json.encode({"errors": [{"detail": sentence}]})
    return msgspec.json.encode({"error": sentence})


def challenge_of(path: str, public_url: str, error: RegistryError) -> str:
    """Return the `WWW-Authenticate` value that makes a path's client say the right thing.

    npm says "your authentication token seems to be invalid" at `Bearer`, "incorrect or missing
    password" at `Basic`.
    """
    if isinstance(error, WrongPassword):
        return "Basic"
    if mount_of(path).errors is ErrorFormat.CARGO:
        return f'Cargo login_url="{public_url}/cargo/me"'
    return "Bearer"


class ErrorAnswers:
    """Turns every exception into an answer; knows the URL that a 401 names.

    page: answers with a page if a browser asks, and says whether it did.
    """

    def __init__(self, public_url: str, page: Page) -> None:
        self._public_url, self._page = public_url, page

    def install(self, app: falcon.asgi.App[Any, Any]) -> None:
        """Register for our refusals, Falcon's own, and everything unforeseen."""
        app.add_error_handler(Exception, self.on_surprise)
        app.add_error_handler(falcon.HTTPError, self.on_http_error)
        app.add_error_handler(sqlite3.DatabaseError, self.on_damage)
        app.add_error_handler(RegistryError, self.on_refusal)

    async def on_refusal(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: RegistryError,
        params: Any,
    ) -> None:
        """Answer a refusal with its sentence."""
        status = status_of(error)
        if status == 401:
            resp.set_header("www-authenticate", challenge_of(req.path, self._public_url, error))
        elif isinstance(error, TooMany):
            resp.set_header("retry-after", str(error.retry_after_s))
        elif status == 503:
            resp.set_header("retry-after", RETRY_AFTER_S)
            log.error("cannot serve: %s", error.sentence, extra={"request": req.context.request_id})
        await self._answer(req, resp, status, error.sentence)

    async def on_http_error(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: falcon.HTTPError,
        params: Any,
    ) -> None:
        """Answer what Falcon itself refuses: no route, no such method, a bad header."""
        for name, value in dict(error.headers or {}).items():
            resp.set_header(name, value)
        status = error.status_code
        sentence = (
            error.description or error.title or f"this registry has no {req.method} {req.path}"
        )
        if status == 404:
            sentence = error.description or f"this registry has nothing at `{req.path}`"
        elif status == 405:
            sentence = f"this registry does not answer {req.method} at `{req.path}`"
        await self._answer(req, resp, status, sentence)

    async def on_damage(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: sqlite3.DatabaseError,
        params: Any,
    ) -> None:
        """Answer that a read model cannot be read: it is damaged, and a rebuild mends it."""
        log.error(
            "a read model cannot be read; run `packledger rebuild`",
            exc_info=error,
            extra={"request": req.context.request_id},
        )
        resp.set_header("retry-after", RETRY_AFTER_S)
        sentence = (
            "a read model of this registry cannot be read; ask its operator to run "
            "`packledger rebuild`"
        )
        await self._answer(req, resp, 503, sentence)

    async def on_surprise(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: Any
    ) -> None:
        """Answer a defect of ours: logged with its request id, told without details."""
        request_id = req.context.request_id
        log.error("unforeseen error", exc_info=error, extra={"request": request_id})
        sentence = f"internal error; the operator finds it in the log as request `{request_id}`"
        await self._answer(req, resp, 500, sentence)

    async def _answer(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, status: int, sentence: str
    ) -> None:
        sentence = redacted(sentence)
        resp.stream = None
        resp.text = None
        if not await self._page(req, resp, status, sentence):
            resp.status = status
            resp.content_type = "application/json"
            resp.data = body_of(req.path, sentence)
        resp.set_header("cache-control", "no-store")
        await discard_body(req)
