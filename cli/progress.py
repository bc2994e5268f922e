"""Progress of long work: on a terminal alone, and gone when it is done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

Show = Callable[[str, int, int | None], None]
"""Called with what is being done, how much is done, and how much there is, if that is known."""


@contextmanager
def shown_progress() -> Iterator[Show]:
    """Give a function that shows progress on the terminal, if there is one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int | None) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield show
