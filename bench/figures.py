"""One measured figure with its limit, and the table of all."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """limit: the most that is allowed, or with `at_least` the least; None only reports."""

    what: str
    unit: str
    value: float
    limit: float | None = None
    beside: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Return whether the value is within the limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def table(figures: Sequence[Figure]) -> str:
    """Return a Markdown table; what was measured beside it is in the last column."""
    rows = [("what", "limit", "measured", "", "measured in the same run")]
    for one in figures:
        limit = "none"
        if one.limit is not None:
            limit = f"{'≥' if one.at_least else '≤'} {_short(one.limit)} {one.unit}"
        held = "" if one.limit is None else "ok" if one.holds else "MISSED"
        measured = f"{_short(one.value)} {one.unit}"
        rows.append((one.what, limit, measured, held, one.beside))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
