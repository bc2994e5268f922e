"""`packledger backup`."""

import sys
from pathlib import Path

import click
import msgspec

from packledger.api.web.words import counted
from packledger.audit.backups.backup import Original, back_up
from packledger.audit.translog.keys import LogKeys
from packledger.cli.options import Data, taking
from packledger.cli.progress import shown_progress
from packledger.domain.errors import Conflict
from packledger.domain.times import rfc3339
from packledger.server.data_directory import enter
from packledger.server.settings.settings import Settings
from packledger.server.stores import places_of
from packledger.server.wiring import opened

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--to", required=True, type=FOLDER, help="A directory: new, or an older backup.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@taking(Data.LATER)
def backup(settings: Settings, to: Path, as_json: bool) -> None:
    """Back the registry up while it serves: the event store, every blob, the log's keys.

    What was acknowledged before is in it. Every file is compared with its digest. Into an older
    backup of the same registry only what is new is copied, and what was purged is removed; if that
    is interrupted the older backup stays whole. Keep it like the data directory: it holds password
    hashes and private keys. Exits with 1 if a blob was missing or damaged.
    """
    refuse_database(settings)
    enter(settings)
    with opened(settings) as registry, shown_progress() as show:
        places = places_of(settings)
        keys = LogKeys(places.data)
        original = Original(registry.log, places.events, registry.blobs, keys)
        done = back_up(original, to, rfc3339(registry.now()), show)
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        found = done.manifest
        click.echo(
            f"{to}: position {found.position}, {counted(found.blobs, 'blob')}, "
            f"{done.copied} of them new, {done.removed} removed"
        )
    name_missing(done.manifest.missing)


def refuse_database(settings: Settings) -> None:
    """Refuse what is only for a data directory that has everything."""
    if settings.postgres.url:
        raise Conflict(
            "the event store is in PostgreSQL and the blobs are in a bucket, which have tools of "
            "their own: `pg_dump` first, then a copy of the bucket, see docs/OPERATIONS.md"
        )


def name_missing(digests: list[str]) -> None:
    """Say which blobs a backup is without, and exit with 1 if there are any."""
    for digest in digests:
        click.echo(f"the blob {digest} was missing or damaged in the store", err=True)
    if digests:
        sys.exit(1)
