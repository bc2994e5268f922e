"""What resources are given: the write side, the readers, and how to run a command off the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import falcon.asgi

from packledger.api.access.auth import Authenticator
from packledger.api.access.policy import Policies
from packledger.api.http.body_budget import BodyBudget
from packledger.api.http.pools import Pool
from packledger.audit.translog.notes import VerifierKey
from packledger.commands.download_counting import DownloadCounter
from packledger.commands.registry import Registry
from packledger.domain.accounts.actions import Action, Package
from packledger.domain.accounts.caller import Caller, Unasked
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NoSuchPackage, Unavailable
from packledger.projections.documents import Documents
from packledger.projections.model_reader import ModelReader
from packledger.projections.search.reads import Found, search

Result = TypeVar("Result")
Run = Callable[[Callable[[], Any]], Awaitable[Any]]
MOST_TURNS = 8
"""Of a command: one for each thing it finds out that a policy must be asked about."""

FILTERED_HITS = 1_000
"""How many hits are looked through where a policy hides some: later pages end there."""


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
    reactions: tuple[str, ...]
    """The names of those that run beside it."""
    policies: Policies
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

    async def act(
        self,
        caller: Caller,
        command: Callable[[], Result],
        run: Run | None = None,
    ) -> Result:
        """Run what asks its caller, and again when a policy has said what it had to know.

        run: where, the pool of commands if nothing is said. No thread waits for a policy.

        Raises:
            PolicySilent: a policy failed, or did not answer in time.
        """
        for _ in range(MOST_TURNS):
            try:
                result: Result = await (run or self.run)(command)
            except Unasked as unasked:
                await self.policies.answer(caller, unasked.questions)
            else:
                return result
        raise Unavailable("the names of this package change too quickly; try again")

    async def check_may(self, caller: Caller, action: Action, ecosystem: str, name: str) -> None:
        """Refuse what the caller may not do, where no command would.

        Raises:
            NotAllowed: the credential or a policy says no.
        """

        async def at_once(check: Callable[[], None]) -> None:
            check()

        await self.act(caller, lambda: caller.check_may(action, ecosystem, name), at_once)

    async def caller(self, req: falcon.asgi.Request) -> Caller:
        """Return who asks, by the `Authorization` header: made once for each request.

        Raises:
            NotAuthenticated, NotAllowed: as `Authenticator.identify`.
        """
        if not hasattr(req.context, "caller"):
            req.context.caller = self.caller_as(req, await self.authenticator.identify(req))
        caller: Caller = req.context.caller
        return caller

    async def require(self, req: falcon.asgi.Request) -> Caller:
        """Return who asks.

        Raises:
            NotAuthenticated: nobody, or a credential that is not accepted.
        """
        await self.authenticator.require(req)
        return await self.caller(req)

    def caller_as(self, req: falcon.asgi.Request, identity: Identity | None) -> Caller:
        """Return the caller that something else than the header proves: a session, a password."""
        return self.registry.caller(
            identity,
            req.context.request_id,
            self.authenticator.whole_address(req),
            self.policies.verdicts(),
        )

    async def check_access(
        self, req: falcon.asgi.Request, ecosystem: str, name: str, asked: str = ""
    ) -> None:
        """Refuse a read that a policy refuses.

        A package that may not be seen does not exist, and the answer is that of one that does not.
        name: as it was published; asked: as the client wrote it, if that may be another spelling.

        Raises:
            NoSuchPackage: the caller may not see the package.
        """
        if not await self.may_read(req, ecosystem, name):
            raise NoSuchPackage(asked or name)

    async def may_read(self, req: falcon.asgi.Request, ecosystem: str, name: str) -> bool:
        """Return whether a package exists as far as who asks is concerned."""
        if not self.policies.hides:
            return True
        one = Package(ecosystem, name)
        return one in await self.policies.seen(await self.caller(req), [one])

    async def find(
        self, req: falcon.asgi.Request, ecosystem: str, text: str, limit: int, offset: int
    ) -> tuple[list[Found], int]:
        """Return one page of search hits that the caller may see, and how many there are."""
        caller = await self.caller(req) if self.policies.hides else None
        return await self.find_as(caller, ecosystem, text, limit, offset)

    async def find_as(
        self, caller: Caller | None, ecosystem: str, text: str, limit: int, offset: int
    ) -> tuple[list[Found], int]:
        """Return one page of search hits that somebody may see, and how many there are."""
        if caller is None or not self.policies.hides:
            return await self.searches.run(
                lambda: search(self.search.db(), ecosystem, text, limit, offset)
            )
        hits, _ = await self.searches.run(
            lambda: search(self.search.db(), ecosystem, text, FILTERED_HITS, 0)
        )
        found = await self.policies.seen(caller, [Package(ecosystem, hit.name) for hit in hits])
        seen = [hit for hit in hits if (ecosystem, hit.name) in found]
        return seen[offset : offset + limit], len(seen)
