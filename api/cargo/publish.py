"""`cargo publish`: the upload on its way in, and the command at its end.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish
"""

import asyncio
from threading import Lock

import falcon.asgi
import msgspec

from packledger.api.access.policy import PolicySilent
from packledger.api.context import Context
from packledger.api.http.bodies import pieces, too_large
from packledger.api.http.body_budget import DISK, Held
from packledger.commands.cargo import crates
from packledger.commands.cargo.advice import Advice, advice_on, own_dependencies
from packledger.commands.cargo.upload import MAX_METADATA_BYTES, CrateUpload
from packledger.commands.registry import Registry
from packledger.domain.accounts.caller import Caller
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
        caller = await context.require(req)
        caller.known.check_may_publish()
        receiving = _Receiving(context.registry, caller)
        with context.bodies.hold(DISK) as held:
            try:
                await self._receive(req, receiving, held)
                advice = await self._publish(receiving)
            except BaseException:
                await asyncio.to_thread(receiving.discard)
                raise
        resp.media = {"warnings": msgspec.to_builtins(advice)}

    async def _publish(self, receiving: "_Receiving") -> Advice:
        """Publish, and return what cargo should print."""
        try:
            return await self._context.act(receiving.caller, lambda: self._advice(receiving))
        except PolicySilent:
            if receiving.published is None:
                raise
            # It is published: what nobody can say now is no reason to answer anything else.
            return advice_on(receiving.published, [])

    def _advice(self, receiving: "_Receiving") -> Advice:
        """Publish first; a dependency that may not be seen is not there."""
        manifest = receiving.publish()
        names = own_dependencies(manifest)
        seen, db = receiving.caller.seen(CARGO, names), self._context.sparse_index.db()
        missing = [one for one in names if name_of(db, one.lower()) != one or one not in seen]
        return advice_on(manifest, missing)

    async def _receive(self, req: Request, receiving: "_Receiving", held: Held) -> None:
        """Take in the body; its last piece is left to be taken in by who publishes."""
        limits = self._context.registry.limits
        limit_bytes = limits.crate_bytes + MAX_METADATA_BYTES + 8
        if req.content_length is not None and req.content_length > limit_bytes:
            raise too_large("the `.crate` file", limits.crate_bytes)
        async for piece in pieces(req, limit_bytes, "the upload"):
            held.add(len(piece))
            if receiving.waiting:
                await self._context.act(receiving.caller, receiving.feed, asyncio.to_thread)
            receiving.waiting = piece


class _Receiving:
    """An upload on its way in; for threads, one after the other.

    The last piece is taken in by the thread that publishes, so an ordinary crate, which is one
    piece, takes one change of threads. Whatever is run again when a policy has answered goes on
    where it was. waiting: the piece to take in next; published: what the crate says of itself.
    """

    def __init__(self, registry: Registry, caller: Caller) -> None:
        self._registry, self.caller = registry, caller
        self._blob: BlobWriter | None = None
        self._upload: CrateUpload | None = None
        self._known = False
        self._lock = Lock()
        self.waiting = b""
        self.published: CrateManifest | None = None

    def feed(self) -> None:
        """Take in a piece, and refuse what its metadata forbids before more is read.

        Raises:
            RegistryError: it says what is wrong, whatever else is to come.
        """
        with self._lock:
            upload, _ = self._take()
            if not self._known and upload.metadata is not None:
                crates.check_publish(self._registry, self.caller, upload.metadata)
                self._known = True

    def _take(self) -> tuple[CrateUpload, BlobWriter]:
        if self._blob is None or self._upload is None:
            self._blob = self._registry.blobs.writer()
            self._upload = CrateUpload(self._blob, self._registry.limits.crate_bytes)
        piece, self.waiting = self.waiting, b""
        if piece:
            self._upload.feed(piece)
        return self._upload, self._blob

    def publish(self) -> CrateManifest:
        """Take in the last piece, publish, and return what the crate says of itself."""
        with self._lock:
            if self.published is None:
                upload, blob = self._take()
                upload.finish()
                self.published = crates.publish(self._registry, self.caller, upload, blob)
                blob.discard()
        return self.published

    def discard(self) -> None:
        """Forget what was not published."""
        # A request that was cancelled may have left a thread that still reads it.
        with self._lock:
            if self._blob is not None:
                self._blob.discard()
