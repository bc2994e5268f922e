"""Rebuilding every read model from a generated log, as `packledger rebuild` does it."""

import gc
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean

import verifying
from figures import Figure
from generated_log import write_log
from references import insert_and_encode_per_s, read_and_decode_per_s

import processes
from packledger.feeds.progress import no_progress
from packledger.projections.catalogue import on_every_node
from packledger.server import wiring
from packledger.server.processes.rebuilding import rebuild_in_processes
from packledger.server.settings.settings import Settings, load

EVENTS = 200_000
HISTORY, BEGINNING = 2_000_000, 20_000
REPEATS = 3
HISTORY_MB, LONGER_HISTORY_MB = 1024, 1536
"""Heads of two million events fit in memory, those of ten do not: see `read_model.KEEP_ROWS`."""


def measure(folder: Path, events: int = EVENTS) -> list[Figure]:
    """Return the figures of a rebuild; the best of some repeats, as others use the machine too."""
    large, small = folder / "large", folder / "small"
    state_bytes = _prepare(large, events)
    _prepare(small, events // 10)
    units = (
        f"{events:,} events of {state_bytes} bytes; a plain loop reads and decodes "
        f"{read_and_decode_per_s(large / 'events.sqlite'):,.0f}/s, encodes and inserts "
        f"{insert_and_encode_per_s(folder):,.0f} rows/s"
    )
    runs = [_child("every-core", large) for _ in range(REPEATS)]
    _child("every-core", small)  # so that both have a live generation, which each rebuild compares
    large_us, small_us = (
        min(_child("one-process", data)[0] for _ in range(REPEATS)) * 1e6 / count
        for data, count in ((large, events), (small, events // 10))
    )
    seen = f"{large_us:.1f} µs and {small_us:.1f} µs, every projection together"
    what = f"CPU per event at {events:,} / at {events // 10:,}"
    fastest_s = min(wall_s for wall_s, _ in runs)
    return [
        Figure("rebuild of all read models", "events/s", events / fastest_s, 30_000, units, True),
        Figure(what, "times", large_us / small_us, 1.3, seen),
        Figure("memory of a rebuild, all processes", "MB", max(mb for _, mb in runs), 600),
    ]


def measure_history(folder: Path, events: int = HISTORY) -> list[Figure]:
    """Return the figures of a rebuild from a log of years, which compares with what is live.

    And of a check of it all. Processor time is that of one process, without what it takes to start;
    of the small log before and after the large one, since a machine that others use is not as fast
    at all times. The small log is the usual history where the large one is longer.
    """
    longer = events > HISTORY
    beginning, repeats = (HISTORY, 1) if longer else (BEGINNING, REPEATS)
    large, small = folder / "history", folder / "beginning"
    state_bytes = _prepare(large, events)
    _prepare(small, beginning)
    read_s = events / read_and_decode_per_s(large / "events.sqlite")
    few_s = [_child("one-process", small)[0] for _ in range(repeats)]
    large_us = _child("one-process", large)[0] * 1e6 / events
    few_s += [_child("one-process", small)[0] for _ in range(repeats)]
    small_us = mean(few_s) * 1e6 / beginning
    wall_s, peak_mb = _child("every-core", large)
    verified_s, verified_cpu_s, verified_mb = verifying.verify(large)
    unit = f"{state_bytes} bytes each; a plain loop reads and decodes them in {read_s:.1f} s"
    seen = f"{large_us:.1f} µs and {small_us:.1f} µs, every projection together"
    what = f"CPU per event at {events:,} / at {beginning:,}"
    limit_s, limit_mb = 60 * events / HISTORY, LONGER_HISTORY_MB if longer else HISTORY_MB
    return [
        Figure(f"rebuild from {events:,} events", "s", wall_s, limit_s, unit),
        Figure(what, "times", large_us / small_us, 1.3, seen),
        Figure("memory of that rebuild, all processes", "MB", peak_mb, limit_mb),
        Figure(
            f"verify of {events:,} events", "s", verified_s, limit_s, f"{verified_cpu_s:.0f} s CPU"
        ),
        Figure("memory of that verify, all processes", "MB", verified_mb, limit_mb),
    ]


def _prepare(folder: Path, events: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return write_log(folder / "events.sqlite", events)


def _child(how: str, data: Path) -> tuple[float, float]:
    """Rebuild in a child process; return the seconds that it prints, and its peak in MB."""
    command = [sys.executable, __file__, how, str(data)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    peak_mb = processes.peak_mb(child)
    output = child.stdout.read()
    child.stdout.close()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    return float(output), peak_mb


def _on_every_core(settings: Settings) -> None:
    """Rebuild as the command does; print wall seconds."""
    began_s = time.perf_counter()
    rebuild_in_processes(settings, on_every_node(), check=False, progress=no_progress)
    print(time.perf_counter() - began_s)


def _in_one_process(settings: Settings) -> None:
    """Rebuild here, as the command's children do; print CPU seconds, without those of the start."""
    gc.disable()
    registry = wiring.open_registry(settings, create=False)
    began_s = time.process_time()
    wiring.run_rebuilds(settings, registry, on_every_node())
    cpu_s = time.process_time() - began_s
    wiring.close_registry(registry)
    print(cpu_s)


if __name__ == "__main__":
    chosen = load(None, {}, {"data": sys.argv[2]})
    (_on_every_core if sys.argv[1] == "every-core" else _in_one_process)(chosen)
