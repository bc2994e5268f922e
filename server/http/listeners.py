"""The sockets that clients connect to: opened before any fork, so a worker that ends loses none."""

import socket

import msgspec

from packledger.domain.errors import Unavailable
from packledger.server.http.settings import address
from packledger.server.settings.settings import Settings

BACKLOG = 1024


def listen_on(settings: Settings) -> list[socket.socket]:
    """Open every listener of the settings.

    Raises:
        Unavailable: a port is in use, or an address is not of this machine.
    """
    return [_listen(one) for one in settings.http.listen]


def _listen(one: str) -> socket.socket:
    host, port = address(one)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {one}: {error.strerror}; choose another with --listen"
        ) from error
    listener.listen(BACKLOG)
    return listener


def close_listeners(sockets: list[socket.socket]) -> None:
    """Close our copies: as long as one is open, the kernel accepts clients that nobody answers."""
    for listener in sockets:
        listener.close()


def with_real_ports(settings: Settings, sockets: list[socket.socket]) -> Settings:
    """Replace port 0 by the one that the system chose, in what we print and publish."""
    first = settings.http.listen[0].rstrip("/")
    if not first.endswith(":0"):
        return settings
    real = f"{first[:-2]}:{sockets[0].getsockname()[1]}"
    public_url = real if settings.public_url == first else settings.public_url
    return msgspec.structs.replace(
        settings,
        http=msgspec.structs.replace(settings.http, listen=(real,)),
        public_url=public_url,
    )
