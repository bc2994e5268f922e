"""The cargo protocol: sparse index, downloads, and the web API that cargo itself uses.

Source: https://doc.rust-lang.org/cargo/reference/registry-index.html and registry-web-api.html
"""

import asyncio

import falcon
import falcon.asgi
import msgspec

from packledger.api.cargo.publish import Publish
from packledger.api.context import Context
from packledger.api.downloads import answer_file, wanted_crate
from packledger.api.http.answers import PRIVATE, answer_document, answer_json
from packledger.api.http.bodies import read_json
from packledger.api.http.paging import number
from packledger.api.http.routing import Mounts
from packledger.commands.cargo import crates
from packledger.domain.accounts.actions import Action
from packledger.domain.cargo.names import index_path
from packledger.domain.ecosystems import CARGO
from packledger.domain.errors import Invalid, NoSuchPackage, NoSuchVersion
from packledger.projections.accounts.reads import account_of
from packledger.projections.documents import render
from packledger.projections.search.reads import Found
from packledger.projections.sparse_index.fold import crate_file_of, head_of, name_of
from packledger.projections.sparse_index.form import index_config

MAX_PER_PAGE = 100
Request = falcon.asgi.Request
Response = falcon.asgi.Response


INDEX_FILE = ("text/plain", "accept-encoding")
"""An index file's type, and what its answer varies by."""


class IndexConfig:
    """`config.json`: where downloads and the web API are."""

    def __init__(self, public_url: str, private: bool) -> None:
        self._document = render(index_config(public_url, private))

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer the document."""
        resp.content_type = "application/json"
        answer_document(req, resp, self._document, vary="accept-encoding")


class IndexFiles:
    """One crate's lines, at `se/rd/serde` and the shorter forms."""

    def __init__(self, context: Context) -> None:
        self._context, self._documents = context, context.index_files

    async def on_get(self, req: Request, resp: Response, a: str, b: str, c: str = "") -> None:
        """Answer the file; 404 says "no such crate" to cargo, and only 404 may."""
        key = c or b
        if index_path(key) != "/".join(filter(None, (a, b, c))):
            raise NoSuchPackage(key)
        name = name_of(self._context.sparse_index.db(), key) or key
        await self._context.check_access(req, CARGO, name, key)
        document = self._documents.cached(key)
        if document is None:
            document = await asyncio.to_thread(self._documents.load, key)
        if document is None:
            raise NoSuchPackage(key)
        resp.content_type, vary = INDEX_FILE
        answer_document(req, resp, document, vary)


class CrateFiles:
    """A `.crate`, yanked or not: lock files must go on working."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response, crate: str, version: str) -> None:
        """Answer the file that was uploaded."""
        db = self._context.sparse_index.db()
        wanted = wanted_crate(crate_file_of(db, crate, version), req.method)
        # Any case of letters finds the crate; the hook is asked about its own name.
        name = wanted.name if wanted else crate
        if not await self._context.may_read(req, CARGO, name) or wanted is None:
            raise NoSuchVersion(crate, version)
        if await answer_file(req, resp, self._context, wanted):
            self._context.downloads.count(CARGO, wanted.name)


class Yank:
    """`DELETE …/yank` and `PUT …/unyank`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_delete_yank(self, req: Request, resp: Response, crate: str, version: str) -> None:
        """Yank a version. cargo needs the body: a 204 makes it fail."""
        await self._set(req, crate, version, yanked=True)
        resp.media = {"ok": True}

    async def on_put_unyank(self, req: Request, resp: Response, crate: str, version: str) -> None:
        """Unyank a version."""
        await self._set(req, crate, version, yanked=False)
        resp.media = {"ok": True}

    async def _set(self, req: Request, crate: str, version: str, *, yanked: bool) -> None:
        context = self._context
        caller = await context.require(req)
        await context.act(
            caller, lambda: crates.set_yanked(context.registry, caller, crate, version, yanked)
        )


class OwnerNames(msgspec.Struct):
    """The body that names owners."""

    users: list[str]


class Owners:
    """`GET`, `PUT` and `DELETE …/owners`; cargo sends a body with DELETE."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response, crate: str) -> None:
        """List the owners. `id` must be a 32-bit number, or cargo fails."""
        await self._context.require(req)
        await self._context.check_access(req, CARGO, crate)
        await answer_json(resp, lambda: self._owners(crate))
        resp.set_header("cache-control", PRIVATE)

    def _owners(self, crate: str) -> dict[str, object]:
        head = head_of(self._context.sparse_index.db(), crate)
        if head is None:
            raise NoSuchPackage(crate)
        accounts = [account_of(self._context.accounts.db(), owner) for owner in head.owners]
        return {
            "users": [
                {"id": account.number, "login": account.name, "name": None, "email": None}
                for account in accounts
                if account is not None
            ]
        }

    async def on_put(self, req: Request, resp: Response, crate: str) -> None:
        """Add owners. cargo prints `msg` and panics on `ok: false`."""
        names = await self._change(req, crate, adding=True)
        said = f"{', '.join(names)} may now publish and yank versions of `{crate}`"
        resp.media = {"ok": True, "msg": said}

    async def on_delete(self, req: Request, resp: Response, crate: str) -> None:
        """Remove owners."""
        names = await self._change(req, crate, adding=False)
        said = f"{', '.join(names)} may no longer change `{crate}`"
        resp.media = {"ok": True, "msg": said}

    async def _change(self, req: Request, crate: str, *, adding: bool) -> list[str]:
        context = self._context
        caller = await context.require(req)
        await context.check_may(caller, Action.CHANGE_OWNERS, CARGO, crate)
        names = (await read_json(req, OwnerNames, "the list of owners")).users
        if not names:
            raise Invalid("the list of owners is empty; name at least one account")
        change = {"add": names} if adding else {"remove": names}
        await context.act(
            caller, lambda: crates.change_owners(context.registry, caller, crate, **change)
        )
        return names


class CrateSearch:
    """`GET /crates?q=…&per_page=…&page=…`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def on_get(self, req: Request, resp: Response) -> None:
        """Answer one page of hits and the true total, which cargo prints."""
        limit = number(req, "per_page", 10, least=1, most=MAX_PER_PAGE)
        page = number(req, "page", 1, least=1, most=1_000_000)
        text = req.get_param("q") or ""
        hits, total = await self._context.find(req, CARGO, text, limit, (page - 1) * limit)
        meta = {"total": total}
        await answer_json(resp, lambda: {"crates": [*map(_crate_object, hits)], "meta": meta})


def _crate_object(hit: Found) -> dict[str, object]:
    return {
        "name": hit.name,
        "max_version": hit.summary.version,
        "description": hit.summary.description or None,
        "downloads": hit.downloads,
    }


def add_routes(app: Mounts, context: Context) -> None:
    """Add everything below `/cargo`."""
    index = IndexFiles(context)
    app.add_route(
        "/cargo/index/config.json",
        IndexConfig(context.registry.public_url, context.private),
    )
    app.add_route("/cargo/index/{a}/{b}", index)
    app.add_route("/cargo/index/{a}/{b}/{c}", index)
    app.add_route("/cargo/crates/{crate}/{version}/download", CrateFiles(context))
    api = "/cargo/api/v1/crates"
    app.add_route(api, CrateSearch(context))
    app.add_route(f"{api}/new", Publish(context))
    app.add_route(f"{api}/{{crate}}/owners", Owners(context))
    yank = Yank(context)
    app.add_route(f"{api}/{{crate}}/{{version}}/yank", yank, suffix="yank")
    app.add_route(f"{api}/{{crate}}/{{version}}/unyank", yank, suffix="unyank")
