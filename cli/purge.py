"""`packledger purge`: remove the bytes of a version for good."""

import time

import click
import msgspec

from packledger.cli.options import SUBJECT, Subject, common
from packledger.cli.progress import shown_progress
from packledger.cli.references import read_references
from packledger.cli.user import OPERATOR
from packledger.commands import purging
from packledger.commands.purging import Purged
from packledger.domain.purge import check_reason
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened


@click.command()
@click.argument("subject", metavar="cargo:NAME@V | npm:NAME@V", type=SUBJECT)
@click.option("--reason", required=True, help="One line; whoever asks for the file reads it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common
def purge(settings: Settings, subject: Subject, reason: str, yes: bool, as_json: bool) -> None:
    """Remove a version's file and README for good, such as a leaked secret.

    Its history stays and says why. Nobody can download it any more, in no past view either; the
    version is hidden and is never published again. Repeat it if it was interrupted. Backups are
    purged by the next `packledger backup`.
    """
    check_reason(reason)
    with opened(settings) as registry:
        target = purging.find_target(registry, *subject)
        if not yes:
            click.confirm(
                f"The file of `{target.subject}` will be gone for good. Purge it?",
                abort=True,
                err=True,
            )

        with shown_progress() as show, read_references(registry.log, show) as references:

            def wait(seconds: float) -> None:
                show("waiting: its README may be in a publish that goes on", 0, None)
                time.sleep(seconds)

            # The operator may act on everybody's packages.
            actor = registry.actor(OPERATOR, admin=True)
            done = purging.purge(registry, references, actor, target, reason, wait)
    click.echo(msgspec.json.encode(done) if as_json else _text(done))


def _text(done: Purged) -> str:
    again = " before; its bytes are gone" if done.already and not done.kept else ""
    lines = [f"purged {done.version}{again}"]
    lines += [f"  removed {digest}" for digest in done.removed]
    lines += [
        f"  kept {digest}: `{other}` has the same; purge that, too"
        for digest, other in done.kept.items()
    ]
    return "\n".join(lines)
