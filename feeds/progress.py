"""How long work says how far it is, to whoever shows it."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (how much is done, how much there is): events, if nothing else is said."""
NamedProgress = Callable[[str, int, int], None]
"""Called with (what is being done, how much of it, how much there is)."""


def no_progress(done: int, total: int) -> None:
    """Show nothing."""
