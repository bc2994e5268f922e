"""Many clients that send bodies and do not finish them hold little memory together."""

import contextlib
import random
import zlib

import pytest

from process_tree import wait_until
from raw_http import connection, read_answer, request, send
from target import Target

CONNECTIONS = 100
HELD_BYTES = 90 * 1024 * 1024
"""The budgets of audits and of other bodies together, and what 100 connections cost."""


def packed_audit() -> bytes:
    """4 MiB of JSON in 1/40 of its size: few enough times not to be refused for that."""
    some = random.Random(0)
    names = (f'"{some.getrandbits(16)}{"a" * 150}":["1.0.0"]' for _ in range(23_000))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(f"{{{','.join(names)}}}".encode()) + packer.flush()


AUDIT = b"/npm/-/npm/v1/security/advisories/bulk"
LOGIN = b"/npm/-/user/org.couchdb.user:nobody"


@pytest.mark.parametrize(
    ("method", "path", "encoding", "body"),
    [
        ("POST", AUDIT, b"gzip", packed_audit()),
        ("POST", AUDIT, b"gzip", zlib.compress(bytes(4_000_000), 9, 31)),
        ("POST", AUDIT, b"identity", b"{" + b" " * 1_000_000),
        ("PUT", LOGIN, b"identity", b"{" + b" " * 60_000),
        ("PUT", LOGIN, b"gzip", zlib.compress(bytes(60_000), 9, 31)),
    ],
    ids=["packed audits", "bombs", "plain audits", "logins", "packed logins"],
)
def test_bodies_that_do_not_end_hold_little(
    target: Target, method: str, path: bytes, encoding: bytes, body: bytes
) -> None:
    before_bytes = target.memory_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            peer = stack.enter_context(connection(target.port))
            head = [(b"Content-Encoding", encoding), (b"Content-Length", b"%d" % (len(body) + 1))]
            send(peer, request(method, path, head) + body)
        # What was sent before is read before this is answered.
        assert target.ask(request("GET", b"/health", []))
        assert target.memory_bytes() - before_bytes < HELD_BYTES
    whole = b'{"a": ["1.0.0"]}'

    def answered() -> bool:
        with connection(target.port) as peer:
            send(peer, request("POST", AUDIT, [], whole))
            answer = read_answer(peer)
            return answer is not None and answer.status == 200

    wait_until(answered, "the budget is free again", 30)
