"""A client that sends `Expect: 100-continue` is answered before it sends the body.

Falcon asks for the first piece of every body before it looks at the request, and gunicorn says
`100 Continue` when asked: a body that its length alone refuses was sent for nothing.
Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import falcon.asgi

from packledger.api.http.body_budget import BodyBudget

Event = Mapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

WAITS = "packledger.waits"
"""In the scope while the client waits for `100 Continue`: it has sent nothing of its body."""


BUDGET = "packledger.budget"
"""In the scope: what bodies are counted with."""


class PatientApp(falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]):
    """Falcon, but an expected body is first asked for when somebody reads it."""

    bodies: BodyBudget

    # Falcon's ASGI application is a subclass of its WSGI one, with another signature.
    async def __call__(  # type: ignore[override]
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Answer one request; nothing here speaks WebSocket."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "http":
            scope[BUDGET] = self.bodies
            if _expects(scope):
                scope[WAITS] = True
                receive = _Later(scope, receive)
        await super().__call__(scope, receive, send)


class _Later:
    """Gives Falcon an empty first piece, and the real ones to whoever reads on."""

    def __init__(self, scope: dict[str, Any], receive: Receive) -> None:
        self._scope, self._receive = scope, receive
        self._begun = False

    async def __call__(self) -> Event:
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": b"", "more_body": True}
        self._scope.pop(WAITS, None)
        return await self._receive()


def _expects(scope: dict[str, Any]) -> bool:
    return any(name == b"expect" for name, _ in scope["headers"])


def waits(req: falcon.asgi.Request) -> bool:
    """Return whether the client has sent nothing of its body and waits to be asked."""
    return bool(req.scope.get(WAITS))


def budget_of(req: falcon.asgi.Request) -> BodyBudget:
    """Return what counts the bodies of this node."""
    budget: BodyBudget = req.scope[BUDGET]
    return budget
