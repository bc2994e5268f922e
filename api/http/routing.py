"""The application: where every route is added, with who may use it, and HEAD answered like GET.

In a private registry access is decided on the route that Falcon has matched, never on the path: a
decision about another string than the one that is routed can be led astray.
"""

import re
from collections.abc import Callable
from typing import Any, Protocol

import falcon
import falcon.asgi
from falcon.routing import CompiledRouter

from packledger.api.http.expectation import PatientApp, Receive, Send
from packledger.api.http.targets import in_origin_form
from packledger.api.mounts import ELSEWHERE, MOUNTS, Access, MountTable
from packledger.api.npm.root import NpmRoot

Request = falcon.asgi.Request
Response = falcon.asgi.Response
_FIELD = re.compile(r"\\\{(\w+)\\\}")


class Sink(Protocol):
    """What answers all that begins with a prefix. Falcon's own type allows no response, for
    WebSockets; nothing here speaks them."""

    async def __call__(self, req: Request, resp: Response | None, **params: Any) -> None:
        """Answer a request."""


AccessOf = Callable[[Request], Access]
"""For a sink, which has many routes inside."""


class Gate(Protocol):
    """Falcon middleware that admits to what Falcon has matched."""

    def know(self, uri_template: str, access: Access) -> None:
        """Be told of a route."""

    async def process_resource(
        self, req: Request, resp: Response, resource: Any, params: Any
    ) -> None:
        """Admit to the route of a resource."""

    async def admit(self, req: Request, resp: Response, access: Access) -> None:
        """Refuse by an error, or by a complete answer; or do nothing."""


class Mounts(PatientApp):
    """The application. What has no access, its own or its row's, is closed by a private gate."""

    def __init__(
        self,
        middleware: list[Any],
        gate: Gate,
        npm_root: NpmRoot,
        table: MountTable = MOUNTS,
    ) -> None:
        self._gate, self._npm_root, self._table = gate, npm_root, table
        super().__init__(middleware=[*middleware, gate], router=HeadRouter())
        # Sinks are looked at from the newest to the oldest: this one is what nothing else matches.
        super().add_sink(_gated(gate, _nothing, self._access_to_nothing), "/")

    # As in `PatientApp`.
    async def __call__(  # type: ignore[override]
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Answer one request, wherever npm is for it."""
        if scope["type"] == "http":
            scope = self._npm_root.moved(in_origin_form(scope))
        await super().__call__(scope, receive, send)

    def add_route(
        self,
        uri_template: str,
        resource: object,
        *,
        access: Access | None = None,
        **kwargs: Any,
    ) -> None:
        """Add a resource. access: None for that of its row.

        Raises:
            ValueError: no row begins like this.
        """
        self._gate.know(uri_template, self._access(uri_template, access))
        super().add_route(uri_template, resource, **kwargs)

    def add_sink(  # type: ignore[override]
        self, sink: Sink, prefix: str, *, access: Access | AccessOf | None = None
    ) -> None:
        """Add what answers all below a prefix, whose `{field}` is a segment.

        Raises:
            ValueError: no row begins like this.
        """
        wanted = self._access(prefix, access)
        below = _FIELD.sub(r"(?P<\1>[^/]+)", re.escape(prefix)) + "(?:/|$)"
        super().add_sink(_gated(self._gate, sink, wanted), below)

    def _access(self, template: str, access: "Access | AccessOf | None") -> Any:
        row = self._table.find(template)
        if row is None:
            raise ValueError(f"`{template}` begins like no row of api/mounts.py; add one there")
        return row.access if access is None else access

    def _access_to_nothing(self, req: Request) -> Access:
        return (self._table.find(req.path) or ELSEWHERE).access


async def _nothing(req: Request, resp: Response | None, **params: Any) -> None:
    raise falcon.HTTPRouteNotFound


def _gated(gate: Gate, sink: Sink, access: Access | AccessOf) -> Sink:
    """Return the sink behind the gate: Falcon's middleware does not see what a sink matches."""

    async def answer(req: Request, resp: Response | None, **params: Any) -> None:
        assert resp is not None
        await gate.admit(req, resp, access if isinstance(access, Access) else access(req))
        if not resp.complete:
            await sink(req, resp, **params)

    return answer


class HeadRouter(CompiledRouter):
    """Answers HEAD like GET; Falcon leaves the body out.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2
    """

    def map_http_methods(self, resource: object, **kwargs: Any) -> dict[str, Any]:
        """Return which method of a resource answers which of HTTP."""
        methods: dict[str, Any] = {**super().map_http_methods(resource, **kwargs)}
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
        return methods
