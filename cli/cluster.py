"""The processes of a cluster, one command for each; `serve` runs those of one node together."""

import sys

import click

from packledger.cli.options import Data, listening, taking
from packledger.server import logs
from packledger.server.data_directory import enter
from packledger.server.http.listeners import listen_on, with_real_ports
from packledger.server.processes.migrate import prepare_log, prepare_web, show_setup_code
from packledger.server.processes.node import hold_projector, hold_web
from packledger.server.processes.projecting import prepare_read_models, projecting
from packledger.server.processes.supervisor import StopAsked, Supervisor, end_at_sigterm
from packledger.server.settings.settings import Settings
from packledger.server.stores import kafka_address, opened_store_feed


@click.command()
@taking(Data.LATER)
def migrate(settings: Settings) -> None:
    """Create what is missing in the stores and record the public URL; may be repeated.

    Prints a new one-time setup code as long as there is no administrator.
    """
    logs.configure(settings.log_level)
    enter(settings, creates=True)
    code = prepare_log(settings)
    click.echo(f"ready for {settings.public_url}")
    show_setup_code(settings, code)


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
    enter(settings, creates=bool(settings.database))
    held = hold_web(settings)
    sockets = listen_on(settings)
    settings = with_real_ports(settings, sockets)
    prepare_web(settings)
    announce(settings)
    with held:
        run_web_server(settings, sockets, Hooks())


@click.command()
@taking(Data.LATER)
def relay(settings: Settings) -> None:
    """Copy the log into Kafka, in order and once, until SIGTERM; start it again when it ends.

    A second relay is harmless: whoever came last goes on, the other one ends.
    """
    from packledger.feeds.relay import run_relay

    if not settings.kafka:
        raise click.UsageError("the relay needs `kafka`: set it to the brokers, `HOST:PORT`")
    logs.configure(settings.log_level)
    stop = StopAsked()
    with opened_store_feed(settings) as feed:
        sys.exit(run_relay(feed, kafka_address(settings), stop))


@click.command()
@taking(Data.LATER)
def project(settings: Settings) -> None:
    """Keep this node's read models up to date, until SIGTERM."""
    logs.configure(settings.log_level)
    end_at_sigterm()
    enter(settings, creates=bool(settings.database))
    with hold_projector(settings, "project"):
        prepare_read_models(settings)
        Supervisor(projecting(settings)).run()
