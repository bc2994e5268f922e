"""HTTP as bytes on a socket: for requests that no client would send."""

import contextlib
import http.client
import io
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

TIMEOUT_S = 30


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextlib.contextmanager
def connection(port: int, timeout_s: float = TIMEOUT_S) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield peer


def send(peer: socket.socket, data: bytes) -> None:
    """Send all, unless the server has heard enough: its answer is still to be read."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        peer.sendall(data)


class _Kept(io.BufferedReader):
    """Stays open when an answer is over: what it has read ahead is the next one's."""

    def close(self) -> None:
        """Do nothing."""


class Ears(socket.socket):
    """A connection's side that is listened to; for several answers on one connection."""

    def __init__(self, peer: socket.socket) -> None:
        super().__init__(fileno=os.dup(peer.fileno()))
        self.settimeout(peer.gettimeout())
        self._kept = _Kept(super().makefile("rb", buffering=0))

    def close(self) -> None:
        self._kept.raw.close()
        super().close()

    def makefile(self, *mode: object, **options: object) -> io.BufferedReader:  # type: ignore[override]
        return self._kept


def read_answer(peer: socket.socket, method: str = "GET") -> Answer | None:
    """The next answer on a connection, None if it ends without one.

    peer: `Ears` if there may be more than one answer.
    """
    response = http.client.HTTPResponse(peer, method=method)
    try:
        response.begin()
        body = response.read()
    except (http.client.BadStatusLine, ConnectionResetError):
        return None
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)


def exchange(port: int, data: bytes, timeout_s: float = TIMEOUT_S) -> Answer | None:
    """Say something on a new connection, and hear the first answer."""
    with connection(port, timeout_s) as peer:
        send(peer, data)
        return read_answer(peer, "HEAD" if data.lstrip().startswith(b"HEAD ") else "GET")


def request(
    method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b""
) -> bytes:
    """A request with exactly these headers, `Host` first and the body's length last."""
    lines = [method.encode("latin-1") + b" " + target + b" HTTP/1.1", b"Host: registry"]
    lines += [name + b": " + value for name, value in headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])
