"""Rebuild several read models at once: as many processes as cores, each with one pass of the log.

Folding is bound by the interpreter, so a second core halves the time; a process for each projection
would read and decode the log more often than that is worth.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any

from packledger.cli import wiring
from packledger.cli.settings import Settings
from packledger.projections.board import (
    ACCOUNTS,
    LOG_TILES,
    PACKUMENTS,
    PAGES,
    SEARCH,
    SPARSE_INDEX,
)
from packledger.projections.rebuild import Outcome, Progress

_WEIGHTS = {
    SEARCH: 9,
    PAGES: 6,
    PACKUMENTS: 5,
    SPARSE_INDEX: 5,
    LOG_TILES: 4,
    ACCOUNTS: 1,
}
"""Processor time of an event, in microseconds, as measured with a generated log."""
_POLL_S = 0.1

_slots: Any = None
"""In a child: (position reached, position wanted) of every group, shared with the parent."""


def groups_of(projections: Sequence[str], processes: int) -> list[list[str]]:
    """Deal projections to at most so many groups of about the same weight."""
    groups: list[list[str]] = [[] for _ in range(min(processes, len(projections)))]
    for name in sorted(projections, key=lambda name: -_WEIGHTS[name]):
        lightest = min(groups, key=lambda group: sum(_WEIGHTS[one] for one in group))
        lightest.append(name)
    return groups


def rebuild_in_processes(
    settings: Settings, projections: Sequence[str], *, check: bool, progress: Progress
) -> list[Outcome]:
    """Rebuild projections as `wiring.run_rebuilds` does; progress is that of the slowest process.

    Raises:
        Gap: the feed is not the whole log.
    """
    groups = groups_of(projections, os.cpu_count() or 1)
    if len(groups) == 1:
        return _rebuild_here(settings, groups[0], check, progress)
    # Not fork: SQLite connections of this process must not be there in another.
    context = multiprocessing.get_context("spawn")
    slots = context.Array("Q", 2 * len(groups))
    with ProcessPoolExecutor(len(groups), context, _remember, (slots,)) as pool:
        futures = [
            pool.submit(_rebuild_group, settings, group, check, number)
            for number, group in enumerate(groups)
        ]
        _show_until_done(futures, slots, progress)
    outcomes = [outcome for future in futures for outcome in future.result()]
    return sorted(outcomes, key=lambda outcome: projections.index(outcome.projection))


def _show_until_done(futures: list[Future[list[Outcome]]], slots: Any, progress: Progress) -> None:
    while wait(futures, timeout=_POLL_S).not_done:
        done, total = min(zip(slots[::2], slots[1::2], strict=True))
        if total:
            progress(done, total)


def _remember(slots: Any) -> None:
    global _slots
    _slots = slots


def _rebuild_group(
    settings: Settings, projections: list[str], check: bool, number: int
) -> list[Outcome]:
    def progress(done: int, total: int) -> None:
        _slots[2 * number : 2 * number + 2] = (done, total)

    return _rebuild_here(settings, projections, check, progress)


def _rebuild_here(
    settings: Settings, projections: Sequence[str], check: bool, progress: Progress
) -> list[Outcome]:
    registry = wiring.open_registry(settings, create=False)
    try:
        return wiring.run_rebuilds(settings, registry, projections, check=check, progress=progress)
    finally:
        wiring.close_registry(registry)
