"""`packledger rebuild`: replay the log into new read models, while they are served."""

import sys
import time
from collections.abc import Sequence
from functools import partial

import click
import msgspec

from packledger.cli.options import common
from packledger.cli.progress import shown_progress
from packledger.projections import catalogue
from packledger.projections.catalogue import row_of
from packledger.projections.rebuild import Outcome
from packledger.server import wiring
from packledger.server.processes.rebuilding import rebuild_in_processes
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened

SHOWN_DIFFERENCES = 20


@click.command()
@click.argument("projections", nargs=-1, type=click.Choice([row.name for row in catalogue.rows()]))
@click.option("--check", is_flag=True, help="Only compare; exit 1 and list what differs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each projection.")
@common
def rebuild(settings: Settings, projections: tuple[str, ...], check: bool, as_json: bool) -> None:
    """Rebuild read models from the log and swap them in; all of them unless PROJECTION is given.

    The registry goes on serving. With --check nothing is swapped: each read model is rebuilt aside
    and compared document by document with the live one.
    """
    for name in set(projections) - set(wiring.projections_of(settings)):
        key = row_of(name).setting.replace(".", "_")
        raise click.ClickException(
            f"`{key}` is not set, so there is no `{name}` to rebuild; set it"
        )
    with opened(settings) as registry:  # or say here that there is none
        if check:
            wiring.catch_up(settings, registry)
    started_s = time.monotonic()
    names = list(dict.fromkeys(projections or wiring.projections_of(settings)))
    outcomes = rebuild_shown(settings, names, check)
    took_s = time.monotonic() - started_s
    for outcome in outcomes:
        if as_json:
            click.echo(msgspec.json.encode(outcome))
        else:
            _show(outcome)
    if not as_json:
        rate = max(outcome.position for outcome in outcomes) / took_s
        click.echo(f"took {took_s:.1f} s, {rate:,.0f} events/s")
    if check and any(outcome.differences for outcome in outcomes):
        sys.exit(1)


def rebuild_shown(settings: Settings, names: Sequence[str], check: bool = False) -> list[Outcome]:
    """Rebuild read models, and last those with files beside them, showing how far it is.

    Raises:
        Gap: the feed is not the whole log.
        DamagedLog, UnknownEvent, Unavailable: the log cannot be read.
    """
    projections = [name for name in names if not row_of(name).kind.has_files]
    outcomes: list[Outcome] = []
    if projections:
        with shown_progress() as show:
            progress = partial(show, "replaying the log")
            outcomes = rebuild_in_processes(settings, projections, check=check, progress=progress)
    for name in names:
        if name not in projections:  # last: its files are made from others
            with opened(settings) as registry:
                outcomes.append(wiring.rebuild_files(settings, registry, name, check=check))
    return outcomes


def _show(outcome: Outcome) -> None:
    done = "rebuilt" if outcome.swapped else "checked"
    digest = f", {outcome.rows} rows, sha256 {outcome.digest[:16]}" if outcome.digest else ""
    click.echo(f"{outcome.projection}: {done} at position {outcome.position}{digest}")
    if not outcome.differences:
        return
    was = "differed, and are mended" if outcome.swapped else "differ from a rebuild"
    click.echo(f"  {len(outcome.differences)} {was}:")
    for key in outcome.differences[:SHOWN_DIFFERENCES]:
        click.echo(f"    {key}")
    if not outcome.swapped:
        click.echo(f"  mend it with: packledger rebuild {outcome.projection}")
