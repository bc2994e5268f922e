"""`packledger web`: the web workers of a node."""

import click

from packledger.cli.options import Data, listening, taking
from packledger.server import logs
from packledger.server.data_directory import enter
from packledger.server.http.listeners import listen_on, with_real_ports
from packledger.server.processes.migrate import prepare_web
from packledger.server.processes.node import hold_web
from packledger.server.processes.supervisor import end_at_sigterm
from packledger.server.settings.settings import Settings


@click.command()
@listening
@taking(Data.LATER)
def web(settings: Settings) -> None:
    """Serve this node's read models and take commands, until SIGTERM; needs `project` beside it."""
    # Imported here: gunicorn costs every other command 100 ms.
    from packledger.api.access.hooks import Hooks
    from packledger.server.http.gunicorn import announce, run_web_server

    logs.configure(settings.log_level)
    end_at_sigterm()
    enter(settings, creates=bool(settings.postgres.url))
    held = hold_web(settings)
    sockets = listen_on(settings)
    settings = with_real_ports(settings, sockets)
    prepare_web(settings)
    announce(settings)
    with held:
        run_web_server(settings, sockets, Hooks())
