"""`packledger config`: what is set, and the documentation of what can be."""

from typing import get_args, get_type_hints

import click
import msgspec

from packledger.cli.options import Commands, Data, taking
from packledger.server.settings.settings import Settings
from packledger.server.settings.words import PREFIX, SECRET

_INTRODUCTION = """# Configuration

Made by `packledger config docs` from the settings' definition.

Settings come from one TOML file (`--config FILE`), then the environment, then flags; the later
wins. An unknown key is an error that suggests the nearest. `packledger config check` prints what is
in force, passwords hidden.

```toml packledger.toml
# packledger.toml
data = "/var/lib/packledger"
listen = ["http://127.0.0.1:8765"]
public_url = "https://registry.example.com"
```

| key | environment | default | |
|---|---|---|---|
"""


@click.group(cls=Commands)
def config() -> None:
    """Check the settings, or print their documentation."""


@config.command()
@taking(Data.LATER)
def check(settings: Settings) -> None:
    """Print the settings in force, one a line as in the file; exit 2 if they cannot be used.

    Passwords are hidden.
    """
    for key in Settings.__struct_fields__:
        value = getattr(settings, key)
        click.echo(f"{key} = {_toml('(hidden)' if value and key in SECRET else value)}")


@config.command()
def docs() -> None:
    """Print docs/configuration.md."""
    click.echo(documentation(), nl=False)


def documentation() -> str:
    """Return docs/configuration.md."""
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(Settings):
        about = get_args(hints[field.name])[1].description
        default = f"`{_toml(field.default)}`" if field.default != "" else ""
        rows.append(f"| `{field.name}` | `{PREFIX}{field.name.upper()}` | {default} | {about} |\n")
    return _INTRODUCTION + "".join(rows)


def _toml(value: object) -> str:
    """Return a value as TOML writes it; JSON's texts, numbers, booleans and lists are TOML."""
    return msgspec.json.encode(value).decode()
