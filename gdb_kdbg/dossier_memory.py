"""Which memory and which copies a picture of a victim shows, decided from ranges alone."""

from __future__ import annotations

from typing import Iterable, Optional, Sequence

from .dossier import CopyAxis, CopyNote, MemoryPicture, NamedRange, Stretch
from .ranges import Range, gap_after
from .units import ADDRESS_MASK, Address, Count, Size

# A copy further away than this has nothing to do with the victim, as far as a picture can tell.
NEAR = 64
_LANES = 8
_ALIGN = 8
_MARGIN, _WIDEST = 16, 56
# More than these no page shows; a ring may have a million.
COPIES_LIMIT = 20_000


def near_copies(copies: Iterable[CopyNote], victim: Range, process: str = "") -> Sequence[CopyNote]:
    """Return the copies within 64 bytes of a victim, and the marked ones, in their order.

    With a `process` those of others are left out: their addresses are another memory.
    """
    return [
        copy
        for copy in copies
        if copy.is_marked or (_is_near(copy, victim) and (not process or copy.process in ("", process)))
    ]


def memory_picture(
    victim: NamedRange,
    near: Sequence[CopyNote],
    expected: Optional[bytes] = None,
    contents: Sequence[Stretch] = (),
    surroundings: Sequence[NamedRange] = (),
) -> MemoryPicture:
    """Make the picture of a victim; of the near copies those are kept that say most."""
    shown = _closest(near, victim.range)
    return MemoryPicture(
        victim, window_around(victim.range, near), expected, tuple(contents), tuple(surroundings), tuple(shown),
        Count(len(near) - len(shown)),
    )  # fmt: skip


def window_around(victim: Range, near: Sequence[CopyNote]) -> Range:
    """Return the range to draw in whole words: the victim with a margin, and the copies that fit beside it."""
    start, end = victim.start - _MARGIN, victim.start + min(victim.size, _WIDEST // 2) + _MARGIN
    # Marked ones first; each of the others is taken in if there is room for it.
    for touched in (copy.touched for copy in sorted(near, key=lambda copy: not copy.is_marked)):
        wider = min(start, touched.start), max(end, touched.end)
        start, end = wider if wider[1] - wider[0] <= _WIDEST - _ALIGN else (start, end)
    start -= start % _ALIGN
    end += -end % _ALIGN
    return Range(Address(max(0, start)), Size(min(end, ADDRESS_MASK + 1) - max(0, start)))


def bounded_axis(unit: str, copies: Sequence[CopyNote], total: int, lost: int) -> CopyAxis:
    """Make an axis of the newest copies, in their order, with the marked ones among the older."""
    ordered = sorted(copies, key=lambda copy: copy.at)
    newest = ordered[-COPIES_LIMIT:]
    older = [copy for copy in ordered[:-COPIES_LIMIT] if copy.is_marked]
    shown = (*older, *newest)
    return CopyAxis(unit, shown, Count(total), Count(lost), Count(len(copies) - len(shown)))


def _is_near(copy: CopyNote, victim: Range) -> bool:
    return copy.size > 0 and _distance(copy.touched, victim) <= NEAR


def _distance(touched: Range, victim: Range) -> int:
    return max(0, gap_after(touched, victim))


def _closest(near: Sequence[CopyNote], victim: Range) -> Sequence[CopyNote]:
    ranked = sorted(near, key=lambda copy: (not copy.is_marked, _distance(copy.touched, victim), -copy.sequence))
    return sorted(ranked[:_LANES], key=lambda copy: copy.at)
