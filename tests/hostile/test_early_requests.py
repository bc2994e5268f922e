"""A large request that arrives while the one before it is still being answered."""

import os
import re
import socket
import threading

import msgspec

from running_registry import RunningRegistry
from uploads import npm_body, tarball

SIZE_BYTES = 9_000_000


def test_a_large_upload_behind_another_request_is_not_dropped(registry: RunningRegistry) -> None:
    manifest = {"name": "early", "version": "1.0.0"}
    packed = tarball(manifest, **{"noise.bin": os.urandom(SIZE_BYTES)})
    body = msgspec.json.encode(npm_body(manifest, packed))
    head = (
        f"PUT /npm/early HTTP/1.1\r\nHost: x\r\nAuthorization: {registry.tokens['alice']}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    first = b"GET /npm/nothing-here HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", registry.port), timeout=60) as client:
        sending = threading.Thread(target=client.sendall, args=(first + head.encode() + body,))
        sending.start()
        said = b""
        while piece := client.recv(65536):
            said += piece
        sending.join()
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"404", b"201"]
