"""What resources are given: the write side, the readers, and how to run a command off the loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import falcon.asgi

from packledger.api.auth import Authenticator
from packledger.commands.registry import Registry
from packledger.domain.actor import Actor
from packledger.domain.permissions import Identity
from packledger.projections.documents import Documents
from packledger.projections.model_reader import ModelReader

Result = TypeVar("Result")


@dataclass(frozen=True)
class Context:
    """Built once per web process."""

    registry: Registry
    authenticator: Authenticator
    accounts: ModelReader
    sparse_index: ModelReader
    packuments: ModelReader
    search: ModelReader
    index_files: Documents
    full_packuments: Documents
    abbreviated_packuments: Documents
    open_registration: bool
    private: bool
    commands: ThreadPoolExecutor
    """Commands run here: the event loop never waits for a disk write, a hash or an archive."""
    uploads: asyncio.Semaphore
    """Bounds how many npm bodies are decoded at once."""
    spool_folder: str
    """Where request bodies go that are too large for memory; on the disk of the blobs."""

    async def run(self, command: Callable[[], Result]) -> Result:
        """Run a command in the pool and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self.commands, command)

    def actor(self, req: falcon.asgi.Request, identity: Identity) -> Actor:
        """Return who acts, for the events of a command."""
        return self.registry.actor(
            identity.account, identity.token, req.context.request_id, identity.admin
        )
