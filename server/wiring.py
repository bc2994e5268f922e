"""The composition root: with `stores`, the only place that knows which adapters run."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from operator import attrgetter
from pathlib import Path

import msgspec

from packledger.audit.translog.notes import VerifierKey, parse_verifier
from packledger.audit.translog.witness import parse_witness
from packledger.commands.npm import signing
from packledger.commands.registry import Registry
from packledger.domain import configuration
from packledger.domain.errors import Unavailable
from packledger.domain.streams import REGISTRY
from packledger.eventstore.blobs.disk import DiskBlobs
from packledger.eventstore.blobs.store import BlobStore
from packledger.eventstore.checkpoints import Checkpoints
from packledger.eventstore.credentials import Credentials
from packledger.eventstore.log import Log
from packledger.eventstore.snapshot_key import snapshot_key
from packledger.feeds.progress import Progress, no_progress
from packledger.projections import catalogue, damage
from packledger.projections.board import ABSENT, Board
from packledger.projections.catalogue import Row, on_every_node, row_of
from packledger.projections.generation import Generations
from packledger.projections.model_reader import ModelReader
from packledger.projections.projection import Projection
from packledger.projections.projector import Projector
from packledger.projections.rebuild import (
    Outcome,
    is_built,
    rebuild_all,
    stamp_of,
)
from packledger.projections.sparse_index.form import index_config
from packledger.projections.static_tree.check import wrong_files
from packledger.projections.static_tree.files import StaticFiles
from packledger.projections.static_tree.fold import STATIC_TREE, StaticTree
from packledger.projections.static_tree.sources import sources_of
from packledger.projections.static_tree.writer import StaticWriter
from packledger.server.settings.settings import Settings
from packledger.server.stores import Places, open_store, opened_feed, places_of


def projections_of(settings: Settings, awaited: bool | None = None) -> tuple[str, ...]:
    """Return the names of the projections that a node has.

    awaited: of those alone that publishes wait for, or of the others.
    """
    return tuple(
        row.name
        for row in catalogue.rows()
        if _has(settings, row) and awaited in {None, row.awaited}
    )


def _has(settings: Settings, row: Row) -> bool:
    return not row.setting or bool(attrgetter(row.setting)(settings))


def open_registry(settings: Settings, *, create: bool) -> Registry:
    """Open the write side: the stores, and the board of this node. Call it after any fork.

    Raises:
        NotFound: there is no registry, and none is to be created.
    """
    places = places_of(settings)
    store = open_store(settings, create=create)
    table = store.credentials()
    return Registry(
        log=Log(store, snapshot_key=snapshot_key(places.snapshot_key)),
        blobs=open_blobs(settings, places, create=create),
        credentials=Credentials(table),
        checkpoints=Checkpoints(table),
        reactions=store.reactions(),
        board=Board(places.board),
        limits=settings.limits,
        public_url=settings.public_url,
    )


def open_blobs(settings: Settings, places: Places, *, create: bool) -> BlobStore:
    """Open the blob store; what it needs on this machine is created in any case."""
    if not settings.s3.bucket:
        blobs = DiskBlobs(places.blobs)
        blobs.create()
        return blobs
    # Only now: boto3 takes 40 MB in every process that has it.
    from packledger.eventstore.blobs.s3 import S3Blobs

    objects = S3Blobs(settings.s3, places.blobs / "uploads")
    if create:
        objects.create()
    return objects


def configure(registry: Registry) -> None:
    """Record what shapes documents, if it changed, so that the log alone explains them."""
    actor = registry.actor("")
    registry.execute(
        REGISTRY,
        "",
        lambda state, version: configuration.decide_configure(state, actor, registry.public_url),
    )
    signing.ensure_key(registry)


def close_registry(registry: Registry) -> None:
    """Close the files of the write side."""
    registry.log.close()
    registry.blobs.close()
    registry.board.close()


def open_reader(settings: Settings, board: Board, projection: str) -> ModelReader:
    """Open the read side of one projection."""
    generations = Generations(Places(Path(settings.data)).read, projection)
    return ModelReader(generations, board, projection, row_of(projection).kind.schema)


@contextmanager
def opened_projector(settings: Settings, awaited: bool | None = None) -> Iterator[Projector]:
    """Give the projector of every projection; one that reads Kafka needs no other store.

    awaited: see `projections_of`.
    """
    places = places_of(settings)
    with closing(Board(places.board)) as board, opened_feed(settings) as feed:
        for row in catalogue.rows():
            if not _has(settings, row):
                board.set_state(row.name, ABSENT)
        rows = map(row_of, projections_of(settings, awaited))
        # Those with a setting first: whoever waits for the others finds them on the board.
        ordered = sorted(rows, key=lambda row: not row.setting)
        projections = [_followed(settings, row) for row in ordered]
        follower = Projector(feed, projections, places.read, board, awaited=awaited is not False)
        with closing(follower) as projector:
            yield projector


def _followed(settings: Settings, row: Row) -> Projection:
    """Return a projection that follows the log; a replay of it changes nothing beside its own."""
    return StaticTree(_static_files(settings)) if row.kind is StaticTree else row.kind()


@contextmanager
def opened_static_writer(settings: Settings) -> Iterator[StaticWriter]:
    """Give the writer of the static tree. Call it after any fork."""
    places = places_of(settings)

    def generations(projection: str) -> Generations:
        return Generations(places.read, projection)

    with (
        closing(Board(places.board)) as board,
        closing(open_blobs(settings, places, create=False)) as blobs,
    ):
        yield StaticWriter(
            _static_files(settings),
            generations(STATIC_TREE),
            board,
            sources_of(lambda name: open_reader(settings, board, name), generations, blobs),
            index_config(settings.public_url, settings.access.private),
        )


def _static_files(settings: Settings) -> StaticFiles:
    return StaticFiles(Path(settings.static.tree), private=settings.access.private)


def catch_up(settings: Settings, registry: Registry) -> None:
    """Bring the read models up to the log when no projector runs to do it."""
    if registry.board.projector_lives():
        registry.wait_for(registry.log.last_position())
        return
    with opened_projector(settings) as projector:
        projector.catch_up()


def set_damaged_aside(settings: Settings) -> dict[str, str]:
    """Have nothing read from damaged read models; return the damage by projection.

    While the store cannot be reached, nobody can tell whether one of them is ahead of the log.
    """
    root = places_of(settings).read
    with closing(Log(open_store(settings, create=False))) as log:
        try:
            last_position, of_log = log.last_position(), damage.is_of_log(root, log)
        except Unavailable:
            last_position, of_log = sys.maxsize, True
    kinds = [row_of(name).kind() for name in projections_of(settings)]
    return damage.set_damaged_aside(root, kinds, last_position, of_log)


def witness_keys(settings: Settings) -> tuple[VerifierKey, ...]:
    """Return the keys of the witnesses that the settings name."""
    return tuple(parse_witness(one).key for one in settings.translog.witnesses)


def log_key(settings: Settings) -> VerifierKey | None:
    """Return the key that the log is signed with elsewhere, None if it is signed here."""
    return parse_verifier(settings.translog.vkey) if settings.translog.vkey else None


def is_stale(settings: Settings, projection: str) -> bool:
    """Return whether a projection's live generation is of another schema or renderer than ours."""
    generations = Generations(Places(Path(settings.data)).read, projection)
    kind = row_of(projection).kind
    return generations.live() > 0 and stamp_of(kind(), generations) != (kind.schema, kind.renderer)


def never_built(settings: Settings, *, awaited: bool = True) -> list[str]:
    """Return the projections whose read models were never up to date: the awaited, or others."""
    root = places_of(settings).read
    return [
        name
        for name in on_every_node()
        if row_of(name).awaited is awaited
        and not is_built(row_of(name).kind(), Generations(root, name))
    ]


def length_of_log(settings: Settings) -> int:
    """Return how many events this node can read, 0 if it cannot now."""
    with opened_feed(settings) as feed:
        try:
            return feed.last_position()
        except Unavailable:
            return 0


def run_rebuild(
    settings: Settings,
    registry: Registry,
    projection: str,
    *,
    check: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Rebuild one projection, see `run_rebuilds`."""
    return run_rebuilds(settings, registry, [projection], check=check, progress=progress)[0]


def run_rebuilds(
    settings: Settings,
    registry: Registry,
    projections: Sequence[str],
    *,
    check: bool = False,
    progress: Progress = no_progress,
) -> list[Outcome]:
    """Rebuild projections, or with `check` only compare, whether or not `serve` runs."""
    with opened_feed(settings) as feed:
        return rebuild_all(
            feed,
            [row_of(name).kind() for name in projections],
            Places(Path(settings.data)).read,
            registry.board,
            check=check,
            progress=progress,
            log_position=registry.log.last_position,
        )


def rebuild_files(settings: Settings, registry: Registry, name: str, *, check: bool) -> Outcome:
    """Rebuild a projection with files beside it, and these; with `check` only compare."""
    outcome = run_rebuild(settings, registry, name, check=check)
    if check:
        wrong = [*outcome.differences, *wrong_files_of(settings, name)]
        return msgspec.structs.replace(outcome, differences=wrong)
    assert name == STATIC_TREE, name
    with opened_static_writer(settings) as writer:
        writer.adopt()
        writer.write()
    return outcome


def wrong_files_of(settings: Settings, name: str) -> list[str]:
    """Return the paths of files beside a projection that are not as they should be."""
    if not row_of(name).kind.has_files:
        return []
    assert name == STATIC_TREE, name
    with opened_static_writer(settings) as writer:
        return wrong_files(writer)


def sweep_uploads(registry: Registry) -> None:
    """Remove what killed uploads left behind long ago."""
    registry.blobs.sweep_uploads()


@contextmanager
def opened(settings: Settings, *, create: bool = False) -> Iterator[Registry]:
    """Give the write side of a data directory and close it afterwards."""
    registry = open_registry(settings, create=create)
    try:
        yield registry
    finally:
        close_registry(registry)
