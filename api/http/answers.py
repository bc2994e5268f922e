"""How documents leave: ETag and 304, gzip when asked for."""

import asyncio
from collections.abc import Callable

import falcon.asgi
import msgspec

from packledger.projections.documents import Document

REVALIDATE = "no-cache"
FOREVER = "public, max-age=31536000, immutable"
"""For tarballs: a version never gets other bytes."""
PRIVATE = "private, no-store"
"""For answers about the caller: npm's cache key is the URL, not the credential."""


def answer_document(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, document: Document, vary: str
) -> None:
    """Answer with a document, compressed if the client can, or 304 if it has it already."""
    resp.set_headers({"etag": document.etag, "cache-control": REVALIDATE, "vary": vary})
    wanted = req.get_header("if-none-match")
    if wanted is not None and has_etag(wanted, document.etag):
        resp.status = 304
        return
    if accepts_gzip(req.get_header("accept-encoding") or ""):
        resp.set_header("content-encoding", "gzip")
        resp.data = document.gzip
    else:
        resp.data = document.body


async def answer_json(resp: falcon.asgi.Response, make: Callable[[], object]) -> None:
    """Answer with JSON that may be long: made and written in a thread."""
    resp.content_type = "application/json"
    resp.data = await asyncio.to_thread(lambda: msgspec.json.encode(make()))


def has_etag(if_none_match: str, etag: str) -> bool:
    """Return whether `If-None-Match` holds the ETag, compared weakly.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
    """
    return is_among(etag, etags_in(if_none_match))


def etags_in(if_none_match: str) -> frozenset[str]:
    """Return the ETags of `If-None-Match`, with and without `W/`; `*` if it is that alone."""
    if if_none_match == "*":
        return frozenset("*")
    opaque = {one.strip().removeprefix("W/") for one in if_none_match.split(",")} - {"*", ""}
    return frozenset(opaque | {f"W/{one}" for one in opaque})


def is_among(etag: str, etags: frozenset[str]) -> bool:
    """Return whether an ETag is one of those in `If-None-Match`, compared weakly."""
    return etag in etags or "*" in etags


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether gzip is acceptable: named, or by `*`, and not with `q=0`."""
    best: bool | None = None
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        name = name.strip()
        if name in ("gzip", "x-gzip", "*") and (name != "*" or best is None):
            best = parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return bool(best)
