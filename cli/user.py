"""`packledger user`: accounts."""

import click
import msgspec

from packledger.cli.options import Commands, Data, common, read_password, taking
from packledger.commands import accounts
from packledger.commands.registry import Registry
from packledger.domain.accounts.account import ROLES
from packledger.projections.accounts.fold import ACCOUNTS
from packledger.projections.accounts.reads import AccountRow, all_accounts
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened

OPERATOR = ""
"""Commands on the data directory have no account: history shows them as the operator's."""


@click.group(cls=Commands)
def user() -> None:
    """Add, list, disable and enable accounts, and change their roles."""


@user.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="May act on everybody's packages.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--setup-code", help="The one-time code that `packledger serve` printed.")
@taking(Data.CREATED)
def add(
    settings: Settings, name: str, admin: bool, password_stdin: bool, setup_code: str | None
) -> None:
    """Create the account NAME; asks for its password."""
    if setup_code is not None and not admin:
        raise click.UsageError("--setup-code creates the first administrator; add --admin")
    password = read_password(password_stdin)
    # Before the first `serve` there may be no registry; a database is for `migrate` alone.
    with opened(settings, create=not settings.postgres.url) as registry:
        actor = registry.actor(OPERATOR)
        if setup_code is not None:
            accounts.claim_setup(registry, actor, setup_code, name, password)
        else:
            role = "admin" if admin else "user"
            accounts.register(registry, actor, name, password, role=role)
    click.echo(f"created {'administrator' if admin else 'account'} {name}")


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@common
def list_(settings: Settings, as_json: bool) -> None:
    """List the accounts."""
    with opened(settings) as registry:
        rows = _rows(settings, registry)
    for row in rows:
        if as_json:
            click.echo(msgspec.json.encode(row))
        else:
            state = "disabled" if row.disabled else row.role
            click.echo(f"{row.name:<24} {state:<9} since {row.created}")


@user.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Even if it is the last administrator.")
@common
def disable(settings: Settings, name: str, yes: bool) -> None:
    """Refuse the account NAME and all its tokens from now on."""
    with opened(settings) as registry:
        if not yes:
            accounts.check_administrator_remains(_rows(settings, registry), name)
        accounts.disable(registry, registry.actor(OPERATOR), name)
    click.echo(f"disabled {name}")


@user.command()
@click.argument("name")
@common
def enable(settings: Settings, name: str) -> None:
    """Accept the account NAME again, with its old password; its tokens have ended."""
    with opened(settings) as registry:
        changed = accounts.enable(registry, registry.actor(OPERATOR), name)
    click.echo(f"enabled {name}" if changed else f"{name} was not disabled")


@user.command()
@click.argument("name")
@click.argument("role", metavar="admin|user", type=click.Choice(ROLES))
@click.option("--yes", is_flag=True, help="Even if it is the last administrator.")
@common
def role(settings: Settings, name: str, role: str, yes: bool) -> None:
    """Make the account NAME an administrator, or an ordinary one, from now on."""
    with opened(settings) as registry:
        if role != "admin" and not yes:
            accounts.check_administrator_remains(_rows(settings, registry), name)
        changed = accounts.set_role(registry, registry.actor(OPERATOR), name, role)
    click.echo(f"{name} is {role} now" if changed else f"{name} was {role} already")


def _rows(settings: Settings, registry: Registry) -> list[AccountRow]:
    wiring.catch_up(settings, registry)
    return all_accounts(wiring.open_reader(settings, registry.board, ACCOUNTS).db())


@user.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@common
def password(settings: Settings, name: str, password_stdin: bool) -> None:
    """Set another password for the account NAME; its tokens stay valid, its sessions end."""
    secret = read_password(password_stdin)
    with opened(settings) as registry:
        accounts.change_password(registry, registry.actor(OPERATOR), name, secret)
    click.echo(f"changed the password of {name}")
