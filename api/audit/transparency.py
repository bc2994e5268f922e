"""The transparency log for auditors: checkpoint, tiles, entries, key, and receipts.

Source: https://c2sp.org/tlog-tiles and https://c2sp.org/tlog-proof
"""

import asyncio
import gzip
import re

import falcon
import falcon.asgi

from packledger.api.context import Context
from packledger.api.http.answers import FOREVER, REVALIDATE, accepts_gzip
from packledger.api.http.bodies import pieces
from packledger.api.http.routing import Mounts
from packledger.audit.translog.accepting import accept
from packledger.audit.translog.notes import NOTE_LIMIT_BYTES
from packledger.audit.translog.proofs import Tree
from packledger.audit.translog.published import PublishedLog
from packledger.audit.translog.signer import OwnTiles
from packledger.audit.translog.tile_paths import parse_level, parse_tile_path
from packledger.domain.errors import NotAllowed, NotFound
from packledger.projections.log_tiles.fold import bundle_of, tile_of

GZIP_LEVEL = 6
"""A full bundle takes 3 ms and becomes a third."""
TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
_POSITION = re.compile(r"[1-9][0-9]{0,17}")

Request = falcon.asgi.Request
Response = falcon.asgi.Response


class LogCheckpoint:
    """`/log/checkpoint` and `/log/vkey`: small, and never older than a second or two."""

    def __init__(self, log: PublishedLog) -> None:
        self._log = log

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the signed checkpoint."""
        resp.data = (await asyncio.to_thread(self._log.checkpoint)).note.encode()
        resp.content_type = TEXT
        resp.set_header("cache-control", REVALIDATE)

    async def on_get_vkey(self, req: Request, resp: Response) -> None:
        """Answer the verifier key; whoever has it from elsewhere need not trust this."""
        resp.data = (await asyncio.to_thread(self._log.newest)).vkey.encode() + b"\n"
        resp.content_type = TEXT
        resp.set_header("cache-control", REVALIDATE)


class SignedElsewhere:
    """`PUT /log/checkpoint`: a checkpoint from the machine that has the key.

    Its signature is the credential: nobody else can make one, and nothing else is looked at.
    """

    def __init__(self, context: Context, log: PublishedLog) -> None:
        self._context, self._log = context, log

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the signed checkpoint."""
        await LogCheckpoint(self._log).on_get(req, resp)

    async def on_put(self, req: Request, resp: Response) -> None:
        """Serve another checkpoint from now on."""
        if self._context.log_key is None:
            raise NotAllowed("this registry signs its log itself; `log_vkey` is not set")
        keys = (self._context.log_key, *self._context.witnesses)
        note = b""
        async for piece in pieces(req, NOTE_LIMIT_BYTES, "the checkpoint"):
            note += piece
        tiles = OwnTiles(self._log.tiles)
        checkpoints = self._context.registry.checkpoints
        await self._context.run(
            lambda: accept(checkpoints, keys, note, tiles.size, Tree(tiles.tile))
        )
        resp.status = 204
        resp.set_header("cache-control", "no-store")


class Tiles:
    """`/log/tile/…`: what is there never changes, so it may be kept for ever."""

    def __init__(self, log: PublishedLog) -> None:
        self._log = log

    async def on_get(self, req: Request, resp: Response, level: str, path: str) -> None:
        """Answer a tile of hashes, whole or its first W."""
        number, place = parse_level(level), parse_tile_path(path)
        if number is None or place is None:
            raise _no_tile(req)
        body = await asyncio.to_thread(lambda: tile_of(self._log.tiles(), number, *place))
        self._answer(req, resp, body)

    async def on_get_entries(self, req: Request, resp: Response, path: str) -> None:
        """Answer a bundle of entries, whole or its first W."""
        place = parse_tile_path(path)
        if place is None:
            raise _no_tile(req)
        packed = accepts_gzip(req.get_header("accept-encoding") or "")

        def read() -> bytes | None:
            bundle = bundle_of(self._log.tiles(), *place)
            return gzip.compress(bundle, GZIP_LEVEL, mtime=0) if bundle and packed else bundle

        self._answer(req, resp, await asyncio.to_thread(read))
        resp.set_header("vary", "accept-encoding")
        if packed:
            resp.set_header("content-encoding", "gzip")

    @staticmethod
    def _answer(req: Request, resp: Response, body: bytes | None) -> None:
        if body is None:
            raise _no_tile(req)
        resp.data = body
        resp.content_type = BYTES
        resp.set_header("cache-control", FOREVER)


class Receipts:
    """`/audit/receipt/{position}`: a proof that the event is in the log."""

    def __init__(self, context: Context, log: PublishedLog) -> None:
        self._context, self._log = context, log

    async def on_get(self, req: Request, resp: Response, position: str) -> None:
        """Answer the receipt; with the stored state where the event is about a package.

        Without it where the caller may not see that package: as for any event of no package. The
        entry itself names none, and everybody may read it in the log.
        """
        if not _POSITION.fullmatch(position):
            raise NotFound(
                f"`{position[:100]}` is no position in the log; it is a number from 1 on"
            )
        at = int(position)
        ecosystem, name = await asyncio.to_thread(self._log.subject, at)
        told = bool(name) and await self._context.may_read(req, ecosystem, name)
        resp.data = await asyncio.to_thread(lambda: self._log.receipt(at, with_state=told))
        resp.content_type = TEXT
        resp.set_header("cache-control", REVALIDATE)


def _no_tile(req: Request) -> NotFound:
    return NotFound(f"the log has nothing at `{req.path[:200]}`")


def add_routes(app: Mounts, context: Context) -> None:
    """Add the log's routes."""
    registry = context.registry
    log = PublishedLog(registry.checkpoints, context.log_tiles.db, registry.log)
    app.add_route("/log/checkpoint", SignedElsewhere(context, log))
    app.add_route("/log/vkey", LogCheckpoint(log), suffix="vkey")
    app.add_route("/log/tile/entries/{path:path}", Tiles(log), suffix="entries")
    app.add_route("/log/tile/{level}/{path:path}", Tiles(log))
    app.add_route("/audit/receipt/{position}", Receipts(context, log))
