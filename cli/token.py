"""`packledger token`: what clients log in with."""

import click
import msgspec

from packledger.cli.options import Commands, common
from packledger.cli.text import on_one_line
from packledger.commands import tokens
from packledger.commands.tokens import TokenWish
from packledger.domain.accounts.permissions import OPERATOR, SCOPES
from packledger.domain.errors import NotFound
from packledger.projections.accounts.fold import ACCOUNTS
from packledger.projections.accounts.reads import token_by_id, tokens_of
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened


@click.group(cls=Commands)
def token() -> None:
    """Create, list and revoke tokens."""


@token.command()
@click.option("--user", "account", required=True, help="The account it acts for.")
@click.option("--name", "label", default="", show_default=False, help="What it is for.")
@click.option("--read-only", is_flag=True, help="May not change anything.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="May change only this; may be repeated.",
)
@click.option(
    "--package",
    "packages",
    multiple=True,
    help="Only for: NAME, npm:NAME or cargo:N*; may be repeated.",
)
@click.option(
    "--cidr", multiple=True, help="Only from: 192.0.2.0/24 or 2001:db8::/32; may be repeated."
)
@click.option("--expires", type=click.IntRange(1, 3650), help="Days until it is refused.")
@common
def create(  # noqa: PLR0913, PLR0917 - one for each option
    settings: Settings,
    account: str,
    label: str,
    read_only: bool,
    scopes: tuple[str, ...],
    packages: tuple[str, ...],
    cidr: tuple[str, ...],
    expires: int | None,
) -> None:
    """Print a new token; it is shown only this once."""
    with opened(settings) as registry:
        wish = TokenWish(
            label=label,
            read_only=read_only,
            scopes=scopes,
            packages=packages,
            expires_days=expires,
            cidr=cidr,
        )
        caller = registry.caller(OPERATOR)
        secret, _ = tokens.issue_token(registry, caller, account, wish)
    click.echo(secret)


@token.command("list")
@click.option("--user", "account", required=True, help="The account.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@common
def list_(settings: Settings, account: str, as_json: bool) -> None:
    """List an account's tokens, without their secrets."""
    with opened(settings) as registry:
        wiring.catch_up(settings, registry)
        rows = tokens_of(wiring.open_reader(settings, registry.board, ACCOUNTS).db(), account)
    for row in rows:
        if as_json:
            click.echo(msgspec.json.encode(row))
            continue
        limits = ", ".join(
            [
                *(["read-only"] if row.read_only else []),
                *row.scopes,
                *row.packages,
                *(f"from {one}" for one in row.cidr),
                f"expires {row.expires}" if row.expires else "never expires",
            ]
        )
        line = f"{row.token_id}  {row.label or '-':<20} since {row.created}  {limits}"
        click.echo(on_one_line(line))


@token.command()
@click.argument("token_id", metavar="ID")
@common
def revoke(settings: Settings, token_id: str) -> None:
    """Refuse the token with this ID (see `token list`) from now on."""
    with opened(settings) as registry:
        wiring.catch_up(settings, registry)
        row = token_by_id(wiring.open_reader(settings, registry.board, ACCOUNTS).db(), token_id)
        if row is None:
            raise NotFound(f"there is no token `{token_id}`; `packledger token list` shows the ids")
        caller = registry.caller(OPERATOR)
        refused = tokens.revoke_token(registry, caller, row.identity())
    if not refused:
        click.echo("recorded, but no projector runs: it is refused once `serve` is up", err=True)
    click.echo(f"revoked {token_id} of {row.account}")
