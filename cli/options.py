"""What every command takes, and how refusals become exit codes: 1 found a problem, 2 bad usage."""

import enum
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from packledger.audit.translog.notes import BadNote, VerifierKey, parse_verifier
from packledger.domain.errors import RegistryError, Unavailable
from packledger.eventstore.blobs.store import disk_errors_as_refusals
from packledger.server.data_directory import enter, name_of
from packledger.server.http.settings import DEFAULT_LISTEN
from packledger.server.settings.settings import Settings, from_environment
from packledger.server.settings.values import BadSettings

Command = Callable[..., Any]


class Commands(click.Group):
    """A group whose help shows the summary of each command whole; click's own ends with `...`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        rows = []
        for name, command in self.commands.items():
            summary = (command.help or "").partition("\n\n")[0]
            rows.append((name, " ".join(summary.split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Data(enum.Enum):
    """What a command wants of the data directory."""

    NEEDED = enum.auto()
    CREATED = enum.auto()
    LATER = enum.auto()
    """Nothing, or the command says when: it has to configure its log lines before, for example."""


def taking(data: Data) -> Callable[[Command], Command]:
    """Return what adds --config and --data, and hands a command its settings first."""

    def add(command: Command) -> Command:
        @click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Settings file (TOML).",
        )
        @click.option(
            "--data",
            "folder",
            type=click.Path(file_okay=False, readable=False),
            help="Data directory.",
            show_default=Settings().data,
        )
        @functools.wraps(command)
        def with_settings(config: Path | None, folder: str | None, **values: Any) -> Any:
            settings = _settings(config, folder, values)
            try:
                with disk_errors_as_refusals(), permissions_named():
                    if data is not Data.LATER:
                        enter(settings, creates=data is Data.CREATED)
                    return command(settings, **values)
            except RegistryError as error:
                raise click.ClickException(error.sentence) from error

        return with_settings

    return add


common = taking(Data.NEEDED)
"""What almost every command takes; where there is no registry it says so and creates nothing."""


def listening(command: Command) -> Command:
    """Add what a command that serves takes."""
    listen = click.option(
        "--listen",
        multiple=True,
        metavar="URL",
        help="http://HOST:PORT; may be repeated.",
        show_default=DEFAULT_LISTEN,
    )
    workers = click.option(
        "--workers",
        type=click.IntRange(1, 64),
        help="Web worker processes.",
        show_default=str(Settings().http.workers),
    )
    return listen(workers(command))


def _settings(config: Path | None, folder: str | None, values: dict[str, Any]) -> Settings:
    """Return the settings, and take what is one of them out of a command's options."""
    flags = {key: values.pop(key) or None for key in list(values) if key in _FLAGS}
    flags["data"] = folder
    try:
        return from_environment(config, flags)
    except BadSettings as error:
        raise click.UsageError(error.told()) from error


@contextmanager
def permissions_named() -> Iterator[None]:
    """Say which file it is, and for whom: a command of root runs as the registry's owner."""
    try:
        yield
    except PermissionError as error:
        raise Unavailable(
            f"`{error.filename}` cannot be used by {name_of(os.geteuid())}, as whom this runs: "
            f"{error.strerror}"
        ) from error


_FLAGS = frozenset({"listen", "workers"})
"""Options that are settings: they go into the settings, not to the command."""


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
