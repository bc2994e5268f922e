"""What npm, pnpm, yarn and bun read: packuments, versions, tarballs, dist-tags, search."""

import asyncio
import re
from functools import partial
from typing import Any

import falcon.asgi
import msgspec

from packledger.api.context import Context
from packledger.api.downloads import answer_file, wanted_tarball
from packledger.api.http.answers import REVALIDATE, answer_document, answer_json
from packledger.api.http.bodies import read_small
from packledger.api.http.body_budget import AUDITS
from packledger.api.http.paging import number
from packledger.api.npm.root import is_at_root
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import Invalid, NoSuchPackage, NotFound
from packledger.projections.documents import Document, Documents, render
from packledger.projections.packuments.form import at_root
from packledger.projections.packuments.reads import (
    head_of,
    public_url_of,
    signing_keys_of,
    tarball_of,
    version_of,
)
from packledger.projections.search.reads import Found

Request = falcon.asgi.Request
Response = falcon.asgi.Response

ABBREVIATED = "application/vnd.npm.install-v1+json"
FULL = "application/json"
VARY = "accept, accept-encoding"
MAX_SIZE = 250
_OBJECT = re.compile(rb"\s*\{")
AUDIT_BYTES = 4 * 1024 * 1024
"""A request names every package of a tree with its versions: about 1 MB for 20,000 packages."""


class NpmReads:
    """Answers from the read models alone."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def packument(self, req: Request, resp: Response, name: str) -> None:
        """Answer the form that the client prefers; `?write=true` asks for the full one."""
        await self._context.check_access(req, NPM, name)
        abbreviated = wants_abbreviated(req.get_header("accept") or "") and (
            "write=true" not in req.query_string
        )
        documents = self._documents(req, abbreviated)
        document = documents.cached(name)
        if document is None:
            # The full form holds a README, which is a blob.
            document = await self._context.fetch(partial(documents.load, name))
        if document is None:
            raise NoSuchPackage(name)
        resp.content_type = ABBREVIATED if abbreviated else FULL
        answer_document(req, resp, document, vary=VARY)

    def _documents(self, req: Request, abbreviated: bool) -> Documents:
        context = self._context
        if is_at_root(req):
            rooted = context.rooted_abbreviated_packuments
            return rooted if abbreviated else context.rooted_packuments
        return context.abbreviated_packuments if abbreviated else context.full_packuments

    async def version(self, req: Request, resp: Response, name: str, wanted: str) -> None:
        """Answer one version object, by version or dist-tag."""
        await self._context.check_access(req, NPM, name)
        document = await asyncio.to_thread(self._version, name, wanted, is_at_root(req))
        resp.content_type = FULL
        answer_document(req, resp, document, vary="accept-encoding")

    def _version(self, name: str, wanted: str, at_root_asked: bool) -> Document:
        db = self._context.packuments.db()
        head = head_of(db, name)
        if head is None:
            raise NoSuchPackage(name)
        body = version_of(db, name, head.dist_tags.get(wanted, wanted))
        if body is None:
            raise NotFound(f"version not found: `{name}` has no version or dist-tag `{wanted}`")
        if at_root_asked:
            body = at_root(body, public_url_of(db), self._context.npm_root)
        return render(body)

    async def tarball(self, req: Request, resp: Response, name: str, filename: str) -> None:
        """Answer the file that was uploaded."""
        find = partial(tarball_of, self._context.packuments.db(), name)
        wanted = wanted_tarball(find, name, filename, req.method)
        if not await self._context.may_read(req, NPM, name) or wanted is None:
            raise NotFound(f"`{name}` has no tarball `{filename}`")
        if await answer_file(req, resp, self._context, wanted):
            self._context.downloads.count(NPM, name)

    async def dist_tags(self, req: Request, resp: Response, name: str) -> None:
        """Answer the map of dist-tags."""
        await self._context.check_access(req, NPM, name)
        document = await asyncio.to_thread(self._dist_tags, name)
        resp.content_type = FULL
        answer_document(req, resp, document, "accept-encoding")

    def _dist_tags(self, name: str) -> Document:
        head = head_of(self._context.packuments.db(), name)
        if head is None or not head.dist_tags:
            raise NoSuchPackage(name)
        return render(msgspec.json.encode(head.dist_tags))

    async def ping(self, req: Request, resp: Response) -> None:
        """Answer that the registry is there."""
        resp.media = {}

    async def search(self, req: Request, resp: Response) -> None:
        """Answer one page of hits and the true total."""
        limit = number(req, "size", 20, least=0, most=MAX_SIZE)
        offset = number(req, "from", 0, least=0, most=1_000_000)
        text = req.get_param("text") or ""
        hits, total = await self._context.find(req, NPM, text, limit, offset)
        rest = {"total": total, "time": self._context.registry.now().isoformat()}
        await answer_json(resp, lambda: {"objects": [*map(_search_object, hits)], **rest})
        resp.set_header("cache-control", REVALIDATE)

    async def signing_keys(self, req: Request, resp: Response) -> None:
        """Answer the keys that `dist.signatures` of versions are checked with.

        Source: npm's documentation, "About registry signatures".
        """
        keys = signing_keys_of(self._context.packuments.db())
        resp.media = {
            "keys": [
                {
                    "expires": key.expires,
                    "keyid": key.keyid,
                    "keytype": "ecdsa-sha2-nistp256",
                    "scheme": "ecdsa-sha2-nistp256",
                    "key": key.key,
                }
                for key in keys
            ]
        }
        resp.set_header("cache-control", REVALIDATE)

    async def no_advisories(self, req: Request, resp: Response) -> None:
        """Answer that no advisory is known: this registry has no advisory data."""
        await _check_json(req)
        resp.media = {}

    async def no_audit(self, req: Request, resp: Response) -> None:
        """Answer the older form of the same."""
        await _check_json(req)
        none = dict.fromkeys(("info", "low", "moderate", "high", "critical"), 0)
        resp.media = {
            "actions": [],
            "advisories": {},
            "muted": [],
            "metadata": {"vulnerabilities": none, "dependencies": 0},
        }


async def _check_json(req: Request) -> None:
    body = await read_small(req, "the audit request", AUDIT_BYTES, AUDITS)
    await asyncio.to_thread(_check_object, body)


def _check_object(body: bytes) -> None:
    try:
        # Nothing of it is kept: 4 MiB of one-letter names would be half a million objects.
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the audit request is not a JSON object: {error}") from error
    if not _OBJECT.match(body):
        raise Invalid("the audit request is not a JSON object")


def _search_object(hit: Found) -> dict[str, Any]:
    summary = hit.summary
    people = [{"username": owner, "email": ""} for owner in hit.owners]
    scope = hit.name.partition("/")[0].removeprefix("@") if hit.name.startswith("@") else "unscoped"
    detail = {"quality": 1.0, "popularity": 0.0, "maintenance": 1.0}
    return {
        "package": {
            "name": hit.name,
            "scope": scope,
            "version": summary.version,
            "description": summary.description,
            "keywords": list(summary.keywords),
            "date": summary.date,
            "links": {
                key: url
                for key, url in (
                    ("homepage", summary.homepage),
                    ("repository", summary.repository),
                )
                if url
            },
            "publisher": {"username": summary.by, "email": ""},
            "maintainers": people,
        },
        "downloads": {"total": hit.downloads},
        "score": {"final": 1.0, "detail": detail},
        "searchScore": 1.0,
    }


def wants_abbreviated(accept: str) -> bool:
    """Return whether the abbreviated form is preferred: named, with the highest quality.

    `*/*` and `application/json` mean the full form.
    """
    if ABBREVIATED not in accept:
        return False
    best, best_quality = "", -1.0
    for part in accept.split(","):
        kind, _, parameters = part.partition(";")
        quality = _quality(parameters)
        if quality > best_quality:
            best, best_quality = kind.strip(), quality
    return best == ABBREVIATED and best_quality > 0


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
