"""Rebuild several read models at once: as many processes as cores, each with one pass of the log.

Folding is bound by the interpreter, so a second core halves the time; a process for each projection
would read and decode the log more often than that is worth.
"""

import gc
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from typing import Any, TypeVar

from packledger.feeds.progress import Progress
from packledger.projections import catalogue
from packledger.projections.rebuild import Outcome
from packledger.server import wiring
from packledger.server.processes.supervisor import die_with
from packledger.server.settings.settings import Settings

_POLL_S = 0.1

Result = TypeVar("Result")

_slots: Any = None
"""In a child: (reached, wanted) of every task, shared with the parent."""


def groups_of(
    projections: Sequence[str], processes: int, weights: Mapping[str, int]
) -> list[list[str]]:
    """Deal projections to at most so many groups, so that the heaviest is light: at most 4/3 of it.

    To as few groups as that takes. Source: Graham, "Bounds on multiprocessing timing anomalies",
    SIAM J. Appl. Math. 17 (1969): the longest first, each to who has the least.
    """

    def heaviest(groups: list[list[str]]) -> tuple[int, int]:
        return max(sum(weights[name] for name in group) for group in groups), len(groups)

    most = min(processes, len(projections))
    return min((_dealt(projections, count, weights) for count in range(1, most + 1)), key=heaviest)


def _dealt(projections: Sequence[str], count: int, weights: Mapping[str, int]) -> list[list[str]]:
    groups: list[list[str]] = [[] for _ in range(count)]
    loads = [0] * count
    for name in sorted(projections, key=lambda name: -weights[name]):
        lightest = loads.index(min(loads))
        groups[lightest].append(name)
        loads[lightest] += weights[name]
    return groups


def rebuild_in_processes(
    settings: Settings, projections: Sequence[str], *, check: bool, progress: Progress
) -> list[Outcome]:
    """Rebuild projections as `wiring.run_rebuilds` does; progress is that of the slowest process.

    Raises:
        Gap: the feed is not the whole log.
    """
    groups = groups_of(projections, os.cpu_count() or 1, catalogue.weights())
    if len(groups) == 1:
        return _rebuild_here(settings, groups[0], check, progress)
    reached = dict.fromkeys(range(len(groups)), (0, 0))

    def show(number: int, done: int, total: int) -> None:
        reached[number] = done, total
        slowest = min(reached.values())
        if slowest[1]:
            progress(*slowest)

    found = in_processes([(_rebuild_here, (settings, group, check)) for group in groups], show)
    outcomes = [outcome for group in found for outcome in group]
    return sorted(outcomes, key=lambda outcome: projections.index(outcome.projection))


def in_processes(
    tasks: Sequence[tuple[Callable[..., Result], tuple[Any, ...]]],
    progress: Callable[[int, int, int], None],
) -> list[Result]:
    """Run functions, each in a process of its own, and return what they return, in order.

    Each is given a `Progress` as its last argument; `progress` gets the task's number before that.
    """
    # Not fork: SQLite connections of this process must not be there in another.
    context = multiprocessing.get_context("spawn")
    slots = context.Array("Q", 2 * len(tasks))
    with ProcessPoolExecutor(len(tasks), context, _begin, (slots, os.getpid())) as pool:
        futures = [
            pool.submit(_numbered, function, arguments, number)
            for number, (function, arguments) in enumerate(tasks)
        ]
        running = True
        while running:
            running = bool(wait(futures, timeout=_POLL_S).not_done)
            for number, (done, total) in enumerate(zip(slots[::2], slots[1::2], strict=True)):
                if total:
                    progress(number, done, total)
    return [future.result() for future in futures]


def _begin(slots: Any, parent: int) -> None:
    # Else it would wait for ever for more to do.
    die_with(parent)
    # A fold keeps hundreds of thousands of objects without a cycle; looking for one is a twentieth.
    gc.disable()
    global _slots
    _slots = slots


def _numbered(function: Callable[..., Result], arguments: tuple[Any, ...], number: int) -> Result:
    def progress(done: int, total: int) -> None:
        _slots[2 * number : 2 * number + 2] = (done, total)

    return function(*arguments, progress)


def _rebuild_here(
    settings: Settings, projections: Sequence[str], check: bool, progress: Progress
) -> list[Outcome]:
    registry = wiring.open_registry(settings, create=False)
    try:
        return wiring.run_rebuilds(settings, registry, projections, check=check, progress=progress)
    finally:
        wiring.close_registry(registry)
