"""`packledger verify`: is everything as it was written, and if not, what mends it."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from packledger.audit.checks.faults import RESTORE
from packledger.audit.checks.models import fault_of, look_at
from packledger.audit.checks.verify import Kept, Part, Report
from packledger.audit.translog.notes import VerifierKey
from packledger.cli.options import VKEY, common
from packledger.cli.progress import bars
from packledger.cli.rebuild import rebuild_shown
from packledger.domain.errors import Unavailable
from packledger.eventstore.mapper import UnknownEvent
from packledger.projections import catalogue
from packledger.projections.catalogue import row_of
from packledger.projections.generation import Generations
from packledger.projections.log_tiles.fold import LOG_TILES
from packledger.server import wiring
from packledger.server.processes.rebuilding import groups_of, in_processes
from packledger.server.processes.verifying import (
    CORES,
    Looked,
    check_blobs,
    check_log,
    check_models,
)
from packledger.server.settings.settings import Settings
from packledger.server.stores import places_of
from packledger.server.wiring import opened

MANY_EVENTS = 20_000
"""From here on, starting processes costs less than they save."""
_WEIGHT_OF_LOG = 13
"""As of a rebuild; beside the tiles the event store is checked, and the rules are replayed."""
Task = tuple[Callable[..., Part], tuple[Any, ...]]


@click.command()
@click.option(
    "--since",
    metavar="POS",
    type=click.IntRange(0),
    default=0,
    help="Believe what lies up to this position; read models are left out then.",
)
@click.option("--no-blobs", is_flag=True, help="Leave the blobs out: they take the longest.")
@click.option(
    "--admin",
    "admins",
    multiple=True,
    metavar="NAME",
    help="An administrator whom only an embedding program knows; may be repeated.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint that was kept elsewhere: the log must continue it; may be repeated.",
)
@click.option("--key", type=VKEY, help="What it is signed with, if not with today's key.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common
def verify(  # noqa: PLR0913, PLR0917 - one for each option
    settings: Settings,
    since: int,
    no_blobs: bool,
    admins: tuple[str, ...],
    checkpoints: tuple[Path, ...],
    key: VerifierKey | None,
    as_json: bool,
) -> None:
    """Check the log, its rules and signed tiles, blobs and read models; `serve` may run.

    Prints each fault with what it affects and what mends it; exits 1 if there is one. Needs as much
    space in the data directory as the read models take.
    """
    began_s = time.monotonic()
    if since and checkpoints:
        raise click.UsageError("--checkpoint compares the whole log: leave out --since")
    notes = {f"the kept checkpoint `{one}`": one.read_text(errors="replace") for one in checkpoints}
    kept = Kept(notes, key, wiring.log_key(settings), wiring.witness_keys(settings))
    report = verify_all(settings, since, blobs=not no_blobs, admins=admins, kept=kept)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _show(report, time.monotonic() - began_s)
    if report.faults:
        sys.exit(1)


def verify_all(
    settings: Settings,
    since: int,
    *,
    blobs: bool,
    admins: Sequence[str] = (),
    kept: Kept | None = None,
) -> Report:
    """Check everything and return what was found; progress is shown on a terminal.

    admins: whom an embedding program vouches for; kept: what others remember of the log.
    """
    kept = kept or Kept(own=wiring.log_key(settings), witnesses=wiring.witness_keys(settings))
    first, sound, position = _look(settings)
    models = [] if since else [name for name in sound if name != LOG_TILES]
    tasks: list[Task] = []
    weights = {**catalogue.weights(), LOG_TILES: _WEIGHT_OF_LOG}
    for group in groups_of([LOG_TILES, *models], CORES, weights):
        names = [name for name in group if name != LOG_TILES]
        if LOG_TILES in group:  # which stands for the log itself
            looked = Looked(since, LOG_TILES in sound, admins, kept)
            tasks.append((check_log, (settings, looked, names)))
        else:
            tasks.append((check_models, (settings, names)))
    if blobs:
        tasks.append((check_blobs, (settings, since)))
    parts = [first, *_run(tasks, position)]
    parts.extend(_files(settings, name) for name in models)
    return Report(
        since=since,
        position=position,
        blobs=parts[len(tasks)].blobs if blobs else None,
        orphans=parts[len(tasks)].orphans if blobs and not since else None,
        read_models=models,
        # What keeps several parts from looking at anything is one fault.
        faults=list(dict.fromkeys(fault for part in parts for fault in part.faults)),
        more=sum(part.more for part in parts),
        notes=[note for part in parts for note in part.notes],
    )


def _look(settings: Settings) -> tuple[Part, list[str], int]:
    """Look at the read models' files; if all are sound bring them up to the log, as `serve` does.

    Returns what is wrong, the read models that may be compared, and the log's last position.
    """
    part, names, position = Part(), wiring.projections_of(settings), 0
    with part.guarded(), opened(settings) as registry:
        position = registry.log.last_position()
        if not any(Generations(places_of(settings).read, name).live() for name in names):
            click.echo("no read model was built yet, as after a restore: building them", err=True)
            with suppress(Unavailable, UnknownEvent):
                rebuild_shown(settings, names)
        kinds = [row_of(name).kind() for name in names]
        part.add(look_at(places_of(settings).read, kinds, position))
        if not part.faults:
            with suppress(Unavailable, UnknownEvent):  # another part describes a damaged log
                wiring.catch_up(settings, registry)
            return part, list(names), position
    wrong = {fault.mend.split()[-1] for fault in part.faults}
    if any(fault.mend == RESTORE for fault in part.faults):
        wrong.update(set(names) - {LOG_TILES})
    return part, [name for name in names if name not in wrong], position


def _files(settings: Settings, name: str) -> Part:
    """Compare the files beside a read model with what the app serves."""
    part = Part()
    wrong = wiring.wrong_files_of(settings, name)
    if wrong:
        shown = ", ".join(wrong[:5])
        part.add([fault_of(name, f"has {len(wrong)} wrong files, such as {shown}")])
    return part


def _run(tasks: list[Task], events: int) -> list[Part]:
    names = {check_log: "the log", check_models: "read models", check_blobs: "blobs"}
    with bars() as bar:
        shown = [bar.add_task(names[task], total=None) for task, _ in tasks]

        def show(number: int, done: int, total: int) -> None:
            bar.update(shown[number], completed=done, total=total)

        if events >= MANY_EVENTS:
            return in_processes(tasks, show)
        return [
            function(*arguments, partial(show, number))
            for number, (function, arguments) in enumerate(tasks)
        ]


def _show(report: Report, took_s: float) -> None:
    for fault in report.faults:
        click.echo(f"{fault.what}\n  affects: {fault.affects}\n  mend it: {fault.mend}")
    if report.more:
        click.echo(f"and {report.more} faults more")
    for note in report.notes:
        click.echo(f"note: {note}")
    looked = [f"events {report.since + 1} to {report.position}"]
    if report.blobs is not None:
        orphans = f", {report.orphans} that nothing names" if report.orphans else ""
        looked.append(f"{report.blobs} blobs{orphans}")
    if report.read_models:
        looked.append(f"{len(report.read_models)} read models")
    click.echo(f"looked at {'; '.join(looked)}; took {took_s:.1f} s")
    if report.since:
        click.echo(f"not looked at: events 1 to {report.since}, what they name, and read models")
    count = len(report.faults) + report.more
    click.echo(f"{count} faults" if count else f"no faults; go on with --since {report.position}")
