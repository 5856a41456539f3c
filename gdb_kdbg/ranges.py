"""Half-open ranges of addresses."""

from __future__ import annotations

from typing import NamedTuple

from .units import Address, Size


class Range(NamedTuple):
    """The addresses `start <= a < start + size`; an empty range overlaps nothing."""

    start: Address
    size: Size

    @property
    def end(self) -> Address:
        return Address(self.start + self.size)

    def contains(self, address: int) -> bool:
        return self.start <= address < self.end

    def overlaps(self, other: Range) -> bool:
        return max(self.start, other.start) < min(self.end, other.end)

    def intersection(self, other: Range) -> Range:
        """Return what both have in common, empty (at the later start) where they have nothing."""
        start = max(self.start, other.start)
        return Range(Address(start), Size(max(0, min(self.end, other.end) - start)))

    def covers(self, other: Range) -> bool:
        return self.start <= other.start and other.end <= self.end


def gap_after(asked: Range, victim: Range) -> int:
    """Bytes between the end of `asked` and the start of `victim`: 0 adjacent, negative when they overlap.

    A range that lies wholly behind `victim` has no gap in this sense; its distance is counted
    from the end of `victim` to the start of `asked`, positive too.
    """
    if asked.overlaps(victim):
        return -asked.intersection(victim).size
    if asked.start >= victim.end:
        return asked.start - victim.end
    # An empty range inside the other overlaps nothing.
    return max(0, victim.start - asked.end)
