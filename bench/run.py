"""Measure packledger and print one table: each figure, its limit, and the machine's own unit.

    python bench/run.py [publish] [rebuild] [read] [--quick]

Latency and rates need a machine that does nothing else; processor time and ratios do not. Exits 1
when a limit is missed.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import publishing
import reading
import rebuilding
from figures import Figure, table

PARTS = ("publish", "rebuild", "read")


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="measure packledger")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: a smoke test")
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="packledger-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        for part in arguments.parts or PARTS:
            print(f"measuring: {part}", file=sys.stderr)
            if part == "publish":
                figures += publishing.measure(folder, 1_000 // scale)
            elif part == "rebuild":
                figures += rebuilding.measure(folder, rebuilding.EVENTS // scale)
            else:
                figures += reading.measure(folder)
    print(table(figures))
    load = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} cores, load average {load:.1f} at the end")
    return 0 if all(one.holds for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
