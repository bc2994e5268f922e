"""Where the node listens, and how it treats who connects."""

from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from packledger.domain.section import Section, setting
from packledger.server.settings.values import BadSettings

DEFAULT_LISTEN = "http://127.0.0.1:8765"


class Http(Section, frozen=True):
    """Where the node listens, and how it treats who connects."""

    listen: Annotated[
        tuple[str, ...],
        setting(
            "Where to listen, `http://HOST:PORT`, one or several; separated by commas in the "
            "environment. TLS is for the proxy in front.",
            flat="listen",
        ),
    ] = (DEFAULT_LISTEN,)
    npm_root: Annotated[
        str,
        setting(
            "The URL of a host, or of a listener, that is npm's alone, such as "
            "`https://npm.example.com`: npm is at its root, as well as below `/npm/` of "
            "`public_url`, for lock files that name a registry without a path. A proxy must pass "
            "`Host` on. Empty: none.",
            flat="npm_root",
        ),
    ] = ""
    workers: Annotated[
        int,
        setting("Web worker processes: one for each core.", ge=1, le=64, flat="workers"),
    ] = 2
    proxies: Annotated[
        tuple[str, ...],
        setting(
            "Addresses or networks of the proxies in front, whose `X-Forwarded-For` says where a "
            "client is, for the limit of wrong passwords; separated by commas in the environment.",
            flat="proxies",
        ),
    ] = ("127.0.0.0/8", "::1")
    client_timeout_s: Annotated[
        float,
        setting(
            "How long a client may do nothing while it is its turn: send a request, go on with a "
            "body, take an answer, in seconds. Bodies and answers must make 1 KiB a second.",
            ge=1,
            flat="client_timeout_s",
        ),
    ] = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be listened on, and what is no proxy."""
        if not self.listen:
            raise BadSettings(f"`listen` needs at least one URL such as `{DEFAULT_LISTEN}`")
        for listener in self.listen:
            address(listener)
        for proxy in self.proxies:
            _check_network(proxy)


def address(listen: str) -> tuple[str, int]:
    """Return the host and port of a `listen` value; port 0 lets the system choose.

    Raises:
        BadSettings: it is not `http://HOST:PORT`.
    """
    try:
        parts = urlsplit(listen)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.scheme != "http" or parts.path not in {"", "/"}:
        raise BadSettings(f"`listen` must look like `{DEFAULT_LISTEN}`, not `{listen}`")
    return host, port


def _check_network(proxy: str) -> None:
    try:
        ip_network(proxy, strict=False)
    except ValueError as error:
        raise BadSettings(
            f"`proxies` takes addresses and networks such as `10.0.0.0/8`, not `{proxy}`"
        ) from error
