"""What a process and everything below it cost."""

import os
from pathlib import Path

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


def _fields(status: Path) -> list[str]:
    """Return the fields of `/proc/PID/stat` after the name, none when the process ended."""
    try:
        return status.read_text().rpartition(")")[2].split()
    except OSError:
        return []
