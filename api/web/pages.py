"""The pages at `/`: what is here, search, packages, accounts. Answered from read models alone."""

import asyncio

import falcon.asgi
import msgspec

from packledger.api.http.routing import Mounts
from packledger.api.web.accounts import Login, Logout, Setup
from packledger.api.web.packages import PackagePages
from packledger.api.web.site import Site, StaticFiles
from packledger.api.web.tokens import AccountPage
from packledger.api.web.words import package_path
from packledger.domain.accounts.actions import Package
from packledger.domain.accounts.caller import Caller
from packledger.domain.ecosystems import CARGO, NPM
from packledger.projections.pages.reads import Newest, newest, totals_of
from packledger.projections.search.reads import Found

Request = falcon.asgi.Request
Response = falcon.asgi.Response

NEWEST = 12
LOOKED_THROUGH = 200
"""Newest versions that are looked through: some are of one package, a hook may hide others."""
PER_PAGE = 20
PREVIEWED = 8
"""Hits of each ecosystem while both are shown."""
MAX_QUERY = 200


class Hit(msgspec.Struct, frozen=True):
    """One line of a list of packages."""

    ecosystem: str
    name: str
    path: str
    version: str
    description: str
    by: str
    at: str


class Hits(msgspec.Struct, frozen=True):
    """One page of an ecosystem's hits. pages: how many there are."""

    hits: list[Hit]
    total: int
    page: int
    pages: int


class Start:
    """`/`: how much is here, what is new, and how to use it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the page."""
        visitor = await self._site.sessions.visitor(req)
        pages, policies = self._site.context.pages, self._site.context.policies
        found, totals = await asyncio.to_thread(
            lambda: (newest(pages.db(), LOOKED_THROUGH), totals_of(pages.db()))
        )
        caller = self._site.context.caller_as(req, visitor.identity)
        named = {Package(one.ecosystem, one.name) for one in found}
        seen = await policies.seen(caller, named)
        once: dict[tuple[str, str], Newest] = {}
        for one in found:
            if (one.ecosystem, one.name) in seen:
                once.setdefault((one.ecosystem, one.name), one)
        self._site.render(
            req,
            resp,
            "start.html",
            visitor=visitor,
            # They count what most may not see.
            totals=None if policies.hides else totals,
            newest=[_new_hit(one) for one in [*once.values()][:NEWEST]],
            set_up=self._site.has_admin(),
        )


def _new_hit(new: Newest) -> Hit:
    path = package_path(new.ecosystem, new.name)
    return Hit(
        new.ecosystem,
        new.name,
        path,
        new.version,
        new.description,
        new.published_by,
        new.published_at,
    )


class SearchPage:
    """`/search?q=…&ecosystem=…&page=…`: both ecosystems side by side, or pages of one."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the page."""
        visitor = await self._site.sessions.visitor(req)
        query = (req.get_param("q") or "").strip()[:MAX_QUERY]
        wanted = req.get_param("ecosystem") or ""
        ecosystem = wanted if wanted in {CARGO, NPM} else ""
        number = req.get_param("page") or "1"
        page = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
        per_page = PER_PAGE if ecosystem else PREVIEWED
        caller = self._site.context.caller_as(req, visitor.identity)
        found = {
            one: await self._find(caller, one, query, max(page, 1), per_page)
            for one in ([ecosystem] if ecosystem else [CARGO, NPM])
        }
        self._site.render(
            req,
            resp,
            "search.html",
            visitor=visitor,
            query=query,
            ecosystem=ecosystem,
            found=found,
            total=sum(one.total for one in found.values()),
        )

    async def _find(
        self, caller: Caller, ecosystem: str, query: str, page: int, per_page: int
    ) -> Hits:
        offset = (page - 1) * per_page
        hits, total = await self._site.context.find_as(caller, ecosystem, query, per_page, offset)
        shown = [_search_hit(ecosystem, hit) for hit in hits]
        return Hits(shown, total, page, max(1, -(-total // per_page)))


def _search_hit(ecosystem: str, hit: Found) -> Hit:
    path, summary = package_path(ecosystem, hit.name), hit.summary
    return Hit(
        ecosystem,
        hit.name,
        path,
        summary.version,
        summary.description,
        summary.by,
        summary.date,
    )


class CargoMe:
    """`/cargo/me`: `cargo login` sends people here for a token."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the way to a token."""
        visitor = await self._site.sessions.visitor(req)
        self._site.render(req, resp, "cargo_me.html", visitor=visitor)


def add_routes(app: Mounts, site: Site) -> None:
    """Add the pages."""
    packages, account = PackagePages(site), AccountPage(site)
    app.add_route("/", Start(site))
    app.add_route("/search", SearchPage(site))
    app.add_route("/crates/{name}", packages, suffix="crate")
    app.add_route("/crates/{name}/{version}", packages, suffix="crate")
    app.add_route("/packages/{rest:path}", packages, suffix="npm")
    app.add_route("/account", account)
    app.add_route("/account/tokens", account, suffix="tokens")
    app.add_route("/account/tokens/revoke", account, suffix="revoke")
    app.add_route("/login", Login(site))
    app.add_route("/logout", Logout(site))
    app.add_route("/setup", Setup(site))
    app.add_route("/cargo/me", CargoMe(site))
    app.add_route("/static/{name}", StaticFiles(site))
