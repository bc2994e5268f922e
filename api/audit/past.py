"""Opens packages as they were, in threads, for the resources below `/as-of`."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from packledger.api.context import Context
from packledger.audit.past.packages import Moments, PastCrate, PastPackage
from packledger.projections.documents import Document, render
from packledger.projections.log_tiles.fold import last_not_later

Result = TypeVar("Result")
View = TypeVar("View", PastCrate, PastPackage)
ONCE = 1
"""gzip's quickest level, for what is made for one answer."""


class Past:
    """Opens packages as they were."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._moments = Moments(
            context.registry.log,
            context.registry.now,
            lambda at: last_not_later(context.log_tiles.db(), at),
        )

    def base_url(self, moment: str) -> str:
        """Return what every URL of a view begins with."""
        return f"{self.context.registry.public_url}/as-of/{moment}"

    async def check(self, moment: str) -> None:
        """Refuse a moment that cannot be asked for.

        Raises:
            Invalid: no moment, or in the future.
        """
        await asyncio.to_thread(self._moments.position, moment)

    async def of_crate(self, moment: str, key: str, find: Callable[[PastCrate], Result]) -> Result:
        """Return what is found of a crate. key: in lower case."""

        def look() -> Result:
            past = PastCrate(self.context.registry.log, key, self._moments.position(moment))
            try:
                return find(past)
            finally:
                past.close()

        return await self.context.past.run(look)

    async def of_package(
        self, moment: str, name: str, find: Callable[[PastPackage], Result]
    ) -> Result:
        """Return what is found of an npm package."""

        def look() -> Result:
            log, position = self.context.registry.log, self._moments.position(moment)
            past = PastPackage(log, name, position, self.base_url(moment))
            try:
                return find(past)
            finally:
                past.close()

        return await self.context.past.run(look)


def rendered(find: Callable[[View], bytes | None]) -> Callable[[View], Document | None]:
    """Return the same as a document: packing 8 MB takes too long for the event loop."""

    def look(past: View) -> Document | None:
        body = find(past)
        return None if body is None else render(body, ONCE)

    return look
