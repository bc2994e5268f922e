"""The parts of `packledger verify`, each for a process of its own: Python folds on one core."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from packledger.audit.blob_references import BlobReferences
from packledger.audit.checks.blobs import BlobCheck
from packledger.audit.checks.credentials import verify_credentials, without_digest
from packledger.audit.checks.faults import Fault
from packledger.audit.checks.log import verify_log
from packledger.audit.checks.models import Replays, fault_of
from packledger.audit.checks.rules import Rules
from packledger.audit.checks.snapshots import verify_snapshots
from packledger.audit.checks.store import Checked, WatchedLog, verify_store
from packledger.audit.checks.verify import Kept, Part, signed_log, sizes_of
from packledger.audit.translog.keys import LogKeys
from packledger.commands.npm.signing import BadSigningKey, check_key
from packledger.commands.registry import Registry
from packledger.eventstore.log import Recorded
from packledger.feeds.progress import Progress
from packledger.projections.catalogue import row_of
from packledger.projections.generation import Generations
from packledger.projections.log_tiles.fold import LOG_TILES
from packledger.projections.model_file import open_live
from packledger.server.settings.settings import Settings
from packledger.server.stores import places_of
from packledger.server.wiring import opened

CORES = os.cpu_count() or 1


class Looked(msgspec.Struct, frozen=True):
    """How to check the log. since: what lies before is believed; tiles: they may be looked at.

    admins: whom an embedding program vouches for; kept: what others remember of the log.
    """

    since: int
    tiles: bool
    admins: Sequence[str]
    kept: Kept


def check_log(settings: Settings, looked: Looked, names: Sequence[str], progress: Progress) -> Part:
    """Check the event store, and with its tiles what was signed; compare read models on the way."""
    since, part, checked = looked.since, Part(), Checked(looked.since)
    rules = Rules(looked.admins)
    with (
        part.guarded(),
        opened(settings) as registry,
        _replays(settings, names) as replays,
        ThreadPoolExecutor(1, thread_name_prefix="store") as pool,
    ):
        damage = pool.submit(registry.log.damage)  # SQLite looks while Python folds
        if looked.tiles:
            with part.guarded():
                # The event store's own errors are refusals already: what is left are the tiles'.
                try:
                    follow = [replays.follow, *([] if since else [rules.follow])]
                    checked = _check_tiles(settings, registry, looked, part, follow, progress)
                except (sqlite3.DatabaseError, ValueError, TypeError) as error:
                    part.add([fault_of(LOG_TILES, f"cannot be read: {error}")])
        part.add(verify_store(registry.log, since, checked, damage.result, progress))
        part.add(replays.faults(registry.log, progress))
        if not since:  # they are about the whole history
            part.add(rules.faults(registry.log, progress))
            part.add(verify_credentials(rules, registry.credentials, registry.log))
            part.notes += [*rules.notes(), *without_digest(rules)]
        part.add(verify_snapshots(registry.log))
        part.add(_signing_key(registry))
    return part


def _signing_key(registry: Registry) -> Iterator[Fault]:
    try:
        check_key(registry)
    except BadSigningKey as error:
        yield Fault(error.sentence, "npm: nothing is published", "packledger signing-key rotate")


def _check_tiles(
    settings: Settings,
    registry: Registry,
    looked: Looked,
    part: Part,
    followers: Sequence[Callable[[Sequence[Recorded]], None]],
    progress: Progress,
) -> Checked:
    """Return how far the event store itself was checked, too."""
    keys, since = LogKeys(places_of(settings).data), looked.since
    signed = signed_log(registry.checkpoints, keys, looked.kept, part)
    generations = Generations(places_of(settings).read, LOG_TILES)
    with closing(open_live(generations.model(generations.live()))) as db:
        db.execute("BEGIN")
        watched = WatchedLog(registry.log, since, db, sizes_of(signed), followers)
        part.add(verify_log(watched, db, signed, since + 1, progress))
    part.add(watched.faults)
    return watched.checked


def check_models(settings: Settings, names: Sequence[str], progress: Progress) -> Part:
    """Compare read models with a replay."""
    part = Part()
    with part.guarded(), opened(settings) as registry, _replays(settings, names) as replays:
        part.add(replays.faults(registry.log, progress))
    return part


@contextmanager
def _replays(settings: Settings, names: Sequence[str]) -> Iterator[Replays]:
    places = places_of(settings)
    models = [row_of(name).kind() for name in names]
    with (
        tempfile.TemporaryDirectory(prefix="verify-", dir=places.run) as scratch,
        closing(Replays(models, places.read, Path(scratch))) as replays,
    ):
        yield replays


def check_blobs(settings: Settings, since: int, progress: Progress) -> Part:
    """Read every blob that events behind a position name; of a damaged log, those before that."""
    part = Part()
    with (
        part.guarded(),
        opened(settings) as registry,
        closing(BlobReferences(registry.log)) as references,
    ):
        references.position = since
        with part.guarded():
            references.catch_up()
        check = BlobCheck(references, registry.blobs)
        part.add(check.run(progress))
        if since == 0 and not part.faults:
            check.count_orphans()
        part.blobs, part.orphans = check.checked, check.orphans
    return part
