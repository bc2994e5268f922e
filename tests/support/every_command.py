"""Every command of the command line, and words that its arguments and options take."""

from collections.abc import Iterator

import click

from packledger.cli.main import main

VALUES = {
    "subject": "cargo:demo@1.0.0",
    "moment": "1",
    "url": "https://r.example.com",
    "name": "alice",
    "account": "alice",
    "role": "user",
}


def _walk(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner, one in command.commands.items():
            yield from _walk(one, f"{name} {inner}".strip())


ALL = dict(_walk(main))
GROUPS = {name: one for name, one in ALL.items() if isinstance(one, click.Group)}
COMMANDS = {name: one for name, one in ALL.items() if not isinstance(one, click.Group)}


def needed(command: click.Command, without: str = "") -> list[str]:
    """What a command needs besides --data, except one parameter."""
    found: list[str] = []
    for one in command.params:
        if one.required and one.name != without:
            found += given(one)
    return found


def given(one: click.Parameter, value: str = "") -> list[str]:
    """A parameter with a value, by default one that it may take."""
    choices = getattr(one.type, "choices", None)
    value = value or VALUES.get(one.name or "", choices[0] if choices else "elsewhere")
    return [value] if isinstance(one, click.Argument) else [one.opts[0], value]
