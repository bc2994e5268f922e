"""Where every route is added: it says who may use it, and answers HEAD where it answers GET.

In a private registry access is decided on the route that Falcon has matched, never on the path: a
decision about another string than the one that is routed can be led astray.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

import falcon.asgi
from falcon.routing import CompiledRouter

from packledger.api.http.expectation import PatientApp, Receive, Send
from packledger.api.http.targets import in_origin_form
from packledger.api.npm.root import NpmRoot

Request = falcon.asgi.Request
Response = falcon.asgi.Response


class Sink(Protocol):
    """What answers all that begins with a prefix. Falcon's own type allows no response, for
    WebSockets; nothing here speaks them."""

    async def __call__(self, req: Request, resp: Response | None, **params: Any) -> None:
        """Answer a request."""


class Access(Enum):
    """Who may use a route of a private registry.

    A public one leaves that to each resource; a token that readers give must be good there, too.
    """

    OPEN = "whoever comes"
    READER = "whoever has a valid credential"
    VISITOR = "whoever is signed in; others are sent to the form"
    UNSAID = "nobody: the route does not say"


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
    """The application. A route without `access` is closed by the gate of a private registry."""

    def __init__(self, middleware: list[Any], gate: Gate, npm_root: NpmRoot) -> None:
        self._gate, self._npm_root = gate, npm_root
        super().__init__(middleware=[*middleware, gate], router=HeadRouter())

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
        access: Access = Access.UNSAID,
        **kwargs: Any,
    ) -> None:
        """Add a resource."""
        self._gate.know(uri_template, access)
        super().add_route(uri_template, resource, **kwargs)

    def add_sink(  # type: ignore[override]
        self, sink: Sink, prefix: str = "/", *, access: Access | AccessOf = Access.UNSAID
    ) -> None:
        """Add what answers all that begins with a prefix, a regular expression."""
        super().add_sink(_gated(self._gate, sink, access), prefix)


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
