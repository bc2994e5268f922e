"""`packledger project`: the read models of a node."""

import click

from packledger.cli.options import Data, taking
from packledger.server import logs
from packledger.server.data_directory import enter
from packledger.server.processes.node import hold_projector
from packledger.server.processes.projecting import prepare_read_models, projecting
from packledger.server.processes.supervisor import Supervisor, end_at_sigterm
from packledger.server.settings.settings import Settings


@click.command()
@taking(Data.LATER)
def project(settings: Settings) -> None:
    """Keep this node's read models up to date, until SIGTERM."""
    logs.configure(settings.log_level)
    end_at_sigterm()
    enter(settings, creates=bool(settings.postgres.url))
    with hold_projector(settings, "project"):
        prepare_read_models(settings)
        Supervisor(projecting(settings)).run()
