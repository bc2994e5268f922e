"""A loopback relay that passes bytes on and keeps the head of every request and answer.

It changes them only when told to damage answers, or to take a prefix off every path as a proxy does
that shows the registry below a folder of its own.
Clients talk to the relay, and the registry's public URL names it, so that what a client asked for,
how often and with which headers can be asserted without trusting the server's own log.
"""

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")
_ANSWER = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_ENCODINGS = re.compile(rb"accept-encoding:", re.IGNORECASE)
# Longer than any head: what is older in the buffer is body.
_TAIL_BYTES = 64 * 1024
# Of a gzip file this is its time: what it unpacks to stays the same.
_DAMAGED_BYTE = 4


def _headers(block: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in block.decode("latin-1").splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in lines}


@dataclass
class Exchange:
    """One request and, once it arrived, its answer; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


class _Conversation:
    """The exchanges of one connection; answers come in the order of the requests."""

    def __init__(self, tap: "Wiretap") -> None:
        self._tap = tap
        self._everything = tap.exchanges
        self._asked: list[Exchange] = []
        self._heard = bytearray()
        self._unanswered: list[Exchange] = []
        self._intact: int | None = None
        """How many bytes of a body to pass on before the one to damage."""

    def request(self, match: re.Match[bytes]) -> None:
        exchange = Exchange(match[1].decode(), match[2].decode("latin-1"), _headers(match[3]))
        self._unanswered.append(exchange)
        self._everything.append(exchange)
        if self._tap.keeping:
            self._asked.append(exchange)

    def answer(self, match: re.Match[bytes]) -> None:
        if self._unanswered:
            exchange = self._unanswered.pop(0)
            exchange.answer_headers = _headers(match[2])
            exchange.status = int(match[1])
            suffix = self._tap.damaged
            hit = suffix and exchange.path.endswith(suffix) and exchange.status == 200
            self._intact = _DAMAGED_BYTE if hit else None

    def hear(self, data: bytes, body_at: int) -> bytes:
        """Keep what the server said, if that is wanted; what to pass on of it."""
        if self._tap.keeping:
            self._heard += data
        return self._damaged(data, body_at)

    def answers(self) -> Iterator[tuple[Exchange, bytes]]:
        """Each request and its whole answer, head and body."""
        starts = [match.start() for match in _ANSWER.finditer(self._heard)]
        for exchange, start, end in zip(self._asked, starts, [*starts[1:], None], strict=False):
            yield exchange, bytes(self._heard[start:end])

    def _damaged(self, data: bytes, body_at: int) -> bytes:
        """Flip the bit to flip, if it is in `data`, whose body begins at `body_at`."""
        if self._intact is None:
            return data
        at = body_at + self._intact
        if at >= len(data):
            self._intact -= len(data) - body_at
            return data
        self._intact = None
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _unchanged(data: bytes, body_at: int) -> bytes:
    return data


def _pump(
    source: socket.socket,
    sink: socket.socket,
    pattern: re.Pattern[bytes],
    note: Callable[[re.Match[bytes]], None],
    change: Callable[[bytes, int], bytes] = _unchanged,
) -> None:
    buffer = b""
    try:
        while data := source.recv(65536):
            buffer += data
            end = 0
            for match in pattern.finditer(buffer):
                note(match)
                end = match.end()
            body_at = max(0, end - (len(buffer) - len(data)))
            buffer = buffer[end:][-_TAIL_BYTES:]
            sink.sendall(change(data, body_at))
    except OSError:
        # One side went away: the other side learns it from the shutdown below.
        buffer = b""
    for end_of in (sink, source):
        try:
            end_of.shutdown(socket.SHUT_WR if end_of is sink else socket.SHUT_RD)
        except OSError:
            continue


class Wiretap:
    """The relay; `exchanges` grows while clients talk, `clear()` forgets what was said.

    prefix: what to take off every path, such as `/team`.
    damaged: what the paths end in whose answers arrive with one bit flipped; empty for none.
    keeping: keep whole answers, too, and ask for none that is compressed.
    """

    def __init__(self, upstream_port: int, prefix: str = "") -> None:
        self.exchanges: list[Exchange] = []
        self.damaged = ""
        self.keeping = False
        self._conversations: list[_Conversation] = []
        tap = self

        def as_forwarded(data: bytes, body_at: int) -> bytes:
            if tap.keeping:
                data = _ENCODINGS.sub(b"X-Encoding:", data)
            return data.replace(f" {prefix}/".encode(), b" /", 1) if prefix else data

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                conversation = _Conversation(tap)
                if tap.keeping:
                    tap._conversations.append(conversation)
                with socket.create_connection(("127.0.0.1", upstream_port), timeout=30) as server:
                    server.settimeout(None)
                    up = threading.Thread(
                        target=_pump,
                        args=(self.request, server, _REQUEST, conversation.request, as_forwarded),
                        daemon=True,
                    )
                    up.start()
                    _pump(server, self.request, _ANSWER, conversation.answer, conversation.hear)
                    up.join(timeout=5)

        class Relay(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that meets a stopped server sees its connection close; no more."""

        self._relay = Relay(("127.0.0.1", 0), Handler)
        self.port: int = self._relay.server_address[1]
        threading.Thread(target=self._relay.serve_forever, daemon=True).start()

    def clear(self) -> None:
        self.exchanges.clear()

    def answers(self) -> list[tuple[Exchange, bytes]]:
        """Every request and its whole answer since `keeping`, in order on each connection."""
        return [pair for one in self._conversations for pair in one.answers()]

    def said(self, prefix: str = "") -> list[str]:
        """`METHOD path status` of every exchange whose path starts with `prefix`, in order."""
        return [str(one) for one in self.exchanges if one.path.startswith(prefix)]

    @contextmanager
    def listening(self) -> Iterator[list[Exchange]]:
        """Forget what was said, then collect what is said within the block."""
        self.clear()
        yield self.exchanges

    def close(self) -> None:
        self._relay.shutdown()
        self._relay.server_close()
