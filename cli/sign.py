"""`packledger sign`: the one process that signs the log, where it is not a child of `serve`."""

from pathlib import Path

import click

from packledger.audit.translog.checkpoint import origin_of
from packledger.audit.translog.served_tiles import ServedLog
from packledger.cli.options import Data, taking
from packledger.domain.errors import Conflict
from packledger.server import logs
from packledger.server.data_directory import enter
from packledger.server.processes.signing import sign_own, sign_served
from packledger.server.settings.keys import TOKEN
from packledger.server.settings.settings import Settings


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
        sign_served(settings, ServedLog(url, token), keys_folder, origin_of(url.rstrip("/")))
        return
    if settings.translog.vkey:
        raise Conflict(
            "`log_vkey` is set: the log is signed elsewhere, by `packledger sign --url URL --key "
            "DIR`"
        )
    enter(settings, creates=bool(settings.postgres.url))
    sign_own(settings)
