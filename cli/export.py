"""`packledger export`: the registry as it was, as files for any web server."""

from pathlib import Path

import click
import msgspec

from packledger.audit.past.export import export as write
from packledger.audit.past.packages import Moments
from packledger.cli.options import common
from packledger.cli.progress import shown_progress
from packledger.projections.log_tiles.fold import LOG_TILES, last_not_later
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened


@click.command()
@click.option("--as-of", "moment", required=True, metavar="T|POS", help="Which moment; or `now`.")
@click.option(
    "--to", required=True, type=click.Path(path_type=Path), help="A directory that does not exist."
)
@click.option("--url", required=True, help="Where it will be served: it is written into it.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as a JSON object.")
@common
def export(settings: Settings, moment: str, to: Path, url: str, as_json: bool) -> None:
    """Write the registry as it was to a directory that any web server can serve.

    A time is written as in 2026-11-21 (its beginning, UTC) or 2026-11-21T06:00:00Z. Two exports of
    a moment for one URL are equal byte for byte.
    """
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url must be an http:// or https:// URL, not `{url}`")
    with opened(settings) as registry, shown_progress() as show:
        wiring.catch_up(settings, registry)
        tiles = wiring.open_reader(settings, registry.board, LOG_TILES)
        if moment == "now":
            moment = str(registry.log.last_position())
        moments = Moments(registry.log, registry.now, lambda at: last_not_later(tiles.db(), at))
        exported = write(
            registry.log,
            registry.blobs,
            moments.position(moment),
            to,
            url,
            show,
        )
    if as_json:
        click.echo(msgspec.json.encode(exported))
        return
    click.echo(
        f"{to}: position {exported.position}, {exported.crates} crates, {exported.packages} npm "
        f"packages, {exported.files} files\n"
        f"  cargo  sparse+{exported.url}/cargo/index/\n"
        f"  npm    {exported.url}/npm/"
    )
    for version in exported.purged:
        click.echo(f"  without the file of {version}, which was purged")
