"""What npm, pnpm, yarn and bun change: publish, deprecate, unpublish, dist-tags, owners, stars."""

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
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.permissions import Identity
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import Invalid, NotFound
from packledger.domain.npm.names import version_of_tarball

Request = falcon.asgi.Request
Response = falcon.asgi.Response


class NpmWrites:
    """Parses a change, hands it to a command, answers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def _who(self, req: Request) -> tuple[Identity, Actor]:
        identity = await self._context.authenticator.require(req)
        return identity, self._context.actor(req, identity)

    async def put(self, req: Request, resp: Response, name: str, rev: str | None) -> None:
        """Publish a version, or apply a packument that was sent back with changes."""
        context = self._context
        identity, actor = await self._who(req)
        identity.check_may_write()
        limit_bytes = await self._limit_bytes(req, identity, actor, name)
        async with (
            spooled(req, limit_bytes, "the request body", context.spool_folder) as buffer,
            context.uploads,
        ):
            said = await context.run(lambda: self._put(identity, actor, name, rev, buffer))
        resp.status = 201
        resp.media = {"ok": said, "success": True}

    async def _limit_bytes(self, req: Request, identity: Identity, actor: Actor, name: str) -> int:
        """Return how much this caller may send: a tarball only who may publish this package.

        Raises:
            NotAllowed: he sends what can only be a tarball.
        """
        context, length = self._context, req.content_length
        limit_bytes = context.registry.limits.npm_body_bytes
        if length is not None and length <= IN_MEMORY_BYTES:
            return limit_bytes
        refusal = await context.run(
            lambda: npm.refusal_of_publish(context.registry, identity, actor, name)
        )
        if refusal is None:
            return limit_bytes
        limit_bytes = min(limit_bytes, MAX_DOCUMENT_BYTES)
        if length is not None and length > limit_bytes:
            raise refusal
        return limit_bytes

    def _put(
        self, identity: Identity, actor: Actor, name: str, rev: str | None, buffer: bytes | mmap
    ) -> str:
        registry = self._context.registry
        body = scan_body(buffer)
        check_access_wish(body.access, name, private=self._context.private)
        if not body.attachments:
            npm_edits.edit(registry, identity, actor, name, body, rev)
            return "package changed"
        if rev is not None:
            raise Invalid(
                f"a change of `{name}` at a revision cannot bring a tarball; publish without one"
            )
        is_new = npm.publish(registry, identity, actor, name, body, buffer)
        return "created new package" if is_new else "version published"

    async def unpublish(self, req: Request, resp: Response, name: str, rev: str) -> None:
        """Remove a whole package."""
        identity, actor = await self._who(req)
        await self._context.run(
            lambda: npm_edits.unpublish(self._context.registry, identity, actor, name, rev)
        )
        resp.media = {"ok": "package removed"}

    async def remove_tarball(self, req: Request, resp: Response, name: str, filename: str) -> None:
        """Confirm that a version's tarball is gone: the second step of unpublishing a version."""
        identity, actor = await self._who(req)
        version = version_of_tarball(name, filename)
        if version is None:
            raise NotFound(f"`{name}` has no tarball `{filename}`")
        await self._context.run(
            lambda: npm_edits.check_tarball_gone(
                self._context.registry, identity, actor, name, version
            )
        )
        resp.media = {"ok": "tarball removed"}

    async def set_tag(self, req: Request, resp: Response, name: str, tag: str) -> None:
        """Point a dist-tag to the version in the body, a JSON string."""
        identity, actor = await self._who(req)
        identity.check_may("dist-tags", NPM, name)
        version = _version(await read_small(req, "the version"))
        await self._context.run(
            lambda: npm_edits.set_tag(self._context.registry, identity, actor, name, tag, version)
        )
        resp.status = 201
        resp.media = {"ok": "dist-tag set"}

    async def remove_tag(self, req: Request, resp: Response, name: str, tag: str) -> None:
        """Remove a dist-tag."""
        identity, actor = await self._who(req)
        await self._context.run(
            lambda: npm_edits.remove_tag(self._context.registry, identity, actor, name, tag)
        )
        resp.media = {"ok": "dist-tag removed"}


def _version(body: bytes) -> str:
    try:
        version: Any = msgspec.json.decode(body, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid('the body must be the version as a JSON string, as in `"1.0.0"`') from error
    return str(version)
