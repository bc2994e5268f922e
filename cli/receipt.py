"""`packledger receipt`: the proof of a publication, for a user to keep."""

import sys
from pathlib import Path

import click

from packledger.audit.translog.published import PublishedLog
from packledger.cli.options import SUBJECT, Subject, common
from packledger.projections.log_tiles.fold import LOG_TILES
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened


@click.command()
@click.argument("subject", metavar="cargo:NAME@V | npm:NAME@V", type=SUBJECT)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of the terminal."
)
@common
def receipt(settings: Settings, subject: Subject, out: Path | None) -> None:
    """Print the proof that a version's publication is in the signed log (a C2SP tlog-proof)."""
    with opened(settings) as registry:
        wiring.catch_up(settings, registry)
        tiles = wiring.open_reader(settings, registry.board, LOG_TILES)
        log = PublishedLog(registry.checkpoints, tiles.db, registry.log)
        made = log.receipt(log.position_of(*subject), with_state=True)
    if out is None:
        sys.stdout.buffer.write(made)
    else:
        out.write_bytes(made)
