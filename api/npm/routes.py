"""Everything below `/npm`: one sink, since names with slashes do not fit a router.

Source: https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import falcon
import falcon.asgi

from packledger.api.context import Context
from packledger.api.http.routing import Mounts
from packledger.api.mounts import NPM_AT, Access
from packledger.api.npm.access import NpmAccess
from packledger.api.npm.accounts import USER_PREFIX, NpmAccounts
from packledger.api.npm.owners import NpmOwners
from packledger.api.npm.reads import NpmReads
from packledger.api.npm.stars import NpmStars
from packledger.api.npm.tokens import NpmTokens
from packledger.api.npm.urls import PackagePath, package_path, segments
from packledger.api.npm.writes import NpmWrites
from packledger.domain.errors import NotFound

Request = falcon.asgi.Request
Response = falcon.asgi.Response
Answer = Callable[[Request, Response], Awaitable[None]]


class Npm:
    """Finds out what a request names and hands it to who answers that."""

    def __init__(self, context: Context) -> None:
        self._own_path = [*urlsplit(context.registry.public_url).path.split("/")[1:], "npm"]
        self._reads = NpmReads(context)
        self._writes = NpmWrites(context)
        self._access = NpmAccess(context)
        self._accounts = NpmAccounts(context)
        self._tokens = NpmTokens(context)
        self._stars = NpmStars(context)
        self._owners = NpmOwners(context)

    async def __call__(self, req: Request, resp: Response | None, **params: str) -> None:
        """Answer a request; HEAD as GET."""
        assert resp is not None
        method = "GET" if req.method == "HEAD" else req.method
        parts = segments(req.scope["raw_path"], "/npm")
        if method == "DELETE":
            parts = self._undoubled(parts)
        if not parts:
            raise NotFound("this is an npm registry: set it with `npm config set registry URL`")
        if parts[0] == "-":
            answer = self._about_registry(method, parts[1:])
        else:
            answer = self._about_package(method, package_path(parts))
        if answer is None:
            raise NotFound(f"this registry has no `{method} {req.path}`")
        await answer(req, resp)

    def _undoubled(self, parts: list[str]) -> list[str]:
        """Return the path of a tarball to remove without the registry's own path, said again.

        npm up to 6 puts the path of `dist.tarball` behind the registry's URL, which has it, too.
        """
        own = len(self._own_path)
        is_tarball = len(parts) > own + 4 and parts[-2] == "-rev" and parts[own] != "-"
        return parts[own:] if is_tarball and parts[:own] == self._own_path else parts

    def _about_registry(  # noqa: PLR0911 - one case a path
        self, method: str, parts: list[str]
    ) -> Answer | None:
        """Return who answers `/-/…`."""
        if parts[:1] == ["package"]:
            path = package_path(parts[1:])
            return self._about_named(method, path) or self._owners.answer_for(method, path)
        match method, parts:
            case "GET", ["ping"]:
                return self._reads.ping
            case "GET", ["v1", "search"]:
                return self._reads.search
            case "GET", ["npm", "v1", "keys"]:
                return self._reads.signing_keys
            case "POST", ["npm", "v1", "security", "advisories", "bulk"]:
                return self._reads.no_advisories
            case "POST", ["npm", "v1", "security", "audits"]:
                return self._reads.no_audit
            case "POST", ["npm", "v1", "security", "audits", "quick"]:
                return self._reads.no_audit
            case _:
                mine = (self._accounts, self._tokens, self._stars)
                found = (answerer.answer_for(method, parts) for answerer in mine)
                return next(filter(None, found), None)

    def _about_named(self, method: str, path: PackagePath) -> Answer | None:
        """Return who answers `/-/package/NAME/…`."""
        match method, path.rest:
            case "GET", ("visibility",):
                return lambda req, resp: self._access.visibility(req, resp, path.name)
            case "POST", ("access",):
                return lambda req, resp: self._access.set(req, resp, path.name)
            case "GET", ("dist-tags",):
                return lambda req, resp: self._reads.dist_tags(req, resp, path.name)
            case "PUT", ("dist-tags", tag):
                return lambda req, resp: self._writes.set_tag(req, resp, path.name, tag)
            case "DELETE", ("dist-tags", tag):
                return lambda req, resp: self._writes.remove_tag(req, resp, path.name, tag)
            case _:
                return None

    def _about_package(  # noqa: PLR0911 - one case a path
        self, method: str, path: PackagePath
    ) -> Answer | None:
        """Return who answers `/NAME…`."""
        name = path.name
        match method, path.rest:
            case "GET", ():
                return lambda req, resp: self._reads.packument(req, resp, name)
            case "GET", (version,):
                return lambda req, resp: self._reads.version(req, resp, name, version)
            case "GET", ("-", *file):
                return lambda req, resp: self._reads.tarball(req, resp, name, file[-1])
            case "PUT", ():
                return lambda req, resp: self._writes.put(req, resp, name, None)
            case "PUT", ("-rev", rev):
                return lambda req, resp: self._writes.put(req, resp, name, rev)
            case "DELETE", ("-rev", rev):
                return lambda req, resp: self._writes.unpublish(req, resp, name, rev)
            case "DELETE", ("-", *file, "-rev", rev):
                return lambda req, resp: self._writes.remove_tarball(req, resp, name, file[-1])
            case _:
                return None


def npm_access(req: Request) -> Access:
    """Return who may ask this of a private registry, read from what the sink reads.

    Open is what a client needs before it has a token, and after its token has ended.
    """
    asked = [req.method, *segments(req.scope["raw_path"], "/npm")]
    match asked:
        case ["GET" | "HEAD", "-", "ping"] | ["POST", "-", "v1", "login"]:
            return Access.OPEN
        case ["PUT", "-", "user", user, *_] if user.startswith(USER_PREFIX):
            return Access.OPEN
        case ["DELETE", "-", "user", "token", *_]:
            return Access.OPEN
        case _:
            return Access.READER


def add_routes(app: Mounts, context: Context) -> None:
    """Add everything below `/npm`."""
    app.add_sink(Npm(context), NPM_AT, access=npm_access)
