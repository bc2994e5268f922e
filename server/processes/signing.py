"""The one process that signs the log: a child of `serve`, and `packledger sign` in a cluster."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from packledger.audit.checks.verify import size_of_note
from packledger.audit.translog.checkpoint import origin_of
from packledger.audit.translog.cosigners import Cosigners
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.served_tiles import ServedCheckpoints, ServedLog
from packledger.audit.translog.signer import OwnTiles, Signer
from packledger.audit.translog.witness import parse_witness
from packledger.domain.errors import Conflict, NotFound, Unavailable
from packledger.eventstore.checkpoints import Checkpoints
from packledger.eventstore.log import Log
from packledger.projections.board import Board
from packledger.projections.log_tiles.fold import LOG_TILES
from packledger.projections.model_reader import ModelReader
from packledger.server import wiring
from packledger.server.processes.supervisor import Child, StopAsked
from packledger.server.settings.settings import Settings
from packledger.server.stores import open_store, places_of


def signing(settings: Settings, begin: Callable[[], None]) -> list[Child]:
    """Return the process that signs; none where it is a service of its own."""

    def sign_log() -> None:
        begin()
        sign_own(settings)

    return [] if settings.postgres.url or settings.translog.vkey else [Child("signer", sign_log)]


def sign_own(settings: Settings) -> None:
    """Sign the log of this node until SIGTERM."""
    stop = StopAsked()
    with opened_signer(settings) as (signer, tiles):
        signer.run(stop, tiles.state)


@contextmanager
def opened_signer(settings: Settings) -> Iterator[tuple[Signer, ModelReader]]:
    """Give the signer of a node, and the tiles that it signs; the first key is made.

    Raises:
        Unavailable: another process of this node signs.
    """
    places = places_of(settings)
    store = open_store(settings, create=False)
    with (
        held_signing(places.run / "sign.lock", places.data),
        closing(Board(places.board)) as board,
        closing(Log(store)) as log,
        closing(_cosigners(settings)) as cosigners,
    ):
        keys = LogKeys(places.data)
        keys.create(origin_of(settings.public_url))
        tiles = wiring.open_reader(settings, board, LOG_TILES)
        checkpoints = Checkpoints(store.credentials())
        yield Signer(keys, checkpoints, OwnTiles(tiles.db), log.last_position, cosigners), tiles


@contextmanager
def held_signing(path: Path, what: Path) -> Iterator[None]:
    """Be the only process that signs with the keys of a directory.

    Raises:
        Unavailable: another one does.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"another process signs the log of `{what}` already; stop it first"
            ) from error
        yield


def _cosigners(settings: Settings) -> Cosigners:
    return Cosigners([parse_witness(one) for one in settings.translog.witnesses])


def check_nothing_lost(settings: Settings) -> None:
    """Refuse to serve a log that has fewer events than were signed.

    What was published since would be gone as if it had never been, and others take its positions.

    Raises:
        Conflict: the event store lost events.
    """
    try:
        store = open_store(settings, create=False)
    except NotFound:
        return
    with closing(Log(store)) as log:
        row = Checkpoints(store.credentials()).read()
        size = max(map(size_of_note, (row.signed, LogKeys(places_of(settings).data).remembered())))
        last = log.last_position()
    if last < size:
        raise Conflict(
            f"the event store has {last} events, but {size} were signed: it lost some, or was "
            "restored from an older backup. Restore a newer one; if there is none, run "
            "`packledger log restart`, which begins another history, and tell the auditors"
        )


def sign_served(settings: Settings, log: ServedLog, keys_folder: Path, origin: str) -> None:
    """Sign the log of another machine, of which nothing is believed but what continues ours."""
    stop = StopAsked()
    keys_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        held_signing(keys_folder / "sign.lock", keys_folder),
        closing(_cosigners(settings)) as cosigners,
    ):
        keys = LogKeys(keys_folder)
        keys.create(origin)
        print(f"signing as {keys.all()[0].verifier}", flush=True)
        checkpoints = ServedCheckpoints(log, lambda: [str(one.verifier) for one in keys.all()])
        Signer(keys, checkpoints, log, log.size, cosigners).run(stop, log.size_seen)
