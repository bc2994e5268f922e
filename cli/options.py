"""What every command takes, and how refusals become exit codes: 1 found a problem, 2 bad usage."""

import functools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from packledger.audit.signed_note import BadNote, VerifierKey, parse_verifier
from packledger.cli import wiring
from packledger.cli.settings import BadSettings, Settings, from_environment
from packledger.commands.registry import Registry
from packledger.domain.errors import RegistryError
from packledger.eventstore.blobs import disk_errors_as_refusals

Command = Callable[..., Any]


def common(command: Command) -> Command:
    """Add --config and --data, and hand the command its settings as the first argument."""

    @click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Settings file (TOML).",
    )
    @click.option("--data", type=click.Path(file_okay=False), help="Data directory.")
    @functools.wraps(command)
    def with_settings(config: Path | None, data: str | None, **values: Any) -> Any:
        flags = {key: values.pop(key) or None for key in list(values) if key in _FLAGS}
        flags["data"] = data
        try:
            settings = from_environment(config, flags)
        except BadSettings as error:
            raise click.UsageError(str(error)) from error
        try:
            with disk_errors_as_refusals():
                return command(settings, **values)
        except RegistryError as error:
            raise click.ClickException(error.sentence) from error

    return with_settings


_FLAGS = frozenset({"listen", "workers"})
"""Options that are settings: they go into the settings, not to the command."""


@contextmanager
def opened(settings: Settings, *, create: bool = False) -> Iterator[Registry]:
    """Give the write side of a data directory and close it afterwards."""
    registry = wiring.open_registry(settings, create=create)
    try:
        yield registry
    finally:
        wiring.close_registry(registry)


Subject = tuple[str, str, str]
"""Ecosystem (`cargo` or `npm`), name and version."""


class _SubjectType(click.ParamType[Subject]):
    name = "SUBJECT"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Subject:
        match = re.fullmatch(r"(cargo|npm):(@?[^@]+)@(.+)", value)
        if match is None:
            self.fail(f"`{value}` must be cargo:NAME@VERSION or npm:NAME@VERSION", param, ctx)
        return match[1], match[2], match[3]


SUBJECT = _SubjectType()
"""A version, as `cargo:NAME@VERSION` or `npm:NAME@VERSION`."""


class _VerifierKey(click.ParamType[VerifierKey]):
    name = "VKEY"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> VerifierKey:
        try:
            return parse_verifier(value)
        except BadNote as error:
            self.fail(str(error), param, ctx)


VKEY = _VerifierKey()
"""The public half of a key, as `packledger log key` prints it."""


def read_password(from_stdin: bool) -> str:
    """Return a password: the first line of standard input, or asked for twice on a terminal."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
