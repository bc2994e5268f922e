"""`cargo publish`: the upload on its way in, and the command at its end.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish
"""

import asyncio

import falcon.asgi

from packledger.api.bodies import pieces, too_large
from packledger.api.context import Context
from packledger.commands import crates
from packledger.commands.crate_upload import MAX_METADATA_BYTES, CrateUpload
from packledger.commands.registry import Registry
from packledger.domain.actor import Actor
from packledger.domain.permissions import Identity
from packledger.eventstore.blobs import BlobWriter

Request = falcon.asgi.Request
Response = falcon.asgi.Response


class Publish:
    """`PUT /crates/new`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_put(self, req: Request, resp: Response) -> None:
        """Publish a crate, within the 30 s that cargo waits: nothing heavy follows the append."""
        context = self._context
        identity = await context.authenticator.require(req)
        actor = context.actor(req, identity)
        receiving = _Receiving(context.registry)
        try:
            last = await self._receive(req, receiving)
        except BaseException:
            await asyncio.to_thread(receiving.discard)
            raise
        await context.run(lambda: receiving.publish(last, identity, actor))
        resp.media = {"warnings": {"invalid_categories": [], "invalid_badges": [], "other": []}}

    async def _receive(self, req: Request, receiving: "_Receiving") -> bytes:
        """Take in the body up to its last piece, and return that."""
        limits = self._context.registry.limits
        limit_bytes = limits.crate_bytes + MAX_METADATA_BYTES + 8
        if req.content_length is not None and req.content_length > limit_bytes:
            raise too_large("the `.crate` file", limits.crate_bytes)
        last = b""
        async for piece in pieces(req, limit_bytes, "the upload"):
            if last:
                await asyncio.to_thread(receiving.feed, last)
            last = piece
        return last


class _Receiving:
    """An upload on its way in; for threads, one after the other.

    The last piece is taken in by the thread that publishes, so an ordinary crate, which is one
    piece, takes one change of threads.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._blob: BlobWriter | None = None
        self._upload: CrateUpload | None = None

    def feed(self, piece: bytes) -> tuple[CrateUpload, BlobWriter]:
        """Take in a piece."""
        if self._blob is None or self._upload is None:
            self._blob = self._registry.blobs.writer()
            self._upload = CrateUpload(self._blob, self._registry.limits.crate_bytes)
        self._upload.feed(piece)
        return self._upload, self._blob

    def publish(self, last: bytes, identity: Identity, actor: Actor) -> None:
        """Take in the last piece and publish."""
        try:
            upload, blob = self.feed(last)
            upload.finish()
            crates.publish(self._registry, identity, actor, upload, blob)
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget what was not published."""
        if self._blob is not None:
            self._blob.discard()
