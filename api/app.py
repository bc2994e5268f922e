"""The Falcon application, from what it is given; no globals."""

from packledger.api import as_of, audit, cargo, npm, pages, transparency
from packledger.api.context import Context
from packledger.api.counting import Counting
from packledger.api.errors import ErrorAnswers
from packledger.api.expectation import PatientApp
from packledger.api.gate import MAY_READ, MayRead
from packledger.api.health import Health
from packledger.api.hot_reads import App, HotReads
from packledger.api.middleware import PrivateReads, RequestIds, Requests


def create_app(context: Context) -> App:
    """Return the whole HTTP interface. Call it after the fork."""
    ids = RequestIds()
    gate = [PrivateReads(context.authenticator)] if context.private else []
    counting = Counting(context.downloads, context.downloads_flush_s)
    app = PatientApp(middleware=[Requests(ids), counting, *gate])
    # A client's query is data: a stray percent or an empty parameter is no reason to refuse it.
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    cargo.add_routes(app, context)
    npm.add_routes(app, context)
    as_of.add_routes(app, context)
    transparency.add_routes(app, context)
    audit.add_routes(app, context)
    site = pages.add_routes(app, context)
    ErrorAnswers(context.registry.public_url, site.answer_error).install(app)
    app.add_route("/health", Health(context))
    if context.private:
        app.add_route(MAY_READ, MayRead(context))
    # Everything that must be asked about each read must be asked of Falcon's resources.
    if context.private or context.hooks.access is not None:
        return app
    return HotReads(app, context, ids)
