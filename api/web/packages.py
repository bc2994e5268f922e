"""The page of a crate or an npm package, and of each of its versions."""

from functools import partial

import falcon.asgi

from packledger.api.web.package_views import listed, read_package
from packledger.api.web.site import Site
from packledger.audit.history import Entry, entry_of, package_events
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import NoSuchPackage, Unavailable
from packledger.projections.pages.fold import UNPUBLISHED, YANKED, PageHead

Request = falcon.asgi.Request
Response = falcon.asgi.Response

SHOWN_VERSIONS = 30
"""More are shown when asked for: some packages have thousands."""
SHOWN_EVENTS = 20


class PackagePages:
    """`/crates/{name}`, `/crates/{name}/{version}`, `/packages/{name}`, `/packages/{name}/v/…`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def on_get_crate(
        self, req: Request, resp: Response, name: str, version: str = ""
    ) -> None:
        """Answer a crate's page, by any case of its name."""
        await self._show(req, resp, CARGO, name, version)

    async def on_get_npm(self, req: Request, resp: Response, rest: str) -> None:
        """Answer an npm package's page; names with a scope have two parts."""
        name, _, version = rest.partition("/v/")
        await self._show(req, resp, NPM, name, version)

    async def _show(
        self, req: Request, resp: Response, ecosystem: str, name: str, version: str
    ) -> None:
        site, context = self._site, self._site.context
        visitor = await site.sessions.visitor(req)
        caller = context.caller_as(req, visitor.identity)
        seen = partial(caller.seen, ecosystem)
        package = await context.act(
            caller,
            lambda: read_package(context.pages.db(), site.recipes, ecosystem, name, version, seen),
            context.long_pages.run,
        )
        if isinstance(package, PageHead):
            raise NoSuchPackage(package.name)
        readme = await site.readmes.html(package.readme)
        timeline = await context.long_pages.run(
            partial(self._timeline, ecosystem, package.head.name)
        )
        everything = req.get_param("versions") == "all"
        await site.render_long(
            req,
            resp,
            "package.html",
            visitor=visitor,
            package=package,
            readme=readme,
            versions=package.versions if everything else package.versions[:SHOWN_VERSIONS],
            count=listed(package.versions),
            newer=package.shown if package.shown != package.line.version else "",
            timeline=timeline,
            ecosystem=ecosystem,
            yanked=YANKED,
            unpublished=UNPUBLISHED,
        )

    def _timeline(self, ecosystem: str, name: str) -> list[Entry] | None:
        """Return the newest events first, None while the event store is away."""
        try:
            newest = package_events(self._site.context.registry.log, ecosystem, name, SHOWN_EVENTS)
        except Unavailable:
            return None
        return [entry_of(recorded) for recorded in reversed(newest)]
