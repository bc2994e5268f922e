"""`packledger config`: what is set, and the documentation of what can be."""

import click

from packledger.cli.options import Commands, Data, taking
from packledger.server.settings.page import page_of
from packledger.server.settings.settings import Settings
from packledger.server.settings.written import toml_of


@click.group(cls=Commands)
def config() -> None:
    """Check the settings, or print their documentation."""


@config.command()
@taking(Data.LATER)
def check(settings: Settings) -> None:
    """Print the settings in force, one a line as in the file; exit 2 if they cannot be used.

    Passwords are hidden.
    """
    click.echo(toml_of(settings), nl=False)


@config.command()
def docs() -> None:
    """Print docs/configuration.md."""
    click.echo(documentation(), nl=False)


def documentation() -> str:
    """Return docs/configuration.md."""
    return page_of(Settings)
