"""Figures, each a ratio to a baseline of the same run, and how they are shown."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any, Callable, Optional, Sequence

from gdb_kdbg.render.columns import aligned

# What is told that a figure is left out, and why.
Skipped = Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    """One measurement: `bar` is the most that `value` (or `ratio`, if that is what is judged) may be."""

    name: str
    value: float
    baseline: float
    unit: str
    ratio: float
    bar: Optional[float] = None
    bar_is_of: str = "ratio"
    middle_half: Optional[tuple[float, float]] = None

    @property
    def passes(self) -> Optional[bool]:
        if self.bar is None:
            return None
        return (self.ratio if self.bar_is_of == "ratio" else self.value) <= self.bar

    def row(self) -> list[str]:
        verdict = {None: "", True: "ok", False: "OVER"}[self.passes]
        ratio = f"{self.ratio:.3f}" if self.ratio < 100 else f"{self.ratio:.0f}"
        if self.middle_half is not None:
            ratio += " ({:.3f} to {:.3f})".format(*self.middle_half)
        bar = "" if self.bar is None else f"{self.bar:.3g}" + ("" if self.bar_is_of == "ratio" else f" {self.unit}")
        return [self.name, f"{_short(self.value)} {self.unit}", _short(self.baseline), ratio, bar, verdict]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passes": self.passes}


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"


def table(title: str, figures: Sequence[Figure]) -> str:
    """Return the figures as a table with a heading."""
    headers = ["figure", "measured", "baseline", "ratio", "bar", ""]
    columns = list(zip(*(figure.row() for figure in figures)))
    return "\n".join([title, *aligned(headers, columns, [False, True, True, True, True, False]), ""])


def median_ratio(values: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the median of the ratios of neighbours: runs of one round, which had the same weather."""
    return statistics.median(value / base for value, base in zip(values, baseline))


def middle_half(values: Sequence[float]) -> Optional[tuple[float, float]]:
    """Return the quartiles: half of the values lie between them. None for a single value."""
    if len(values) < 2:
        return None
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
