"""npm at the root of a host of its own, as people have it who come from another registry.

A request to that host is one below `/npm` and nothing else: it is moved there before anything
looks at its path, so every route, right and refusal is the same (ADR 0047).
"""

from typing import Any
from urllib.parse import urlsplit

import falcon.asgi

_MOVED = "packledger.npm_root"


class NpmRoot:
    """The host that is npm's alone. url: empty for none."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc.lower().encode()

    def __bool__(self) -> bool:
        """Return whether there is such a host."""
        return bool(self._host)

    def is_host(self, host: bytes | None) -> bool:
        """Return whether a Host header names it."""
        return bool(host) and (host or b"").lower() == self._host

    def moved(self, scope: dict[str, Any]) -> dict[str, Any]:
        """Return the scope of a request with the path that it has below `/npm`."""
        host = next((value for name, value in scope["headers"] if name == b"host"), None)
        if not self.is_host(host) or not scope["raw_path"].startswith(b"/"):
            return scope
        raw_path, path = b"/npm" + scope["raw_path"], "/npm" + scope["path"]
        return {**scope, "raw_path": raw_path, "path": path, _MOVED: True}


def is_at_root(req: falcon.asgi.Request) -> bool:
    """Return whether the request came to npm's own host, so that URLs in the answer must, too."""
    return _MOVED in req.scope
