"""What resources are given: the write side, the readers, and how to run a command off the loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import falcon.asgi

from packledger.api.access.auth import Authenticator
from packledger.api.access.hooks import Hooks
from packledger.api.http.body_budget import BodyBudget
from packledger.api.http.pools import Pool
from packledger.audit.translog.notes import VerifierKey
from packledger.commands.download_counting import DownloadCounter
from packledger.commands.registry import Registry
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NoSuchPackage
from packledger.projections.documents import Documents
from packledger.projections.model_reader import ModelReader
from packledger.projections.search.reads import Found, search

Result = TypeVar("Result")

FILTERED_HITS = 1_000
"""How many hits are looked through where an access hook hides some: later pages end there."""


@dataclass(frozen=True)
class Context:
    """Built once per web process."""

    registry: Registry
    authenticator: Authenticator
    accounts: ModelReader
    sparse_index: ModelReader
    packuments: ModelReader
    search: ModelReader
    pages: ModelReader
    log_tiles: ModelReader
    index_files: Documents
    full_packuments: Documents
    abbreviated_packuments: Documents
    npm_root: str
    """The URL of a host that is npm's alone, without a slash at the end; empty for none."""
    rooted_packuments: Documents
    rooted_abbreviated_packuments: Documents
    """Both forms with tarballs at `npm_root`."""
    downloads: DownloadCounter
    downloads_flush_s: float
    feed: str
    """From where this node reads the log: `store` or `kafka`."""
    witnesses: tuple[VerifierKey, ...]
    """Whose cosignatures of the log count."""
    log_key: VerifierKey | None
    """That the log is signed with elsewhere; None: here."""
    hooks: Hooks
    open_registration: bool
    private: bool
    commands: ThreadPoolExecutor
    """Commands run here: the event loop never waits for a disk write, a hash or an archive."""
    files: ThreadPoolExecutor
    """What may wait for the blob store runs here, so that nothing else waits when that hangs."""
    searches: Pool
    long_pages: Pool
    past: Pool
    """What is folded anew from the log."""
    bodies: BodyBudget
    uploads: asyncio.Semaphore
    """Bounds how many npm bodies are decoded at once."""
    spool_folder: str
    """Where request bodies go that are too large for memory; on the disk of the blobs."""

    async def run(self, command: Callable[[], Result]) -> Result:
        """Run a command in the pool and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self.commands, command)

    async def fetch(self, read: Callable[[], Result]) -> Result:
        """Run what reads blobs in the pool for that and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self.files, read)

    async def check_access(
        self, req: falcon.asgi.Request, ecosystem: str, name: str, asked: str = ""
    ) -> None:
        """Refuse a read that an embedding program's hook refuses.

        A package that may not be seen does not exist, and the answer is that of one that does not.
        name: as it was published; asked: as the client wrote it, if that may be another spelling.

        Raises:
            NoSuchPackage: the caller may not see the package.
        """
        if not await self.may_read(req, ecosystem, name):
            raise NoSuchPackage(asked or name)

    async def may_read(self, req: falcon.asgi.Request, ecosystem: str, name: str) -> bool:
        """Return whether a package exists as far as who asks is concerned."""
        if self.hooks.access is None:
            return True
        identity = await self.authenticator.identify(req)
        return self.hooks.may_read(identity, ecosystem, name)

    async def find(
        self, req: falcon.asgi.Request, ecosystem: str, text: str, limit: int, offset: int
    ) -> tuple[list[Found], int]:
        """Return one page of search hits that the caller may see, and how many there are."""
        identity = None if self.hooks.access is None else await self.authenticator.identify(req)
        return await self.find_as(identity, ecosystem, text, limit, offset)

    async def find_as(
        self, identity: Identity | None, ecosystem: str, text: str, limit: int, offset: int
    ) -> tuple[list[Found], int]:
        """Return one page of search hits that somebody may see, and how many there are."""
        if self.hooks.access is None:
            return await self.searches.run(
                lambda: search(self.search.db(), ecosystem, text, limit, offset)
            )
        hits, _ = await self.searches.run(
            lambda: search(self.search.db(), ecosystem, text, FILTERED_HITS, 0)
        )
        seen = [hit for hit in hits if self.hooks.may_read(identity, ecosystem, hit.name)]
        return seen[offset : offset + limit], len(seen)

    def actor(self, req: falcon.asgi.Request, identity: Identity) -> Actor:
        """Return who acts, for the events of a command."""
        return self.registry.actor(
            identity.account, identity.token, req.context.request_id, identity.admin
        )
