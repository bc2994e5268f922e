"""`packledger gc`: remove blobs that no version needs."""

import click
import msgspec

from packledger.api.web.words import counted, size
from packledger.cli.options import common
from packledger.cli.progress import shown_progress
from packledger.cli.references import read_references
from packledger.commands.collecting import collect_orphans
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened

DAY_S = 24 * 3600


@click.command()
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="Leave younger ones: of uploads that go on.",
)
@click.option("--dry-run", is_flag=True, help="Only list them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@common
def gc(settings: Settings, days: int, dry_run: bool, as_json: bool) -> None:
    """Remove orphans: blobs that no version needs, of uploads that were refused or died.

    The registry goes on serving and publishing. What an interrupted purge left goes, too. The last
    line says how many there were.
    """
    count, size_bytes = 0, 0
    with (
        opened(settings) as registry,
        shown_progress() as show,
        read_references(registry.log, show) as references,
    ):
        show("looking at blobs", 0, None)
        for orphan in collect_orphans(registry, references, days * DAY_S, dry_run=dry_run):
            if not dry_run and not orphan.removed:
                continue  # somebody was faster
            count += 1
            size_bytes += orphan.size_bytes
            if as_json:
                show.say(msgspec.json.encode(orphan).decode())
            else:
                age = counted(orphan.age_s // DAY_S, "day")
                show.say(f"{orphan.digest}  {size(orphan.size_bytes)}, {age} old")
            show("looking at blobs: orphans", count, None)
    if as_json:
        total = {"orphans": count, "size_bytes": size_bytes, "removed": not dry_run}
        click.echo(msgspec.json.encode(total))
    else:
        done = "found" if dry_run else "removed"
        click.echo(f"{done} {counted(count, 'orphan')}, {size(size_bytes)}")
