"""A loopback relay in front of a server that cuts the wire where a test says."""

import socket
import socketserver
import threading
from collections.abc import Callable

from one_fault import BEFORE


class CutWire:
    """Passes bytes on until something that a client says contains `said`, then cuts once.

    BEFORE: the server never hears it. AFTER: the server has done it, the client never hears so.
    then: called at the cut, before the client notices. Afterwards everything is passed on again,
    or, if `gone`, nobody gets through any more.
    """

    def __init__(self, upstream_port: int) -> None:
        self.cuts = 0
        self.gone = False
        self._armed: tuple[bytes, str, Callable[[], None], bool] | None = None
        self._open: set[_Conversation] = set()
        wire = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire._pass_on(self.request, upstream_port)

        class Relay(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """Who meets a stopped server sees its connection close; no more."""

        self._relay = Relay(("127.0.0.1", 0), Handler)
        self.port: int = self._relay.server_address[1]
        self._thread = threading.Thread(target=self._relay.serve_forever, args=(0.02,))
        self._thread.start()

    def arm(
        self,
        said: str,
        when: str,
        then: Callable[[], None] = lambda: None,
        *,
        gone: bool = False,
    ) -> None:
        self._armed = (said.encode(), when, then, gone)

    def _pass_on(self, client: socket.socket, upstream_port: int) -> None:
        if self.gone:
            return
        with socket.create_connection(("127.0.0.1", upstream_port)) as server:
            conversation = _Conversation(self, client, server)
            self._open.add(conversation)
            up = threading.Thread(target=conversation.up, daemon=True)
            up.start()
            conversation.down()
            up.join()
            self._open.discard(conversation)

    def cut(self) -> None:
        """Cut every connection now."""
        for conversation in list(self._open):
            conversation.hang_up()

    def heard(self, data: bytes) -> tuple[str, Callable[[], None]] | None:
        """Return how to cut, if now."""
        if self._armed is None or self._armed[0] not in data:
            return None
        _, when, then, self.gone = self._armed
        self._armed = None
        self.cuts += 1
        return when, then

    def close(self) -> None:
        self._relay.shutdown()
        self._relay.server_close()
        self._thread.join()


class _Conversation:
    """One connection; each direction has a thread."""

    def __init__(self, wire: CutWire, client: socket.socket, server: socket.socket) -> None:
        self._wire, self._client, self._server = wire, client, server
        self._dropping: Callable[[], None] | None = None

    def up(self) -> None:
        try:
            while data := self._client.recv(65536):
                cut = self._wire.heard(data)
                if cut and cut[0] == BEFORE:
                    cut[1]()
                    break
                if cut:
                    self._dropping = cut[1]
                self._server.sendall(data)
        except OSError:
            pass  # a side went away; the other learns it below
        self.hang_up()

    def down(self) -> None:
        try:
            while data := self._server.recv(65536):
                if self._dropping:
                    self._dropping()
                    break
                self._client.sendall(data)
        except OSError:
            pass
        self.hang_up()

    def hang_up(self) -> None:
        for side in (self._client, self._server):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
