"""A client's connection: bounded in time, and refused in words that every client can print.

Gunicorn's own waits for ever for a first request, for a body that trickles, and for a client that
does not take its answer. Here each of them ends when a client has not moved on for a while. What is
in memory is answered at once, without a task for it.
"""

import fcntl
import struct
import termios
from http import HTTPStatus
from typing import Any

import msgspec
from gunicorn.asgi.protocol import ASGIProtocol

from packledger.api.hot_reads import Hit
from packledger.server.http.head import Limits
from packledger.server.http.parser import Parser
from packledger.server.http.patience import MIN_BYTES_PER_S, Patience, Turn

LARGE_PIECE_BYTES = 64 * 1024
"""uvloop reads pieces of 256 KiB at most; an ordinary request fits into a few KiB."""
_HEAD, _BODY, _ANSWER = "head", "body", "answer"
_TOO_SLOW = {
    _HEAD: "the request did not arrive in time; send it again",
    _BODY: f"the body arrives at less than {MIN_BYTES_PER_S} bytes a second; send it again",
}


class Connection(ASGIProtocol):  # type: ignore[misc]
    """A connection that its worker knows."""

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        self._callback_parser: Parser | None = None
        self._received_bytes = 0
        self._patience = Patience()
        self._hit_at_s = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.worker.connections[self] = None
        super().connection_made(transport)
        self.worker.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.worker.connections.pop(self, None)
        super().connection_lost(exc)
        # It holds our callbacks: without it nothing waits for the collector.
        self._callback_parser = None

    def data_received(self, data: bytes) -> None:
        """Take what arrived; let a large next request wait until this one is quite over.

        One turn of the loop may read 8 MiB: more than the parser keeps of a next request.
        """
        parser = self._callback_parser
        if parser is not None and parser.is_idle and self._takes_hits():
            now_s = self.worker.loop.time()
            hit = self.worker.hits.find(data, now_s)
            if hit is not None:
                self._write_hit(hit, now_s)
                return
        super().data_received(data)
        if len(data) >= LARGE_PIECE_BYTES and parser is not None and parser.is_complete:
            self._pause_reading()

    def resume_writing(self) -> None:
        """Go on with an answer: the client has taken what waited for it."""
        self._patience.begin_anew()
        super().resume_writing()

    def close_if_idle(self, *, unused: bool) -> bool:
        """Close it between two requests; unused: before its first one, too. Return whether."""
        busy = self._closed or self._flow_control.write_paused
        idle = self._awaiting_request and not busy and (unused or self.req_count > 1)
        if idle:
            self._close_transport()
            self._request_ready.set()
        return bool(idle)

    def refuse(self, sentence: str) -> None:
        """End a connection that has said nothing yet."""
        self._send_error_response(503, sentence, (("Retry-After", "5"),))
        self._close_transport()
        self._request_ready.set()

    def end_if_stuck(self, now_s: float, patience_s: float) -> None:
        """End the connection if its client has not moved on since `patience_s`."""
        wait = self._wait()
        turn = None if wait is None else Turn(wait, self.req_count, self._moved_bytes(wait))
        if self._patience.is_over(turn, now_s, patience_s) and wait is not None:
            self._give_up(wait)

    def _wait(self) -> str | None:
        """Return what the client is waited for; None while it is our turn, or it may be idle."""
        if self._closed or self._flow_control.write_paused:
            return _ANSWER
        if self._awaiting_request:  # later ones are bounded by the keep-alive timer
            return _HEAD if self.req_count == 1 else None
        receiver = self._body_receiver
        ours = receiver is None or receiver.buffered or receiver.expect_continue
        return None if ours or receiver._complete or self._reading_paused else _BODY

    def _moved_bytes(self, wait: str) -> int:
        """Return a number that grows by each byte which the client has sent or taken."""
        if wait is not _ANSWER:
            return self._received_bytes if wait is _BODY else 0
        return -int(self.transport.get_write_buffer_size()) - _not_acknowledged(self.transport)

    def _give_up(self, wait: str) -> None:
        if wait is _ANSWER:
            self.transport.abort()
            return
        self._send_error_response(408, _TOO_SLOW[wait])
        self._close_transport()
        self._request_ready.set()

    def _setup_callback_parser(self) -> None:
        self._callback_parser = Parser(
            self._on_headers_complete,
            self._on_body,
            self._on_message_complete,
            limits_of(self.cfg),
        )

    def _takes_hits(self) -> bool:
        """Return whether nothing else is going on here, and nothing is to end."""
        worker = self.worker
        if worker.hits is None or not worker.alive or self._closed:
            return False
        if self._finishing_calls or self._flow_control.write_paused:
            return False
        return bool(self._awaiting_request)

    def _write_hit(self, hit: Hit, now_s: float) -> None:
        head, body = hit
        if len(body) <= LARGE_PIECE_BYTES:
            self._safe_write(head + body)
        else:
            self._safe_write(head)
            self._safe_write(body)
        self.req_count += 1
        self.worker.nr += 1
        self._hit_at_s = now_s
        if self._keepalive_handle is None:
            self._arm_keepalive_timer()

    def _keepalive_timeout(self) -> None:
        """Close an idle connection, unless a hit was asked for since the timer was set."""
        loop = self.worker.loop
        left_s = self._hit_at_s + self._keepalive - loop.time()
        if self._flow_control.write_paused:  # it still takes the last answer
            left_s = self._keepalive
        if left_s > 0:
            self._keepalive_handle = loop.call_later(left_s, self._keepalive_timeout)
        else:
            super()._keepalive_timeout()

    def _on_body(self, chunk: bytes) -> None:
        self._received_bytes += len(chunk)
        super()._on_body(chunk)

    def _send_error_response(
        self, status: int, message: str, extra_headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Refuse what is no request, in JSON: `error` for npm and others, `errors` for cargo.

        An unknown transfer coding is 501 in RFC 9112, but the mistake is the client's.
        """
        status = 400 if status == 501 else status
        body = msgspec.json.encode({"error": message, "errors": [{"detail": message}]})
        headers = (
            ("Content-Type", "application/json"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *extra_headers,
        )
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers)
        self._safe_write(head.encode("latin-1") + b"\r\n" + body)


def limits_of(cfg: Any) -> Limits:
    """Return what gunicorn's settings allow a head."""
    return Limits(cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size)


def _not_acknowledged(transport: Any) -> int:
    """Return how many bytes the kernel holds that the client's has not taken yet."""
    sock = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
