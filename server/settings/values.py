"""What a single setting may be; each refusal names the setting and shows one that is right."""

from ipaddress import ip_network
from urllib.parse import urlsplit


class BadSettings(Exception):
    """A sentence about a setting that cannot be used."""


def is_plain_url(url: str) -> bool:
    """Return whether more of a path can be written behind a URL."""
    try:
        parts = urlsplit(url)
        has_host = parts.hostname is not None and parts.port != 0
    except ValueError:
        return False
    characters = url.isascii() and url.isprintable() and not set(url) & set(' "<>?#@\\^`{|}')
    return has_host and characters and parts.scheme in {"http", "https"}


def check_npm_root(npm_root: str, public_url: str) -> None:
    """Refuse an `npm_root` that is no place of its own."""
    if not npm_root:
        return
    if not is_plain_url(npm_root) or urlsplit(npm_root).path:
        raise BadSettings(
            "`npm_root` must be http:// or https://, a host, and maybe a port, without a path, not "
            f"`{npm_root}`"
        )
    if urlsplit(npm_root).netloc.lower() == urlsplit(public_url).netloc.lower():
        raise BadSettings(
            f"`npm_root` needs a host or a port of its own: at `{public_url}` are cargo and the "
            "pages; add a listener or a name"
        )


def check_network(proxy: str) -> None:
    """Refuse one of `proxies` that is no address or network."""
    try:
        ip_network(proxy, strict=False)
    except ValueError as error:
        raise BadSettings(
            f"`proxies` takes addresses and networks such as `10.0.0.0/8`, not `{proxy}`"
        ) from error


def check_log_vkey(vkey: str) -> None:
    """Refuse a `log_vkey` that is no key."""
    if not vkey:
        return
    from packledger.audit.translog.notes import BadNote, parse_verifier

    try:
        parse_verifier(vkey)
    except BadNote as error:
        raise BadSettings(f"`log_vkey` cannot be used: {error}") from error


def check_witnesses(witnesses: tuple[str, ...]) -> None:
    """Refuse `witnesses` that cannot be asked."""
    if not witnesses:
        return
    # Imported here: few registries have one.
    from packledger.audit.translog.notes import BadNote
    from packledger.audit.translog.witness import parse_witness

    try:
        for witness in witnesses:
            parse_witness(witness)
    except BadNote as error:
        raise BadSettings(f"`witnesses` cannot be used: {error}") from error
