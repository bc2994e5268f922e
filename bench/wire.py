"""HTTP over one kept connection, with little work: the client is not what is timed."""

import socket

_END = b"\r\n\r\n"


class Wire:
    """One connection."""

    def __init__(self, port: int, token: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._token = token

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def head(self, method: str, path: str, size_bytes: int = 0, **headers: str) -> bytes:
        """Return the head of a request."""
        lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "accept-encoding: gzip"]
        if self._token:
            lines.append(f"authorization: Bearer {self._token}")
        if size_bytes:
            lines += ["content-type: application/json", f"content-length: {size_bytes}"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        return "\r\n".join(lines).encode() + _END

    def ask(self, method: str, path: str, body: bytes = b"", expected: int = 200) -> bytes:
        """Send a request and return the body of the answer."""
        return self.send(self.head(method, path, len(body)) + body, expected)[1]

    def send(self, request: bytes, expected: int = 200) -> tuple[bytes, bytes]:
        """Send a prepared request and return the head and body of its answer."""
        self.post(request)
        return self.answer(expected)

    def post(self, request: bytes) -> None:
        """Send a prepared request; its answer is fetched later."""
        self._socket.sendall(request)

    def answer(self, expected: int = 200) -> tuple[bytes, bytes]:
        """Return the head and body of the next answer."""
        received = b""
        while _END not in received:
            received += self._receive()
        head, _, body = received.partition(_END)
        lower = head.lower()
        if b"content-length:" in lower:
            missing = int(lower.split(b"content-length:")[1].split(b"\r\n")[0]) - len(body)
            while missing > 0:
                body += self._receive()
                missing = int(lower.split(b"content-length:")[1].split(b"\r\n")[0]) - len(body)
        if int(head[9:12]) != expected:
            raise RuntimeError(f"{head[:200]!r} {body[:500]!r}")
        return head, body

    def _receive(self) -> bytes:
        piece = self._socket.recv(256 * 1024)
        if not piece:
            raise RuntimeError("the server closed the connection")
        return piece
