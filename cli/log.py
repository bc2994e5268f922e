"""`packledger log`: the keys that sign the transparency log."""

import click

from packledger.audit.translog.keys import LogKeys
from packledger.cli.options import Commands, common
from packledger.domain.errors import NotFound, Unavailable
from packledger.eventstore.checkpoints import CheckpointRow, Checkpoints
from packledger.server.settings.settings import Settings
from packledger.server.stores import places_of
from packledger.server.wiring import opened


@click.group(cls=Commands)
def log() -> None:
    """Show and change the keys that sign the transparency log."""


@log.command()
@click.option("--all", "every", is_flag=True, help="Also older keys that still sign.")
@common
def key(settings: Settings, every: bool) -> None:
    """Print the verifier key, which is what auditors need and anybody may know."""
    try:
        lines = [str(one.verifier) for one in LogKeys(places_of(settings).data).all()]
    except NotFound:
        # Another node has the key: what it signed names the public half.
        with opened(settings) as registry:
            lines = [registry.checkpoints.read().vkey]
        if lines == [""]:
            raise
    for line in lines if every else lines[:1]:
        click.echo(line)


@log.command()
@common
def rotate(settings: Settings) -> None:
    """Print a new verifier key: it signs from now on, the old ones beside it until `retire`."""
    click.echo(LogKeys(places_of(settings).data).rotate().verifier)


@log.command()
@click.argument("key_id", metavar="ID")
@common
def retire(settings: Settings, key_id: str) -> None:
    """Sign no more with an older key. ID: the eight digits behind the first + of `log key --all`.

    What it has signed stays signed.
    """
    LogKeys(places_of(settings).data).retire(key_id)
    click.echo(f"retired {key_id}")


@log.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def restart(settings: Settings, yes: bool) -> None:
    """Begin another history with a new key, when events that were signed are lost for good.

    Prints the new verifier key. Auditors who trust the old one must be told what happened.
    """
    keys = LogKeys(places_of(settings).data)
    with opened(settings) as registry:  # before the question, which may be about no registry at all
        if not yes:
            click.confirm(
                "Auditors will see a history that contradicts what was signed before. Begin it?",
                abort=True,
                err=True,
            )
        _forget(registry.checkpoints)
    # Last: the signer looks again when its keys change.
    click.echo(keys.restart().verifier)


def _forget(checkpoints: Checkpoints) -> None:
    row = checkpoints.read()
    if row.number and not checkpoints.replace(CheckpointRow(row.number + 1)):
        raise Unavailable("the log is being signed just now; try again")
