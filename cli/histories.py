"""`packledger history`: what the log says."""

import re

import click
import msgspec

from packledger.audit.history import history as entries
from packledger.cli.options import common, opened
from packledger.cli.settings import Settings

_SUBJECT = re.compile(r"(cargo|npm|user):.+")


@click.command()
@click.argument("subject", default="", metavar="[cargo:NAME | npm:NAME | user:NAME]")
@click.option("--since", default="", metavar="T|POS", help="From this time or position on.")
@click.option("--until", default="", metavar="T|POS", help="Up to this time or position.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@common
def history(settings: Settings, subject: str, since: str, until: str, as_json: bool) -> None:
    """Show who did what, when: everything, one package, or one account.

    A time is written as in 2026-11-21 or 2026-11-21T06:00:00Z.
    """
    if subject and not _SUBJECT.fullmatch(subject):
        raise click.UsageError(f"`{subject}` must be cargo:NAME, npm:NAME or user:NAME")
    with opened(settings) as registry:
        for entry in entries(registry.log, subject, since, until):
            if as_json:
                click.echo(msgspec.json.encode(entry))
            else:
                by = entry.by or "(operator)"
                click.echo(
                    f"{entry.position:>8}  {entry.at}  {by:<16} {entry.what:<20} "
                    f"{entry.subject} {entry.version}"
                )
