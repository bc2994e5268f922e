"""The Falcon application, from what it is given; no globals."""

import falcon.asgi

from packledger.api import cargo, npm, pages
from packledger.api.context import Context
from packledger.api.counting import Counting
from packledger.api.errors import ErrorAnswers
from packledger.api.expectation import PatientApp
from packledger.api.health import Health
from packledger.api.middleware import PrivateReads, Requests

App = falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]


def create_app(context: Context) -> App:
    """Return the whole HTTP interface."""
    gate = [PrivateReads(context.authenticator)] if context.private else []
    counting = Counting(context.downloads, context.downloads_flush_s)
    app = PatientApp(middleware=[Requests(), counting, *gate])
    # A client's query is data: a stray percent or an empty parameter is no reason to refuse it.
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    cargo.add_routes(app, context)
    npm.add_routes(app, context)
    site = pages.add_routes(app, context)
    ErrorAnswers(context.registry.public_url, site.answer_error).install(app)
    app.add_route("/health", Health(context))
    return app
