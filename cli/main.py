"""`packledger`: the command line."""

from typing import Any

import click

from packledger.cli import cluster
from packledger.cli.backup import backup, restore
from packledger.cli.config import config
from packledger.cli.export import export
from packledger.cli.gc import gc
from packledger.cli.history import history
from packledger.cli.log import log
from packledger.cli.options import Commands, Data, listening, taking
from packledger.cli.purge import purge
from packledger.cli.rebuild import rebuild
from packledger.cli.receipt import receipt
from packledger.cli.receipt import verify as verify_receipt
from packledger.cli.repair import repair_group
from packledger.cli.signing_key import signing_key
from packledger.cli.text import escape_streams
from packledger.cli.token import token
from packledger.cli.user import user
from packledger.cli.verify import verify
from packledger.server.data_directory import keep_private
from packledger.server.processes.first_process import leave_first_place
from packledger.server.processes.signing import sign
from packledger.server.settings.settings import Settings


class _Main(Commands):
    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command of the arguments; also what click says of them is escaped."""
        escape_streams()
        return super().main(*args, **extra)


@click.group(
    cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(package_name="packledger")
def main() -> None:
    """One private registry for Cargo crates and npm packages.

    \b
    packledger serve                           start it, http://127.0.0.1:8765
    packledger user add alice --admin          the first account
    packledger token create --user alice       a token for cargo and npm

    Whatever concerns a registry takes --data DIR (default ./packledger-data) and --config FILE and
    works on the data directory whether or not `serve` is running. PACKLEDGER_* variables are
    settings, too.
    """
    keep_private()
    leave_first_place()


@main.command()
@listening
@taking(Data.LATER)
def serve(settings: Settings) -> None:
    """Serve the registry until SIGTERM: web workers and the projector."""
    # Imported here: gunicorn costs every other command 100 ms.
    from packledger.server.processes.serve import serve as run

    run(settings)


for process in (cluster.migrate, cluster.relay, cluster.project, cluster.web):
    main.add_command(process)
main.add_command(user)
main.add_command(token)
main.add_command(rebuild)
main.add_command(history)
main.add_command(export)
main.add_command(gc)
main.add_command(purge)
main.add_command(backup)
main.add_command(restore)
main.add_command(config)
main.add_command(log)
main.add_command(sign)
main.add_command(receipt)
main.add_command(verify_receipt)
main.add_command(verify)
main.add_command(repair_group)
main.add_command(signing_key)
