"""The composition root: the only place that knows which adapters run."""

from collections.abc import Sequence
from pathlib import Path

from packledger.cli.settings import Settings
from packledger.commands.limits import Limits
from packledger.commands.registry import Registry
from packledger.domain import configuration
from packledger.domain.errors import NotFound
from packledger.domain.events import RegistryConfigured
from packledger.eventstore.blobs import BlobStore
from packledger.eventstore.credentials import Credentials
from packledger.eventstore.disk_blobs import DiskBlobs
from packledger.eventstore.log import Log
from packledger.eventstore.sqlite_store import SQLiteStore
from packledger.feeds.store_feed import StoreFeed
from packledger.projections import damage
from packledger.projections.accounts import Accounts
from packledger.projections.board import Board
from packledger.projections.generation import Generations
from packledger.projections.log_tiles import LogTiles
from packledger.projections.model_reader import ModelReader
from packledger.projections.packuments import Packuments
from packledger.projections.pages import Pages
from packledger.projections.projector import Projector
from packledger.projections.read_model import Projection
from packledger.projections.rebuild import Outcome, Progress, no_progress, rebuild_all, stamp_of
from packledger.projections.search import Search
from packledger.projections.sparse_index import SparseIndex

ALL_PROJECTIONS: dict[str, type[Projection]] = {
    kind.name: kind for kind in (SparseIndex, Packuments, Search, Accounts, Pages, LogTiles)
}


class Places:
    """Where things are in a data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.events = data / "events.sqlite"
        self.blobs = data / "blobs"
        self.read = data / "read"
        self.run = data / "run"
        self.board = self.run / "board"

    def create(self) -> None:
        """Create the directory, readable by its owner alone."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run.mkdir(exist_ok=True)


def open_registry(settings: Settings, *, create: bool) -> Registry:
    """Open the write side of a data directory. Call it after any fork.

    Raises:
        NotFound: there is no registry, and none is to be created.
    """
    places = Places(Path(settings.data))
    if not create and not places.events.exists():
        raise NotFound(
            f"there is no registry in `{places.data}`; check --data, or start one with "
            "`packledger serve`"
        )
    places.create()
    store = SQLiteStore(places.events)
    log = Log(store)
    return Registry(
        log=log,
        blobs=_open_blobs(settings, places, create=create),
        credentials=Credentials(store.credentials()),
        board=Board(places.board),
        limits=Limits(
            settings.max_crate_bytes, settings.max_unpacked_bytes, settings.max_npm_body_bytes
        ),
        public_url=settings.public_url,
        own_index_urls=_own_index_urls(log, settings.public_url),
    )


def _open_blobs(settings: Settings, places: Places, *, create: bool) -> BlobStore:
    """Open the blob store; what it needs on this machine is created in any case."""
    if not settings.s3_bucket:
        blobs = DiskBlobs(places.blobs)
        blobs.create()
        return blobs
    # Only now: boto3 takes 40 MB in every process that has it.
    from packledger.eventstore.s3_blobs import S3Blobs
    from packledger.eventstore.s3_client import Bucket

    bucket = Bucket(
        name=settings.s3_bucket,
        prefix=settings.s3_prefix,
        endpoint=settings.s3_endpoint,
        public_endpoint=settings.s3_public_endpoint,
        region=settings.s3_region,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
        ca_bundle=settings.s3_ca_bundle,
        timeout_s=settings.s3_timeout_s,
        redirect=settings.s3_redirect,
    )
    objects = S3Blobs(bucket, places.blobs / "uploads")
    if create:
        objects.create()
    return objects


def _own_index_urls(log: Log, public_url: str) -> frozenset[str]:
    """Return the index URLs that mean this registry: today's, and those it had before."""
    configured = [one for one in log.stream("registry") if isinstance(one, RegistryConfigured)]
    urls = {public_url, *(one.public_url for one in configured)}
    return frozenset(f"sparse+{url}/cargo/index/" for url in urls)


def configure(registry: Registry) -> None:
    """Record what shapes documents, if it changed, so that the log alone explains them."""
    actor = registry.actor("")
    registry.execute(
        "registry",
        "",
        lambda state, version: configuration.decide_configure(state, actor, registry.public_url),
    )


def close_registry(registry: Registry) -> None:
    """Close the files of the write side."""
    registry.log.close()
    registry.blobs.close()
    registry.board.close()


def open_reader(settings: Settings, board: Board, projection: str) -> ModelReader:
    """Open the read side of one projection."""
    kind = ALL_PROJECTIONS[projection]
    generations = Generations(Places(Path(settings.data)).read, projection)
    return ModelReader(generations, board, kind.name, kind.schema)


def open_projector(settings: Settings, registry: Registry) -> Projector:
    """Open the projector of every projection on the store's own feed."""
    projections = [kind() for kind in ALL_PROJECTIONS.values()]
    places = Places(Path(settings.data))
    return Projector(StoreFeed(registry.log), projections, places.read, registry.board)


def catch_up(settings: Settings, registry: Registry) -> None:
    """Bring the read models up to the log when no projector runs to do it."""
    if registry.board.projector_lives():
        registry.wait_for(registry.log.last_position())
        return
    projector = open_projector(settings, registry)
    try:
        projector.catch_up()
    finally:
        projector.close()


def set_damaged_aside(settings: Settings, registry: Registry) -> dict[str, str]:
    """Have nothing read from damaged read models; return the damage by projection."""
    root = Places(Path(settings.data)).read
    return damage.set_damaged_aside(root, ALL_PROJECTIONS, registry.log.last_position())


def is_stale(settings: Settings, projection: str) -> bool:
    """Return whether a projection's live generation is of another schema or renderer than ours."""
    generations = Generations(Places(Path(settings.data)).read, projection)
    return generations.live() > 0 and stamp_of(generations) != (
        ALL_PROJECTIONS[projection].schema,
        ALL_PROJECTIONS[projection].renderer,
    )


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
    feed = StoreFeed(registry.log)
    try:
        return rebuild_all(
            feed,
            [ALL_PROJECTIONS[name]() for name in projections],
            Places(Path(settings.data)).read,
            registry.board,
            check=check,
            progress=progress,
        )
    finally:
        feed.close()


def sweep_uploads(registry: Registry) -> None:
    """Remove what killed uploads left behind long ago."""
    registry.blobs.sweep_uploads()
