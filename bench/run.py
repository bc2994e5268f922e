"""Measure packledger and print one table: each figure, its limit, and the machine's own unit.

    python bench/run.py [PART]... [--quick] [--events N]

    publish   latency and rate of publishes          compare   reads, beside nginx on the same bytes
    rebuild   all read models from 200,000 events    crowd     memory, large uploads and packuments
    read      from an append until it is visible     install   `npm ci`, beside Verdaccio
    past      an index file as it was                verify    200,000 events, without blobs
    history   all read models from 2,000,000 events, and verify: eight minutes; `--events 10000000`
          XX
    real      latency, rate and processor time of publishing 420 real crates and 550 real packages
    tiles     publishing with the transparency log and without

Latency and rates need a machine that does nothing else; processor time and ratios do not. Exits 1
when a limit is missed.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import comparing
import crowds
import installing
import past
import publishing
import reading
import real
import rebuilding
import tiles
import verifying
from figures import Figure, table

PARTS: dict[str, Callable[[Path, int], list[Figure]]] = {
    "publish": lambda folder, scale: publishing.measure(folder, 1_000 // scale),
    "real": lambda folder, scale: real.measure(folder, scale),
    "rebuild": lambda folder, scale: rebuilding.measure(folder, rebuilding.EVENTS // scale),
    "history": lambda folder, scale: rebuilding.measure_history(
        folder, rebuilding.HISTORY // scale
    ),
    "read": lambda folder, scale: reading.measure(folder),
    "compare": lambda folder, scale: comparing.measure(folder, max(1, comparing.ROUNDS // scale)),
    "crowd": lambda folder, scale: crowds.measure(folder),
    "past": lambda folder, scale: past.measure(folder),
    "tiles": lambda folder, scale: tiles.measure(folder, 500 // scale),
    "verify": lambda folder, scale: verifying.measure(folder, verifying.EVENTS // scale),
    "install": lambda folder, scale: installing.measure(folder, max(1, installing.ROUNDS // scale)),
}


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: a smoke test")
    parser.add_argument(
        "--events", type=int, default=0, help="length of the log of the part `history`"
    )
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    parts = dict(PARTS)
    if arguments.events:
        parts["history"] = lambda folder, scale: rebuilding.measure_history(
            folder, arguments.events // scale
        )
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="packledger-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        for part in arguments.parts or PARTS:
            print(f"measuring: {part}", file=sys.stderr)
            figures += parts[part](folder, scale)
    print(table(figures))
    load = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} cores, load average {load:.1f} at the end")
    return 0 if all(one.holds for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
