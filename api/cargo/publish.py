"""`cargo publish`: the upload on its way in, and the command at its end.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish
"""

import asyncio

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.http.bodies import pieces, too_large
from packledger.api.http.body_budget import DISK, Held
from packledger.commands.cargo import crates
from packledger.commands.cargo.advice import Advice, advice_on, own_dependencies
from packledger.commands.cargo.upload import MAX_METADATA_BYTES, CrateUpload
from packledger.commands.registry import Registry
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.permissions import Identity
from packledger.domain.cargo.manifest import CrateManifest
from packledger.domain.ecosystems import CARGO
from packledger.eventstore.blobs.store import BlobWriter
from packledger.projections.sparse_index.fold import name_of

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
        identity.check_may_publish()
        receiving = _Receiving(context.registry, identity, context.actor(req, identity))
        with context.bodies.hold(DISK) as held:
            try:
                last = await self._receive(req, receiving, held)
            except BaseException:
                await asyncio.to_thread(receiving.discard)
                raise
            advice = await context.run(lambda: self._advice(identity, receiving.publish(last)))
        resp.media = {"warnings": msgspec.to_builtins(advice)}

    def _advice(self, identity: Identity, manifest: CrateManifest) -> Advice:
        """Return what cargo should print; a crate that may not be seen is not there."""
        context = self._context
        db = context.sparse_index.db()
        missing = [
            name
            for name in own_dependencies(manifest)
            if name_of(db, name.lower()) != name
            or not context.hooks.may_read(identity, CARGO, name)
        ]
        return advice_on(manifest, missing)

    async def _receive(self, req: Request, receiving: "_Receiving", held: Held) -> bytes:
        """Take in the body up to its last piece, and return that."""
        limits = self._context.registry.limits
        limit_bytes = limits.crate_bytes + MAX_METADATA_BYTES + 8
        if req.content_length is not None and req.content_length > limit_bytes:
            raise too_large("the `.crate` file", limits.crate_bytes)
        last = b""
        async for piece in pieces(req, limit_bytes, "the upload"):
            held.add(len(piece))
            if last:
                await asyncio.to_thread(receiving.feed, last)
            last = piece
        return last


class _Receiving:
    """An upload on its way in; for threads, one after the other.

    The last piece is taken in by the thread that publishes, so an ordinary crate, which is one
    piece, takes one change of threads.
    """

    def __init__(self, registry: Registry, identity: Identity, actor: Actor) -> None:
        self._registry, self._identity, self._actor = registry, identity, actor
        self._blob: BlobWriter | None = None
        self._upload: CrateUpload | None = None
        self._known = False

    def feed(self, piece: bytes) -> None:
        """Take in a piece, and refuse what its metadata forbids before more is read.

        Raises:
            RegistryError: it says what is wrong, whatever else is to come.
        """
        upload, _ = self._take(piece)
        if not self._known and upload.metadata is not None:
            crates.check_publish(self._registry, self._identity, self._actor, upload.metadata)
            self._known = True

    def _take(self, piece: bytes) -> tuple[CrateUpload, BlobWriter]:
        if self._blob is None or self._upload is None:
            self._blob = self._registry.blobs.writer()
            self._upload = CrateUpload(self._blob, self._registry.limits.crate_bytes)
        self._upload.feed(piece)
        return self._upload, self._blob

    def publish(self, last: bytes) -> CrateManifest:
        """Take in the last piece, publish, and return what the crate says of itself."""
        try:
            upload, blob = self._take(last)
            upload.finish()
            return crates.publish(self._registry, self._identity, self._actor, upload, blob)
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget what was not published."""
        if self._blob is not None:
            self._blob.discard()
