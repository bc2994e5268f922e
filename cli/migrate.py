"""`packledger migrate`: create what a registry needs once."""

import click

from packledger.cli.options import Data, taking
from packledger.server import logs
from packledger.server.data_directory import enter
from packledger.server.processes.migrate import prepare_log, show_setup_code
from packledger.server.settings.settings import Settings


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
