"""`packledger restore`."""

import shlex
from pathlib import Path

import click
import msgspec

from packledger.api.web.words import counted
from packledger.audit.backups.restoring import restore as restore_from
from packledger.cli.backup import FOLDER, name_missing, refuse_database
from packledger.cli.options import Data, taking
from packledger.cli.progress import shown_progress
from packledger.server import wiring
from packledger.server.data_directory import own
from packledger.server.settings.settings import Settings
from packledger.server.stores import Places


@click.command()
@click.option("--from", "source", required=True, type=FOLDER, help="What `backup` wrote.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@taking(Data.LATER)
def restore(settings: Settings, source: Path, as_json: bool) -> None:
    """Restore a backup into an empty --data directory; then start `packledger serve`.

    Everything is verified before anything is there, and nothing is ever written over. Read models
    are rebuilt by `serve`. Exits with 1 if a blob was missing when the backup was made.
    """
    refuse_database(settings)
    own(Path(settings.data))
    with shown_progress() as show:
        done = restore_from(
            source,
            Path(settings.data),
            lambda data: wiring.open_blobs(settings, Places(data), create=True),
            show,
        )
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        click.echo(
            f"{settings.data}: position {done.position}, {counted(done.blobs, 'blob')}; start it "
            f"with `packledger serve --data {shlex.quote(settings.data)}`"
        )
    name_missing(done.missing)
