"""`packledger history`: what the log says."""

import click
import msgspec

from packledger.audit.history import Chosen, entry_of, is_known
from packledger.audit.history import history as events
from packledger.cli.options import common
from packledger.domain.errors import Invalid, NotFound
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened


@click.command()
@click.argument("subject", default="", metavar="[cargo:NAME | npm:NAME | user:NAME]")
@click.option(
    "--since",
    default="",
    show_default=False,
    metavar="T|POS",
    help="From this time or position on.",
)
@click.option(
    "--until", default="", show_default=False, metavar="T|POS", help="Up to this time or position."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@common
def history(settings: Settings, subject: str, since: str, until: str, as_json: bool) -> None:
    """Show who did what, when: everything, one package, or one account.

    A time is written as in 2026-11-21 or 2026-11-21T06:00:00Z.
    """
    try:
        chosen = Chosen(subject=subject, since=since, until=until)
    except Invalid as error:
        raise click.UsageError(error.sentence) from error
    with opened(settings) as registry:
        if not is_known(registry.log, chosen):
            raise NotFound(f"there is no `{subject}` in the history")
        for recorded in events(registry.log, chosen):
            entry = entry_of(recorded)
            if as_json:
                click.echo(msgspec.json.encode(entry))
            else:
                by = entry.by or "(operator)"
                click.echo(
                    f"{entry.position:>8}  {entry.at}  {by:<16} {entry.what:<20} "
                    f"{entry.subject} {entry.version}"
                )
