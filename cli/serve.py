"""`packledger serve`: a whole registry in one command."""

import click

from packledger.cli.options import Data, listening, taking
from packledger.server.settings.settings import Settings


@click.command()
@listening
@taking(Data.LATER)
def serve(settings: Settings) -> None:
    """Serve the registry until SIGTERM: web workers and the projector."""
    # Imported here: gunicorn costs every other command 100 ms.
    from packledger.server.processes.serve import serve as run

    run(settings)
