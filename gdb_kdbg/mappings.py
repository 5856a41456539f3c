"""The mappings of a process, and where between them is room for more."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence

from .ranges import Range

PAGE = 4096
# Below it nobody may map anything (Linux vm.mmap_min_addr), and the user's half ends at the other.
LOWEST, HIGHEST = 0x1_0000, 0x7FFF_FFFF_F000
# What a jump of five bytes reaches, less what the code at its end may be long.
REACH = (1 << 31) - (1 << 24)
# The stack grows down into what is free below it, the heap up into what is above it.
_GROWTH = {"[stack]": 64 << 20, "[heap]": 64 << 20}
_LINE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ *(.*)$")


class Mapping(NamedTuple):
    """One mapping: [start, end), permissions as `r-xp`, and what is mapped there."""

    start: int
    end: int
    permissions: str
    offset: int
    name: str


def parse_mappings(text: str) -> tuple[Mapping, ...]:
    """Parse the lines of /proc/PID/maps."""
    found = filter(None, map(_LINE.match, text.splitlines()))
    return tuple(Mapping(int(m[1], 16), int(m[2], 16), m[3], int(m[4], 16), m[5]) for m in found)


def free_places(mappings: Sequence[Mapping], near: Range, size: int) -> Sequence[int]:
    """Return addresses of free room for `size` bytes within reach of all of `near`, the nearest below it first.

    They are at whole pages, a page away from what is mapped, and leave stack and heap room to grow. What lies above a
    program is rather taken by its heap, or by the modules of a kernel.
    """
    places: list[int] = []
    low, high = max(LOWEST, near.end - REACH), min(HIGHEST, near.start + REACH)
    for start, end in _gaps(mappings):
        start, end = _up(max(start, low)), min(end, high) - size & -PAGE
        if start <= end:
            places.append(min(max(near.start & -PAGE, start), end))
    return sorted(places, key=lambda place: (place > near.start, abs(place - near.start)))


def _gaps(mappings: Sequence[Mapping]) -> Sequence[tuple[int, int]]:
    gaps: list[tuple[int, int]] = []
    before: Optional[Mapping] = None
    for mapping in (*sorted(mappings), Mapping(HIGHEST, HIGHEST, "", 0, "")):
        start = before.end + _GROWTH.get(before.name, PAGE) if before else LOWEST
        gaps.append((start, mapping.start - (_GROWTH["[stack]"] if mapping.name == "[stack]" else PAGE)))
        before = mapping if before is None or mapping.end > before.end else before
    return [gap for gap in gaps if gap[0] < gap[1]]


def _up(address: int) -> int:
    return address + PAGE - 1 & -PAGE
