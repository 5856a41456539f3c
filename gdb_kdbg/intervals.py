"""Intervals over addresses that may nest and overlap, as hostile or merely odd ELF files have them."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import Iterator, Sequence

NOWHERE = 1 << 128
_BLOCK = 64


class Intervals:
    """Half-open intervals, given sorted by their starts; finds those that cover an address."""

    def __init__(self, starts: Sequence[int], ends: Sequence[int]) -> None:
        self._starts = starts
        self._ends = ends
        # The highest end up to each interval: where it is at or below the address, nothing further left covers it.
        reach = accumulate(ends, max)
        self._reach = array(ends.typecode, reach) if isinstance(ends, array) else list(reach)

    def covering(self, address: int) -> Iterator[int]:
        """Yield the indices of the intervals that hold an address, the one that starts last first."""
        index = bisect_right(self._starts, address) - 1
        while index >= 0 and self._reach[index] > address:
            if self._ends[index] > address:
                yield index
            elif index % _BLOCK == _BLOCK - 1 and self._tops[index // _BLOCK] <= address:
                index -= _BLOCK - 1  # under one that covers all, thousands of others may not
            index -= 1

    @property
    def are_disjoint(self) -> bool:
        """Whether no address is in two of them."""
        return all(end <= start for end, start in zip(self._reach, self._starts[1:]))

    def next_start(self, address: int) -> int:
        """Return where the next interval behind an address begins, far beyond all addresses if there is none."""
        index = bisect_right(self._starts, address)
        return self._starts[index] if index < len(self._starts) else NOWHERE

    def innermost(self, address: int) -> int:
        """Return the index of the interval that starts last among those that hold an address, -1 for none."""
        index = bisect_right(self._starts, address) - 1
        # Nearly always it is the one that starts last, or there is none.
        if index < 0 or self._ends[index] > address:
            return index
        return next(self.covering(address), -1) if self._reach[index] > address else -1

    # The highest end in each block of intervals.
    @cached_property
    def _tops(self) -> Sequence[int]:
        return [max(self._ends[start : start + _BLOCK]) for start in range(0, len(self._ends), _BLOCK)]
