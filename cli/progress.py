"""Progress of long work: on a terminal alone, and gone when it is done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from packledger.cli.text import unsafe_stderr
from packledger.server.escapes import escaped

Show = Callable[[str, int, int | None], None]
"""Called with what is being done, how much is done, and how much there is, if that is known."""


class Shown:
    """Shows progress on the terminal, if there is one, and prints lines beside it."""

    def __init__(self, bar: Progress) -> None:
        self._bar, self._task = bar, bar.add_task("", total=None)

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show how far it is, see `Show`."""
        self._bar.update(self._task, description=what, completed=done, total=total)
        if total is None:  # `update` would keep the total of what was done before
            self._bar.tasks[0].total = None

    def say(self, line: str) -> None:
        """Print a line of the result to standard output."""
        if self._bar.disable or not sys.stdout.isatty():
            click.echo(line)
        else:
            # The same terminal: the bar makes room for the line.
            self._bar.console.out(escaped(line), highlight=False)


def bars() -> Progress:
    """Return bars on standard error, if that is a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=unsafe_stderr()),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def shown_progress() -> Iterator[Shown]:
    """Give what shows progress in one bar, see `bars`."""
    with bars() as bar:
        yield Shown(bar)
