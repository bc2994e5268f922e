"""`packledger repair`: fetch blobs again, take snapshots anew."""

import sys

import click
import msgspec

from packledger.audit.backups.repair import Repaired, repair, source_of
from packledger.audit.checks.blobs import BlobCheck
from packledger.cli.options import Commands, common
from packledger.cli.progress import shown_progress
from packledger.cli.references import read_references
from packledger.eventstore.snapshots import remove_snapshots
from packledger.server.settings.keys import TOKEN
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened


@click.group("repair", cls=Commands)
def repair_group() -> None:
    """Mend what `packledger verify` finds, except read models: those are rebuilt."""


@repair_group.command("blobs")
@click.option(
    "--from",
    "place",
    required=True,
    metavar="DIR|URL",
    help="A backup, a data directory, or the URL of another node.",
)
@click.option(
    "--token",
    envvar=TOKEN,
    default="",
    show_default=False,
    help="Of an administrator of the other node.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@common
def blobs_command(settings: Settings, place: str, token: str, as_json: bool) -> None:
    """Restore every blob that a version needs and that is missing or damaged; `serve` may run.

    Every blob is read, and what is fetched is checked against its digest; good ones are left alone.
    Exits 1 if something could not be mended.
    """
    source = source_of(place, token)
    outcomes = {True: 0, False: 0}

    def show(one: Repaired) -> None:
        outcomes[not one.why] += 1
        if as_json:
            click.echo(msgspec.json.encode(one))
        else:
            done = f"not mended: {one.why}" if one.why else "mended"
            click.echo(f"{one.digest} of {one.named_by}: {done}")

    with (
        opened(settings) as registry,
        shown_progress() as bar,
        read_references(registry.log, bar) as references,
    ):
        damaged = BlobCheck(references, registry.blobs).damaged()
        repair(damaged, source, registry.blobs, show)
    if not as_json:
        click.echo(f"mended {outcomes[True]}, not mended {outcomes[False]}")
    if outcomes[False]:
        sys.exit(1)


@repair_group.command("snapshots")
@common
def snapshots_command(settings: Settings) -> None:
    """Remove every snapshot: they are taken anew, of what the events give; `serve` may run.

    Where `verify` finds one that differs, somebody could write into the event store: find out who.
    """
    with opened(settings) as registry:
        removed = remove_snapshots(registry.log)
    click.echo(f"removed {removed} snapshots")
