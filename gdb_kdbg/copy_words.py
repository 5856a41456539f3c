"""Words for what an exercised copy routine did in one case."""

from __future__ import annotations

from typing import Sequence

from .copy_cases import Case


def position(places: Sequence[int], size: int) -> str:
    """Say which bytes of `size` the given ones are."""
    first, last = places[0], places[-1]
    if len(places) == size:
        return "all"
    if len(places) < last - first + 1 or (first and last < size - 1):
        return "scattered"
    return "the first" if first == 0 else "the last"


def value_text(value: int, case: Case) -> str:
    """Write a result in terms of a case's arguments, or as a number."""
    for name, base in (("destination", case.destination), ("source", case.source)):
        if abs(value - base) <= case.size + 64:
            return name + (f"{value - base:+d}" if value != base else "")
    signed = value - (1 << 64) if value >> 63 else value
    return str(signed) if abs(signed) < 1 << 20 else f"{value:#x}"
