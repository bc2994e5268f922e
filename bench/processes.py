"""What a process and everything below it cost."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

SAMPLE_S = 1.0
"""Each look at memory walks all pages of all processes: 10 ms for each 100 MB."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def below(pid: int) -> list[int]:
    """Return the pids of a process and of everything below it."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = _fields(status)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_s(pids: list[int]) -> float:
    """Return the processor time that processes have used, user and system."""
    every = [_fields(Path(f"/proc/{pid}/stat")) for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in every if fields) / _TICKS_PER_S


def cpu_s_by_name(pids: list[int]) -> dict[str, float]:
    """Return the processor time that processes have used, added up for each name."""
    spent: dict[str, float] = {}
    for pid in pids:
        with suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            spent[name] = spent.get(name, 0.0) + cpu_s([pid])
    return spent


def pss_mb(pids: list[int]) -> float:
    """Return the memory of processes, shared pages counted once."""
    kib = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it ended
        kib += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return kib / 1024


def peak_mb(child: subprocess.Popen[str]) -> float:
    """Wait until a process ends; return the most memory that it and its own had at a look."""
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, pss_mb(below(child.pid)))
        with suppress(subprocess.TimeoutExpired):
            child.wait(SAMPLE_S)
    return peak


def _fields(status: Path) -> list[str]:
    """Return the fields of `/proc/PID/stat` after the name, none when the process ended."""
    try:
        return status.read_text().rpartition(")")[2].split()
    except OSError:
        return []
