"""Which cases a copy routine is exercised with: sizes, alignments, overlaps and faults."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Iterable, Iterator, NamedTuple

from .copy_contracts import Contract
from .emulation import AREA_SIZE, DESTINATION, SOURCE

QUICK, DEFAULT, THOROUGH = "quick", "default", "thorough"
LARGEST = 1 << 16
_SMALL = 512
# Up to this size all alignments within a vector are tried, in the default mode.
_FULL = 128
# Room before an area's working place; behind it there is more than twice the largest size.
MARGIN = 0x8000
DESTINATION_END, SOURCE_END = DESTINATION + AREA_SIZE, SOURCE + AREA_SIZE
_PLACES = {0, 1, 7, 8, 63, 64}
_POWERS = [1 << bits for bits in range(10, 17)]


class Case(NamedTuple):
    """One call: the areas, and for an injected fault from which byte on which side is missing."""

    size: int
    destination: int
    source: int
    fault_side: str = ""
    fault_at: int = 0

    def __str__(self) -> str:
        text = f"size {self.size}, destination % 64 = {self.destination % 64}, source % 64 = {self.source % 64}"
        return f"{text}, {self.fault_side} missing from byte {self.fault_at}" if self.fault_side else text


def sizes(mode: str) -> list[int]:
    """Return the sizes of a mode, the smallest first."""
    if mode == QUICK:
        return [*range(0, 73), 80, 95, 96, 97, 127, 128, 129, 192, 255, 256, 257, 511, 512, 1024, 4096, 4099, 8192]
    neighbours = {near for power in _POWERS for near in (power - 1, power, power + 1) if near <= LARGEST + 1}
    return [*range(_SMALL + 1), *sorted(neighbours)]


def aligned_cases(contract: Contract, mode: str) -> Iterator[Case]:
    """Yield cases in the middle of both areas: every alignment that matters of each size."""
    for size in sizes(mode):
        for d, s in _alignments(contract, mode, size):
            yield Case(size, DESTINATION + MARGIN + d, SOURCE + MARGIN + s)


def _alignments(contract: Contract, mode: str, size: int) -> Iterable[tuple[int, int]]:
    if contract.is_fill:
        return [(d, 0) for d in range(64 if mode != QUICK else 16)]
    if mode == QUICK:
        return [(d, (3 * d + size) % 16) for d in range(0, 16, 1 if size < 33 else 5)]
    if mode == THOROUGH:
        return [(d, s) for d in range(64) for s in range(64)] if size <= 160 else _square(16)
    # Each alignment of either side, and how they lie to each other, in turns.
    count = 12 if size <= _FULL else 16 if size <= _SMALL else 4
    sample = [(d % 64, (d * 5 + size // 4) % 64) for d in range(size % 4, size % 4 + 4 * count, 4)]
    return sample + (_square(16) if size <= _FULL else [(size % 16, size % 16)])


def _square(count: int) -> list[tuple[int, int]]:
    return [(d, s) for d in range(count) for s in range(count)]


def edge_cases(contract: Contract, mode: str) -> Iterator[Case]:
    """Yield cases in which an area touches a page that is missing: behind its end, or before its start."""
    for size in sizes(mode):
        middle = Case(size, DESTINATION + MARGIN, SOURCE + MARGIN)
        yield middle._replace(destination=DESTINATION_END - size)
        yield middle._replace(destination=DESTINATION)
        if not contract.is_fill:
            yield middle._replace(source=SOURCE_END - size)
            yield middle._replace(source=SOURCE)


def overlap_cases(mode: str) -> Iterator[Case]:
    """Yield cases in which the areas overlap, in both directions."""
    for size in sizes(mode):
        for distance in _distances(mode, size):
            for align in (0, 1, 7) if size <= 128 else (size % 16,):
                start = DESTINATION + MARGIN + align
                yield Case(size, start + distance, start)
                yield Case(size, start, start + distance)


def _distances(mode: str, size: int) -> list[int]:
    near = [*range(0, 20), 24, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129, size // 2, size - 1]
    start, step = (0, 5) if mode == QUICK and size > 32 else (size % 3, 3) if mode == DEFAULT and size > 128 else (0, 1)
    return sorted({distance for distance in near[start::step] if 0 <= distance < max(size, 1)})


def fault_cases(contract: Contract, mode: str) -> Iterator[Case]:
    """Yield cases in which one side ends, at each of its bytes, at a page that is missing."""
    whole = 24 if mode == QUICK else 136
    for size in [n for n in sizes(mode) if 0 < n <= 4099]:
        some = sorted(n for n in _PLACES | {size // 2, size - 1} if n < size)
        for place in range(size) if size <= whole else some:
            for side in contract.faults:
                yield _fault(size, side, place, (5 * place + size) % 16)


def _fault(size: int, side: str, place: int, other: int) -> Case:
    if side == "dst":
        return Case(size, DESTINATION_END - place, SOURCE + MARGIN + other, side, place)
    return Case(size, DESTINATION + MARGIN + other, SOURCE_END - place, side, place)


def traced_cases(contract: Contract, mode: str) -> Iterator[Case]:
    """Yield the few cases in which every access is looked at."""
    wanted = [*range(17), *range(18, 73, 3)] if mode == QUICK else [*range(131), 256, 500, 2048, 8200]
    for size in wanted:
        for d, s in ((5, 0),) if mode == QUICK else ((0, 0), (5, 0), (3, 9), (8, 8)):
            yield Case(size, DESTINATION + MARGIN + d, SOURCE + MARGIN + (0 if contract.is_fill else s))


@lru_cache(maxsize=1)
def patterns() -> tuple[bytes, bytes]:
    """Return what the two areas hold before a call; no byte of one occurs in the other."""
    source = random.Random(1).randbytes(AREA_SIZE).translate(bytes(1 + byte % 127 for byte in range(256)))
    destination = random.Random(2).randbytes(AREA_SIZE).translate(bytes(128 + byte % 128 for byte in range(256)))
    return destination, source
