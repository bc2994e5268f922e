"""What every page shares: templates, the stylesheet, the headers, and who may look.

No page needs JavaScript, and the content security policy lets none run. Everything comes from this
host; files below `/static/` carry a digest in their names and may be kept for ever.
"""

import hashlib
import sqlite3
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import falcon.asgi
import jinja2
import msgspec

from packledger.api.context import Context
from packledger.api.http.answers import FOREVER, accepts_gzip
from packledger.api.mounts import mount_of
from packledger.api.web.readme import Readmes
from packledger.api.web.recipes import Recipes
from packledger.api.web.sessions import NOBODY, Sessions, Visitor
from packledger.api.web.words import FILTERS
from packledger.domain.errors import NotFound, RegistryError
from packledger.projections.accounts.reads import all_accounts

Request = falcon.asgi.Request
Response = falcon.asgi.Response

POLICY = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # `no-referrer` would take the origin from our own forms too.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "private, no-cache",
    "vary": "cookie, accept",
}
HTML = "text/html; charset=utf-8"
_FOLDER = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


class StaticFile(msgspec.Struct, frozen=True):
    """A file that never changes under its name. gzip: empty where it would not be smaller."""

    content_type: str
    body: bytes
    gzip: bytes


class Site:
    """Renders pages."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.sessions = Sessions(context)
        self.public_url = context.registry.public_url
        self.root = urlsplit(self.public_url).path
        self.recipes = Recipes(self.public_url)
        self.readmes = Readmes(self._read_readme)
        self.static: dict[str, StaticFile] = {}
        self._has_admin = False
        names = self._load_static()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals.update(
            root=self.root,
            public_url=self.public_url,
            recipes=self.recipes,
            static=names,
            private=context.private,
            open_registration=context.open_registration,
        )

    def _read_readme(self, digest: str, limit_bytes: int) -> bytes:
        with self.context.registry.blobs.open(digest) as file:
            return file.read(limit_bytes)

    def _load_static(self) -> dict[str, str]:
        """Read `static/`; return each file's path with the digest, the stylesheet last."""
        names: dict[str, str] = {}
        for path in sorted((_FOLDER / "static").iterdir(), key=lambda path: path.suffix == ".css"):
            if path.suffix not in _TYPES:
                continue
            body = path.read_bytes()
            if path.suffix == ".css":
                for name, served in names.items():
                    body = body.replace(f'url("{name}")'.encode(), f'url("{served}")'.encode())
            name = f"{path.stem}-{hashlib.sha256(body).hexdigest()[:16]}{path.suffix}"
            packed = b"" if path.suffix == ".woff2" else _gzip(body)
            self.static[name] = StaticFile(_TYPES[path.suffix], body, packed)
            names[path.name] = f"{self.root}/static/{name}"
        return names

    def render(
        self,
        req: Request,
        resp: Response,
        template: str,
        *,
        visitor: Visitor,
        status: int = 200,
        form: bool = False,
        **values: Any,
    ) -> None:
        """Answer with a short page. form: it holds one that somebody without a session may send."""
        resp.data = self._page(req, resp, template, visitor=visitor, status=status, form=form)(
            values
        )

    async def render_long(
        self,
        req: Request,
        resp: Response,
        template: str,
        *,
        visitor: Visitor,
        status: int = 200,
        **values: Any,
    ) -> None:
        """Answer with a page that grows with what it shows: filled in a thread.

        Raises:
            TooMany: as many as may wait are waiting.
        """
        fill = self._page(req, resp, template, visitor=visitor, status=status)
        resp.data = await self.context.long_pages.run(partial(fill, values))

    def _page(
        self,
        req: Request,
        resp: Response,
        template: str,
        *,
        visitor: Visitor,
        status: int = 200,
        form: bool = False,
    ) -> Callable[[dict[str, Any]], bytes]:
        """Set everything but the page itself; return what fills that with values."""
        token = ""
        if form or visitor.identity is not None:
            token = self.sessions.form_token(req, resp, visitor)
        resp.status = status
        resp.content_type = HTML
        for name, value in HEADERS.items():
            resp.set_header(name, value)
        own = {
            "visitor": visitor.identity,
            "form_token": token,
            "now": self.context.registry.now(),
        }

        def fill(values: dict[str, Any]) -> bytes:
            # Compiled when it is first filled, which takes 20 ms for a long one.
            page = self._templates.get_template(template).render(_EVERYWHERE | values | own)
            return page.encode("utf-8", "replace")

        return fill

    def go(self, resp: Response, path: str) -> None:
        """Send the browser to another of our own pages, as a GET. path: one of ours, never given.

        Source: https://www.rfc-editor.org/rfc/rfc9110#section-15.4.4
        """
        resp.status = 303
        resp.set_header("location", self.root + path)
        resp.set_header("cache-control", "no-store")

    def has_admin(self) -> bool:
        """Return whether the registry was set up; that never changes back."""
        if not self._has_admin:
            rows = all_accounts(self.context.accounts.db())
            self._has_admin = any(row.role == "admin" for row in rows)
        return self._has_admin

    async def answer_error(self, req: Request, resp: Response, status: int, sentence: str) -> bool:
        """Answer a refusal as a page if a browser asks; return whether that was so."""
        html = "text/html" in (req.get_header("accept") or "")
        if not html or not mount_of(req.path).people:
            return False
        resp.delete_header("www-authenticate")
        try:
            visitor = await self.sessions.visitor(req)
        except (RegistryError, sqlite3.Error):
            visitor = NOBODY
        self.render(
            req,
            resp,
            "error.html",
            visitor=visitor,
            status=status,
            title=_TITLES.get(status, "That did not work"),
            sentence=sentence,
        )
        return True


_EVERYWHERE = {"query": "", "ecosystem": ""}
_TITLES = {
    400: "That could not be read",
    403: "That is not allowed",
    404: "Nothing here",
    405: "Nothing here",
    413: "That is too large",
    429: "Not just now",
    500: "Something broke",
    503: "Not just now",
}


class StaticFiles:
    """`/static/…`."""

    def __init__(self, site: Site) -> None:
        self._files = site.static

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Answer a file, to be kept for ever."""
        file = self._files.get(name)
        if file is None:
            raise NotFound(f"this registry has no file `{name}`")
        resp.content_type = file.content_type
        resp.set_header("cache-control", FOREVER)
        resp.set_header("x-content-type-options", "nosniff")
        resp.set_header("vary", "accept-encoding")
        if file.gzip and accepts_gzip(req.get_header("accept-encoding") or ""):
            resp.set_header("content-encoding", "gzip")
            resp.data = file.gzip
        else:
            resp.data = file.body


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
