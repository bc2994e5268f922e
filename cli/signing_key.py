"""`packledger signing-key`: the key that signs npm versions."""

import click
import msgspec

from packledger.cli.options import Commands, common
from packledger.cli.user import OPERATOR
from packledger.commands.npm import signing
from packledger.domain.streams import REGISTRY
from packledger.server.settings.settings import Settings
from packledger.server.wiring import opened


@click.group("signing-key", cls=Commands)
def signing_key() -> None:
    """List and rotate the key that signs npm versions, and sign old versions."""


@signing_key.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@common
def list_(settings: Settings, as_json: bool) -> None:
    """List every key, the oldest first."""
    with opened(settings) as registry:
        state = registry.log.load(REGISTRY).state
    for keyid, key in (state.signing_keys if state else {}).items():
        if as_json:
            click.echo(
                msgspec.json.encode({"keyid": keyid, "key": key.key, "expires": key.expires})
            )
        else:
            click.echo(f"{keyid}  {f'until {key.expires}' if key.expires else 'signs now'}")


@signing_key.command()
@common
def rotate(settings: Settings) -> None:
    """Make a new key that signs from now on; what the old one signed stays valid."""
    with opened(settings) as registry:
        keyid = signing.rotate_key(registry, OPERATOR)
    click.echo(keyid)


@signing_key.command()
@common
def sign(settings: Settings) -> None:
    """Sign the versions that were published before there was a key."""
    with opened(settings) as registry:
        signing.ensure_key(registry)
        signed = signing.sign_unsigned(registry, OPERATOR)
    click.echo(f"signed {signed} version{'' if signed == 1 else 's'}")
