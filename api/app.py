"""The Falcon application, from what it is given; no globals."""

from packledger.api.access.gate import MayRead
from packledger.api.audit import as_of, transparency
from packledger.api.audit import events as audit
from packledger.api.cargo import routes as cargo
from packledger.api.context import Context
from packledger.api.download_flush import Counting
from packledger.api.health import Health
from packledger.api.hot_reads import App, HotReads
from packledger.api.http.errors import ErrorAnswers
from packledger.api.http.middleware import (
    PlainPaths,
    PrivateReads,
    PublicReads,
    RequestIds,
    Requests,
)
from packledger.api.http.routing import Gate, Mounts
from packledger.api.mounts import MAY_READ_AT
from packledger.api.npm import routes as npm
from packledger.api.npm.root import NpmRoot
from packledger.api.web import pages
from packledger.api.web.site import Site


def create_app(context: Context) -> App:
    """Return the whole HTTP interface. Call it after the fork."""
    ids = RequestIds()
    site = Site(context)
    gate: Gate = PublicReads(context.authenticator)
    if context.private:
        gate = PrivateReads(context.authenticator, site.sessions, f"{site.root}/login")
    counting = Counting(context.downloads, context.downloads_flush_s)
    npm_root = NpmRoot(context.npm_root)
    app = Mounts([Requests(ids), PlainPaths(), counting], gate, npm_root)
    app.bodies = context.bodies
    # A client's query is data: a stray percent or an empty parameter is no reason to refuse it.
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    cargo.add_routes(app, context)
    npm.add_routes(app, context)
    as_of.add_routes(app, context)
    transparency.add_routes(app, context)
    audit.add_routes(app, context)
    pages.add_routes(app, site)
    ErrorAnswers(context.registry.public_url, site.answer_error).install(app)
    app.add_route("/health", Health(context))
    if context.private:
        app.add_route(MAY_READ_AT, MayRead(context))
    # Everything that must be asked about each read must be asked of Falcon's resources.
    if context.private or context.policies.hides:
        return app
    return HotReads(app, context, ids, npm_root)
