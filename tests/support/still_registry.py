"""A registry that serves archives as they are, to unmodified clients: nothing checks them."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from uploads import dist


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that closes its connection is no error."""


class StillRegistry:
    """Serves `NAME@1.0.0` of each archive to npm's clients and to cargo, on a free loopback port.

    It has what `NpmClient` and `Cargo` want to know of a registry.
    """

    def __init__(self, archives: dict[str, bytes]) -> None:
        self.tokens: dict[str, str] = {}
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.npm = f"{self.url}/npm/"
        self.index = f"sparse+{self.url}/cargo/"
        self._files = {
            "/cargo/config.json": json.dumps({"dl": f"{self.url}/crates/{{crate}}"}).encode()
        }
        for name, packed in archives.items():
            self._add(name, packed)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _add(self, name: str, packed: bytes) -> None:
        tarball = f"/npm/{name}/-/{name}-1.0.0.tgz"
        version = {"name": name, "version": "1.0.0", "dist": dist(packed, self.url + tarball)}
        packument = {
            "name": name,
            "dist-tags": {"latest": "1.0.0"},
            "time": {"modified": _LONG_AGO, "created": _LONG_AGO, "1.0.0": _LONG_AGO},
            "versions": {"1.0.0": version},
        }
        line = {
            "name": name,
            "vers": "1.0.0",
            "deps": [],
            "cksum": hashlib.sha256(packed).hexdigest(),
            "features": {},
            "yanked": False,
        }
        self._files |= {
            f"/npm/{name}": json.dumps(packument).encode(),
            tarball: packed,
            f"/cargo/{name[:2]}/{name[2:4]}/{name}": json.dumps(line).encode() + b"\n",
            f"/crates/{name}": packed,
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = registry._files.get(self.path.partition("?")[0])
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        return Handler


_LONG_AGO = "2020-01-01T00:00:00.000Z"
