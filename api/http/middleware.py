"""A request id for every request, and a log line for every change and every failure."""

import itertools
import logging
import re
import secrets
import time
from abc import ABC, abstractmethod
from typing import Any

import falcon.asgi

from packledger.api.access.auth import Authenticator, is_password
from packledger.api.http.paths import check_plain
from packledger.api.mounts import Access
from packledger.api.web.sessions import Sessions
from packledger.commands.redaction import redacted
from packledger.domain.errors import NotAllowed

log = logging.getLogger("packledger.requests")

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN_IN_PATH = re.compile(r"(/-/user/token/|/tokens/token/)[^/?]+")


class PlainPaths:
    """Falcon middleware: no path is routed that something else may read in another way."""

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Refuse a path that is not plain."""
        check_plain(req.scope["raw_path"])


class RouteGate(ABC):
    """Falcon middleware that decides on what Falcon has matched."""

    def __init__(self) -> None:
        self._access: dict[str | None, Access] = {}

    def know(self, uri_template: str, access: Access) -> None:
        """Be told of a route."""
        self._access[uri_template] = access

    async def process_resource(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: Any, params: Any
    ) -> None:
        """Ask for what the matched route wants."""
        await self.admit(req, resp, self._access.get(req.uri_template, Access.UNSAID))

    @abstractmethod
    async def admit(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, access: Access
    ) -> None:
        """Refuse by an error, or by a complete answer; or do nothing."""


class PublicReads(RouteGate):
    """Of a public registry: who gives no token reads without one.

    A token that is not accepted is refused all the same: without that nobody notices that it has
    ended, or was mistyped, before a publish fails.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__()
        self._authenticator = authenticator

    async def admit(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, access: Access
    ) -> None:
        """Refuse a token that is not accepted where clients read; changes look for themselves.

        Raises:
            NotAuthenticated, NotAllowed: as `Authenticator.identify`.
        """
        header = req.get_header("authorization")
        if header and access is Access.READER and not is_password(header):
            await self._authenticator.identify(req)


class PrivateReads(RouteGate):
    """Falcon middleware of a private registry: closed, but for the routes that are said to be open.

    login: the path of the page to which a browser is sent.
    """

    def __init__(self, authenticator: Authenticator, sessions: Sessions, login: str) -> None:
        super().__init__()
        self._authenticator, self._sessions, self._login = authenticator, sessions, login

    async def admit(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, access: Access
    ) -> None:
        """Refuse a request without a valid credential, or send a browser to the form.

        Raises:
            NotAuthenticated: no credential, or one that is not accepted.
            NotAllowed: nobody may use the route.
        """
        match access:
            case Access.OPEN:
                return
            case Access.READER:
                await self._authenticator.require(req)
            case Access.VISITOR:
                if (await self._sessions.visitor(req)).identity is None:
                    resp.status = 303
                    resp.set_headers({"location": self._login, "cache-control": "no-store"})
                    resp.complete = True
            case Access.UNSAID:
                raise NotAllowed(
                    f"`{req.path[:100]}` is closed: nothing says who may use it in this private "
                    "registry"
                )

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: Any, ok: bool
    ) -> None:
        """Keep what was read with a token out of caches that others share."""
        kept = resp.get_header("cache-control") or ""
        if kept.startswith("public"):
            resp.set_header("cache-control", kept.replace("public", "private", 1))


class RequestIds:
    """Gives ids to requests: a random part for the process, which must make it, then a count.

    What a client or a proxy calls a request stands behind that, as `OURS~THEIRS`: it can be found
    by either, and nobody can make theirs look like one of ours, or like another request's.
    """

    def __init__(self) -> None:
        self._process = secrets.token_hex(5)
        self._header = f"x-request-id: {self._process}-".encode()
        self._next = itertools.count(1)

    def of(self, given: str | None) -> str:
        """Return a new id. given: `X-Request-Id`, which is left out unless it is a harmless one."""
        return f"{self._process}-{next(self._next):x}{self.behind(given)}"

    def behind(self, given: str | None) -> str:
        """Return what stands behind our part of an id."""
        # It is logged, recorded and answered: a token in its place must not be.
        return f"~{given}" if given and _SAFE_ID.fullmatch(redacted(given)) else ""

    def line(self, behind: bytes) -> bytes:
        """Return the header with a new id, as a line."""
        return b"%b%x%b\r\n" % (self._header, next(self._next), behind)


class Requests:
    """Falcon middleware; the log never holds a token, a query or a body."""

    def __init__(self, ids: RequestIds) -> None:
        self._ids = ids

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Give the request its id."""
        req.context.request_id = self._ids.of(req.get_header("x-request-id"))
        req.context.began_s = time.perf_counter()

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: Any, ok: bool
    ) -> None:
        """Say what happened, unless it was an ordinary read."""
        resp.set_header("x-request-id", req.context.request_id)
        # A browser must not take a package's text for a page.
        resp.set_header("x-content-type-options", "nosniff")
        status = resp.status_code
        ordinary = req.method in {"GET", "HEAD"} and status < 500
        level = logging.DEBUG if ordinary else logging.ERROR if status >= 500 else logging.INFO
        if not log.isEnabledFor(level):
            return
        duration_ms = (time.perf_counter() - req.context.began_s) * 1000
        path = _TOKEN_IN_PATH.sub(r"\1…", req.path)
        log.log(
            level,
            "%s %s answered %d",
            req.method,
            path,
            status,
            extra={
                "request": req.context.request_id,
                "duration_ms": round(duration_ms, 2),
                "received_bytes": req.content_length or 0,
            },
        )
