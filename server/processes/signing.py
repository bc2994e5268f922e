"""The one process that signs the log: a child of `serve`, and `packledger sign` in a cluster."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from packledger.audit.checks.verify import size_of_note
from packledger.audit.translog.checkpoint import origin_of
from packledger.audit.translog.cosigners import Cosigners
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.served_tiles import ServedCheckpoints, ServedLog
from packledger.audit.translog.signer import OwnTiles, Signer
from packledger.audit.translog.witness import parse_witness
from packledger.cli.options import Data, taking
from packledger.domain.errors import Conflict, NotFound, Unavailable
from packledger.eventstore.checkpoints import Checkpoints
from packledger.eventstore.log import Log
from packledger.projections.board import LOG_TILES, Board
from packledger.projections.model_reader import ModelReader
from packledger.server import logs, wiring
from packledger.server.data_directory import enter
from packledger.server.processes.supervisor import Child, StopAsked
from packledger.server.settings.settings import TOKEN, Settings
from packledger.server.stores import open_store, places_of


def signing(settings: Settings, begin: Callable[[], None]) -> list[Child]:
    """Return the process that signs; none where it is a service of its own."""

    def sign_log() -> None:
        begin()
        _sign(settings)

    return [] if settings.database or settings.log_vkey else [Child("signer", sign_log)]


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
        held_signing(places.run / "sign.lock", places.data),
        closing(Board(places.board)) as board,
        closing(Log(store)) as log,
        closing(Cosigners([parse_witness(one) for one in settings.witnesses])) as cosigners,
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
@click.option(
    "--url", default="", show_default=False, help="Of the registry, if it is on another machine."
)
@click.option(
    "--key",
    "keys_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --url: the directory of `log.key` and `log.signed`, made if need be.",
)
@click.option(
    "--token",
    envvar=TOKEN,
    default="",
    show_default=False,
    help="Of a private registry, with --url.",
)
@taking(Data.LATER)
def sign(settings: Settings, url: str, keys_folder: Path | None, token: str) -> None:
    """Sign the transparency log until SIGTERM: once in a cluster, beside a `project`.

    With --url the key may be on another machine: the registry's `log_vkey` is what this prints.
    `serve` signs by itself where neither `database` nor `log_vkey` is set.
    """
    logs.configure(settings.log_level)
    if bool(url) is not bool(keys_folder):
        raise click.UsageError("--url and --key go together")
    if keys_folder is not None:
        _sign_served(settings, ServedLog(url, token), keys_folder, origin_of(url.rstrip("/")))
        return
    if settings.log_vkey:
        raise Conflict(
            "`log_vkey` is set: the log is signed elsewhere, by `packledger sign --url URL --key "
            "DIR`"
        )
    enter(settings, creates=bool(settings.database))
    _sign(settings)


def _sign_served(settings: Settings, log: ServedLog, keys_folder: Path, origin: str) -> None:
    """Sign the log of another machine, of which nothing is believed but what continues ours."""
    stop = StopAsked()
    keys_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        held_signing(keys_folder / "sign.lock", keys_folder),
        closing(Cosigners([parse_witness(one) for one in settings.witnesses])) as cosigners,
    ):
        keys = LogKeys(keys_folder)
        keys.create(origin)
        click.echo(f"signing as {keys.all()[0].verifier}")
        checkpoints = ServedCheckpoints(log, lambda: [str(one.verifier) for one in keys.all()])
        Signer(keys, checkpoints, log, log.size, cosigners).run(stop, log.size_seen)
