"""The one process that signs the log: a child of `serve`, and `packledger sign` in a cluster."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import click

from packledger.audit.checkpoint import origin_of
from packledger.audit.cosigners import Cosigners
from packledger.audit.log_keys import LogKeys
from packledger.audit.signer import Signer
from packledger.audit.verify import size_of_note
from packledger.audit.witness import parse_witness
from packledger.cli import logs, wiring
from packledger.cli.data_directory import enter
from packledger.cli.options import Data, taking
from packledger.cli.settings import Settings
from packledger.cli.stores import open_store, places_of
from packledger.cli.supervisor import Child, StopAsked
from packledger.domain.errors import Conflict, NotFound, Unavailable
from packledger.eventstore.checkpoints import Checkpoints
from packledger.eventstore.log import Log
from packledger.projections.board import LOG_TILES, Board
from packledger.projections.model_reader import ModelReader


def signing(settings: Settings, begin: Callable[[], None]) -> list[Child]:
    """Return the process that signs; none in a cluster, where it is a service of its own."""

    def sign_log() -> None:
        begin()
        _sign(settings)

    return [] if settings.database else [Child("signer", sign_log)]


def _sign(settings: Settings) -> None:
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
        (places.run / "sign.lock").open("w") as lock,
        closing(Board(places.board)) as board,
        closing(Log(store)) as log,
        closing(Cosigners([parse_witness(one) for one in settings.witnesses])) as cosigners,
    ):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"another process signs the log of `{places.data}` already; stop it first"
            ) from error
        keys = LogKeys(places.data)
        keys.create(origin_of(settings.public_url))
        tiles = wiring.open_reader(settings, board, LOG_TILES)
        checkpoints = Checkpoints(store.credentials())
        yield Signer(keys, checkpoints, tiles.db, log.last_position, cosigners), tiles


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


@click.command()
@taking(Data.LATER)
def sign(settings: Settings) -> None:
    """Sign the transparency log until SIGTERM: once in a cluster, beside a `project`.

    `serve` does it by itself where `database` is not set.
    """
    logs.configure(settings.log_level)
    enter(settings, creates=bool(settings.database))
    _sign(settings)
