"""Verifying a generated log: the store, its tiles, and every read model against a replay.

Without blobs, since a generated log names some that were never stored. Wall time needs a machine
that does nothing else; the processor time of all processes together does not.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure
from generated_log import write_log

import processes
from packledger.cli.verify import MANY_EVENTS

EVENTS = 200_000
REPEATS = 2
LIMIT_US = 60
"""Two cores have 60 s each for 2,000,000 events."""
PACKLEDGER = str(Path(sys.executable).with_name("packledger"))


def measure(folder: Path, events: int = EVENTS) -> list[Figure]:
    """Return the figures of `packledger verify --no-blobs`; the best of some repeats.

    The start of the processes is taken off by the run of a log that is a tenth as long, and still
    long enough for processes of their own. `history` measures the whole of 2,000,000 events.
    """
    few = max(MANY_EVENTS, events // 10)
    small_s, small_cpu_s, _ = _measure(folder / "few", few)
    wall_s, cpu_s, peak_mb = _measure(folder / "many", events)
    each_us = (cpu_s - small_cpu_s) * 1e6 / (events - few)
    seen = f"{events:,} events in {wall_s:.1f} s, {few:,} in {small_s:.1f} s"
    return [
        Figure("verify, CPU per event, every process", "µs", each_us, LIMIT_US, seen),
        Figure("memory of a verify, all processes", "MB", peak_mb, 600),
    ]


def _measure(data: Path, events: int) -> tuple[float, float, float]:
    data.mkdir(parents=True)
    write_log(data / "events.sqlite", events)
    subprocess.run([PACKLEDGER, "rebuild", "--data", data], check=True, stdout=subprocess.DEVNULL)
    wall_s, cpu_s, peak_mb = zip(*(verify(data) for _ in range(REPEATS)), strict=True)
    return min(wall_s), min(cpu_s), max(peak_mb)


def verify(data: Path) -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and the peak in MB of one run that finds nothing."""
    began_s, began_cpu = time.perf_counter(), os.times()
    command = [PACKLEDGER, "verify", "--no-blobs", "--json", "--data", str(data)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    peak_mb = processes.peak_mb(child)
    output = child.stdout.read()
    child.stdout.close()
    faults = json.loads(output)["faults"]
    if child.returncode or faults:
        raise RuntimeError(f"{' '.join(command)} found {faults[:3]}")
    after = os.times()
    cpu_s = after.children_user + after.children_system
    cpu_s -= began_cpu.children_user + began_cpu.children_system
    return time.perf_counter() - began_s, cpu_s, peak_mb


if __name__ == "__main__":
    import tempfile

    from figures import table

    with tempfile.TemporaryDirectory(prefix="packledger-bench-") as name:
        print(table(measure(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS)))
