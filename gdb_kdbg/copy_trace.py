"""What only the single accesses of a call to a copy routine show, and nothing that is left behind in memory.

The limits of the stack are those of the psABI for x86-64 ("The Stack Frame"): what lies above the return address is the
caller's, and below the stack pointer 128 bytes are safe from signal handlers; from a kernel's interrupts none are.
"""

from __future__ import annotations

from typing import AbstractSet, Callable, Iterable, Iterator, Sequence

from .copy_breaches import BEFORE, BELOW_STACK, CALLERS_STACK, MISALIGNED, PAST, SOURCE_WRITTEN, Breach
from .copy_cases import DESTINATION_END, SOURCE_END, Case
from .emulation import DESTINATION, SOURCE, STACK, STACK_SIZE, STACK_TOP, Access
from .units import is_kernel_half

_WRITES_BACK = {PAST: "writes back what is past the end", BEFORE: "writes back what is before the start"}
_RED_ZONE = 128


def hidden(
    case: Case, accesses: Sequence[Access], known: AbstractSet[str], is_aligned: Callable[[int], bool], home: int = 0
) -> Iterator[Breach]:
    """Yield what a traced call did that a comparison of bytes cannot see, or that faults on a real processor only.

    `known` are kinds of breaches that were seen otherwise; `is_aligned` tells whether the instruction at an address
    needs an aligned operand, `home` how many bytes above the return address are the routine's own.
    """
    writes = [access for access in accesses if access.is_write]
    beyond = [(access, _excess(access, case.destination, case.size)) for access in _within_destination(writes)]
    for side, kind in enumerate((PAST, BEFORE)):
        access, excess = next(((a, sides[side]) for a, sides in reversed(beyond) if sides[side] > 0), (None, 0))
        if access and kind not in known:
            place = access.address + (access.size - 1 if kind == PAST else 0)
            yield Breach(kind, case, _WRITES_BACK[kind], excess, place, access.pc)
    for access in writes:
        if SOURCE <= access.address < SOURCE_END and SOURCE_WRITTEN not in known:
            text = "writes into the source, which need not be writable"
            yield Breach(SOURCE_WRITTEN, case, text, access.size, access.address, access.pc)
            break
    yield from _stack(case, accesses, STACK_TOP + 8 + home)
    yield from _misaligned(case, accesses, is_aligned)


def overread(case: Case, accesses: Iterable[Access]) -> int:
    """Return how many bytes beyond the source were read, on either side."""
    reads = (a for a in accesses if SOURCE <= a.address < SOURCE_END and not a.is_write)
    return max((max(_excess(access, case.source, case.size)) for access in reads), default=0)


def _within_destination(accesses: Iterable[Access]) -> Iterator[Access]:
    return (access for access in accesses if DESTINATION <= access.address < DESTINATION_END)


# How far an access goes beyond an area, behind and before it.
def _excess(access: Access, start: int, size: int) -> tuple[int, int]:
    return access.address + access.size - start - size, start - access.address


# A value that was kept too far below the stack pointer is lost where a signal or an interrupt comes in between. What is
# only touched there, to see whether the stack reaches as far, or never read again is harmless.
def _stack(case: Case, accesses: Iterable[Access], frame: int) -> Iterator[Breach]:
    kept: set[int] = set()
    for access in accesses:
        if not STACK <= access.address < STACK + STACK_SIZE:
            continue
        if access.is_write and access.address + access.size > frame:
            yield Breach(CALLERS_STACK, case, "writes into its caller's frame", 0, access.address, access.pc)
            return
        limit = access.stack - (0 if is_kernel_half(access.pc) else _RED_ZONE)
        if access.is_write:
            kept.update(range(access.address, access.address + access.size))
        elif access.address + access.size <= limit and access.address in kept:
            text = f"keeps a value {access.stack - access.address} bytes below the stack pointer"
            yield Breach(BELOW_STACK, case, text, 0, access.address, access.pc)
            return


# A vector of 16 bytes is two accesses of 8.
def _misaligned(case: Case, accesses: Iterable[Access], is_aligned: Callable[[int], bool]) -> Iterator[Breach]:
    second = None
    for access in accesses:
        if (access.pc, access.address) == second:
            second = None
            continue
        second = access.pc, access.address + 8
        if access.address % 16 and access.size == 8 and is_aligned(access.pc):
            text = f"needs an address aligned to 16 bytes, got {access.address % 16} above one"
            yield Breach(MISALIGNED, case, text, 0, access.address, access.pc)
            return
