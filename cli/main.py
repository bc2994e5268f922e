"""`packledger`: the command line."""

from typing import Any

import click

from packledger.cli.backup import backup
from packledger.cli.config import config
from packledger.cli.export import export
from packledger.cli.gc import gc
from packledger.cli.history import history
from packledger.cli.log import log
from packledger.cli.migrate import migrate
from packledger.cli.options import Commands
from packledger.cli.project import project
from packledger.cli.purge import purge
from packledger.cli.rebuild import rebuild
from packledger.cli.receipt import receipt
from packledger.cli.relay import relay
from packledger.cli.repair import repair_group
from packledger.cli.restore import restore
from packledger.cli.serve import serve
from packledger.cli.sign import sign
from packledger.cli.signing_key import signing_key
from packledger.cli.text import escape_streams
from packledger.cli.token import token
from packledger.cli.user import user
from packledger.cli.verify import verify
from packledger.cli.verify_receipt import verify_receipt
from packledger.cli.web import web
from packledger.server.data_directory import keep_private
from packledger.server.processes.first_process import leave_first_place


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


for command in (
    *(serve, migrate, relay, project, web, user, token),
    *(rebuild, history, export, gc, purge, backup, restore),
    *(config, log, sign, receipt, verify_receipt, verify, repair_group, signing_key),
):
    main.add_command(command)
