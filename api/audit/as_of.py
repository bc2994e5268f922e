"""`/as-of/{T|POS}/…`: the registry as it was, for unmodified clients, and for reading alone.

Every answer is folded anew from the log, so these reads need the event store.
"""

from collections.abc import Callable

import falcon
import falcon.asgi
import msgspec

from packledger.api.audit.past import Past, Result, rendered
from packledger.api.cargo.routes import INDEX_FILE
from packledger.api.context import Context
from packledger.api.downloads import Wanted, answer_file, wanted_crate, wanted_tarball
from packledger.api.http.answers import answer_document
from packledger.api.http.routing import Mounts
from packledger.api.npm.reads import ABBREVIATED, FULL, VARY, NpmReads, wants_abbreviated
from packledger.api.npm.urls import package_path, segments
from packledger.audit.past.packages import PastCrate, PastPackage
from packledger.domain.cargo.names import index_path
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import (
    NoSuchPackage,
    NoSuchVersion,
    NotAllowed,
    NotFound,
)
from packledger.projections.documents import render

Request = falcon.asgi.Request
Response = falcon.asgi.Response


class PastIndexConfig:
    """`config.json`: downloads of the same view, and no web API."""

    def __init__(self, past: Past) -> None:
        self._past = past

    async def on_get(self, req: Request, resp: Response, moment: str) -> None:
        """Answer the document."""
        await self._past.check(moment)
        base = f"{self._past.base_url(moment)}/cargo"
        config: dict[str, str | bool] = {"dl": f"{base}/crates/{{crate}}/{{version}}/download"}
        if self._past.context.private:
            config["auth-required"] = True
        resp.content_type = "application/json"
        answer_document(req, resp, render(msgspec.json.encode(config)), "accept-encoding")


class PastIndexFiles:
    """One crate's lines, as they were."""

    def __init__(self, past: Past) -> None:
        self._past = past

    async def on_get(
        self, req: Request, resp: Response, moment: str, a: str, b: str, c: str = ""
    ) -> None:
        """Answer the file; 404 where the crate had no version yet."""
        key = c or b
        if index_path(key) != "/".join(filter(None, (a, b, c))):
            raise NoSuchPackage(key)
        name, document = await self._past.of_crate(
            moment, key, lambda past: (past.name(), rendered(PastCrate.index_file)(past))
        )
        await self._past.context.check_access(req, CARGO, name or key, key)
        if document is None:
            raise NoSuchPackage(key)
        resp.content_type, vary = INDEX_FILE
        answer_document(req, resp, document, vary)


class PastCrateFiles:
    """A `.crate` that was published by then. Not counted: nobody uses it for the first time."""

    def __init__(self, past: Past) -> None:
        self._past = past

    async def on_get(
        self, req: Request, resp: Response, moment: str, crate: str, version: str
    ) -> None:
        """Answer the file that was uploaded."""
        found = await self._past.of_crate(moment, crate.lower(), lambda past: past.file(version))
        wanted = wanted_crate(found, req.method)
        # Any case of letters finds the crate; the hook is asked about its own name.
        name = wanted.name if wanted else crate
        if not await self._past.context.may_read(req, CARGO, name) or wanted is None:
            raise NoSuchVersion(crate, version)
        await answer_file(req, resp, self._past.context, wanted)


class PastNpm:
    """Everything below `/as-of/{moment}/npm`."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._present = NpmReads(past.context)

    async def __call__(self, req: Request, resp: Response | None, **params: str) -> None:
        """Answer a request; HEAD as GET."""
        assert resp is not None
        moment = params["moment"]
        await self._past.check(moment)
        parts = segments(req.scope["raw_path"], f"/as-of/{moment}/npm")
        if parts[:1] == ["-"]:
            await self._about_registry(req, resp, moment, parts[1:])
            return
        if req.method not in {"GET", "HEAD"}:
            raise _read_only(moment)
        path = package_path(parts)
        match path.rest:
            case ():
                await self._packument(req, resp, moment, path.name)
            case (version,):
                await self._version(req, resp, moment, path.name, version)
            case ("-", *file):
                await self._tarball(req, resp, moment, path.name, file[-1] if file else "")
            case _:
                raise NotFound(f"this registry has nothing at `{req.path}`")

    async def _about_registry(
        self, req: Request, resp: Response, moment: str, parts: list[str]
    ) -> None:
        """Answer what installing asks for; advisories and keys are those of today."""
        match req.method, parts:
            case "GET" | "HEAD", ["ping"]:
                await self._present.ping(req, resp)
            case "GET" | "HEAD", ["npm", "v1", "keys"]:
                await self._present.signing_keys(req, resp)
            case "POST", ["npm", "v1", "security", "advisories", "bulk"]:
                await self._present.no_advisories(req, resp)
            case "GET" | "HEAD", ["package", *named] if named[-1:] == ["dist-tags"]:
                name = package_path(named[:-1]).name
                await self._dist_tags(req, resp, moment, name)
            case "GET" | "HEAD", _:
                raise NotFound(
                    f"the view of `{moment}` has no `{req.path}`; only packages are kept"
                )
            case _:
                raise _read_only(moment)

    async def _find(
        self, req: Request, moment: str, name: str, find: Callable[[PastPackage], Result | None]
    ) -> Result | None:
        """Return what is found of a package, None as well if the caller may not see it."""
        if not await self._past.context.may_read(req, NPM, name):
            return None
        return await self._past.of_package(moment, name, find)

    async def _packument(self, req: Request, resp: Response, moment: str, name: str) -> None:
        abbreviated = wants_abbreviated(req.get_header("accept") or "")
        blobs = self._past.context.registry.blobs

        def form(past: PastPackage) -> bytes | None:
            return past.abbreviated() if abbreviated else past.full(blobs)

        document = await self._find(req, moment, name, rendered(form))
        if document is None:
            raise NoSuchPackage(name)
        resp.content_type = ABBREVIATED if abbreviated else FULL
        answer_document(req, resp, document, vary=VARY)

    async def _version(
        self, req: Request, resp: Response, moment: str, name: str, wanted: str
    ) -> None:
        def find(past: PastPackage) -> bytes | None:
            return past.version((past.dist_tags() or {}).get(wanted, wanted))

        document = await self._find(req, moment, name, rendered(find))
        if document is None:
            raise NotFound(f"version not found: `{name}` had no version or dist-tag `{wanted}`")
        resp.content_type = FULL
        answer_document(req, resp, document, vary="accept-encoding")

    async def _dist_tags(self, req: Request, resp: Response, moment: str, name: str) -> None:
        tags = await self._find(req, moment, name, PastPackage.dist_tags)
        if not tags:
            raise NoSuchPackage(name)
        resp.content_type = FULL
        answer_document(req, resp, render(msgspec.json.encode(tags)), "accept-encoding")

    async def _tarball(
        self, req: Request, resp: Response, moment: str, name: str, filename: str
    ) -> None:
        def find(past: PastPackage) -> Wanted | None:
            return wanted_tarball(past.tarball, name, filename, req.method)

        wanted = await self._find(req, moment, name, find)
        if wanted is None:
            raise NotFound(f"`{name}` had no tarball `{filename}`")
        await answer_file(req, resp, self._past.context, wanted)


def _read_only(moment: str) -> NotAllowed:
    return NotAllowed(f"this is the registry as it was at `{moment}`: it can only be read")


def add_routes(app: Mounts, context: Context) -> None:
    """Add everything below `/as-of`."""
    past = Past(context)
    base = "/as-of/{moment}/cargo"
    index = PastIndexFiles(past)
    app.add_route(f"{base}/index/config.json", PastIndexConfig(past))
    app.add_route(f"{base}/index/{{a}}/{{b}}", index)
    app.add_route(f"{base}/index/{{a}}/{{b}}/{{c}}", index)
    app.add_route(f"{base}/crates/{{crate}}/{{version}}/download", PastCrateFiles(past))
    app.add_sink(PastNpm(past), "/as-of/{moment}/npm")
