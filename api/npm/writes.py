"""What npm, pnpm, yarn and bun change: publish, deprecate, unpublish, dist-tags, owners, stars."""

from collections.abc import Callable
from mmap import mmap
from typing import Any

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.http.bodies import IN_MEMORY_BYTES, read_small, spooled
from packledger.api.npm.access import check_access_wish
from packledger.commands.npm import edits as npm_edits
from packledger.commands.npm import packages as npm
from packledger.commands.npm.body import MAX_DOCUMENT_BYTES, scan_body
from packledger.domain.accounts.actions import Action
from packledger.domain.accounts.caller import Caller
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import Invalid, NotFound
from packledger.domain.npm.names import version_of_tarball

Request = falcon.asgi.Request
Response = falcon.asgi.Response


class NpmWrites:
    """Parses a change, hands it to a command, answers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def put(self, req: Request, resp: Response, name: str, rev: str | None) -> None:
        """Publish a version, or apply a packument that was sent back with changes."""
        context = self._context
        caller = await self._context.require(req)
        caller.known.check_may_write()
        limit_bytes = await self._limit_bytes(req, caller, name)
        async with spooled(req, limit_bytes, "the request body", context.spool_folder) as buffer:
            said = await context.act(
                caller, lambda: self._put(caller, name, rev, buffer), self._decode
            )
        resp.status = 201
        resp.media = {"ok": said, "success": True}

    async def _decode(self, command: Callable[[], str]) -> str:
        """Run what decodes a body: a few at once, and none of them waits for a policy."""
        async with self._context.uploads:
            return await self._context.run(command)

    async def _limit_bytes(self, req: Request, caller: Caller, name: str) -> int:
        """Return how much this caller may send: a tarball only who may publish this package.

        Raises:
            NotAllowed: he sends what can only be a tarball.
        """
        context, length = self._context, req.content_length
        limit_bytes = context.registry.limits.npm_body_bytes
        if length is not None and length <= IN_MEMORY_BYTES:
            return limit_bytes
        refusal = await context.act(
            caller, lambda: npm.refusal_of_publish(context.registry, caller, name)
        )
        if refusal is None:
            return limit_bytes
        limit_bytes = min(limit_bytes, MAX_DOCUMENT_BYTES)
        if length is not None and length > limit_bytes:
            raise refusal
        return limit_bytes

    def _put(self, caller: Caller, name: str, rev: str | None, buffer: bytes | mmap) -> str:
        registry = self._context.registry
        body = scan_body(buffer)
        check_access_wish(body.access, name, private=self._context.private)
        if not body.attachments:
            npm_edits.edit(registry, caller, name, body, rev)
            return "package changed"
        if rev is not None:
            raise Invalid(
                f"a change of `{name}` at a revision cannot bring a tarball; publish without one"
            )
        is_new = npm.publish(registry, caller, name, body, buffer)
        return "created new package" if is_new else "version published"

    async def unpublish(self, req: Request, resp: Response, name: str, rev: str) -> None:
        """Remove a whole package."""
        caller = await self._context.require(req)
        await self._context.act(
            caller, lambda: npm_edits.unpublish(self._context.registry, caller, name, rev)
        )
        resp.media = {"ok": "package removed"}

    async def remove_tarball(self, req: Request, resp: Response, name: str, filename: str) -> None:
        """Confirm that a version's tarball is gone: the second step of unpublishing a version."""
        caller = await self._context.require(req)
        version = version_of_tarball(name, filename)
        if version is None:
            raise NotFound(f"`{name}` has no tarball `{filename}`")
        await self._context.act(
            caller,
            lambda: npm_edits.check_tarball_gone(self._context.registry, caller, name, version),
        )
        resp.media = {"ok": "tarball removed"}

    async def set_tag(self, req: Request, resp: Response, name: str, tag: str) -> None:
        """Point a dist-tag to the version in the body, a JSON string."""
        caller = await self._context.require(req)
        await self._context.check_may(caller, Action.DIST_TAGS, NPM, name)
        version = _version(await read_small(req, "the version"))
        await self._context.act(
            caller, lambda: npm_edits.set_tag(self._context.registry, caller, name, tag, version)
        )
        resp.status = 201
        resp.media = {"ok": "dist-tag set"}

    async def remove_tag(self, req: Request, resp: Response, name: str, tag: str) -> None:
        """Remove a dist-tag."""
        caller = await self._context.require(req)
        await self._context.act(
            caller, lambda: npm_edits.remove_tag(self._context.registry, caller, name, tag)
        )
        resp.media = {"ok": "dist-tag removed"}


def _version(body: bytes) -> str:
    try:
        version: Any = msgspec.json.decode(body, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid('the body must be the version as a JSON string, as in `"1.0.0"`') from error
    return str(version)
