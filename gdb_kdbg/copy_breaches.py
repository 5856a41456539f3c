"""What a copy routine can do that its contract does not allow."""

from __future__ import annotations

from typing import NamedTuple

from .copy_cases import DESTINATION_END, SOURCE_END, Case
from .emulation import (
    ARENA,
    ARENA_END,
    ENDLESS,
    LEFT,
    STACK_SIZE,
    UNALIGNED,
    UNSUPPORTED,
    Exit,
)
from .emulation import STACK as STACK_START

PAST, BEFORE, MISSING, WRONG = "writes past the end", "writes before the start", "bytes missing", "bytes wrong"
READS_PAST, READS_BEFORE = "reads past the end", "reads before the start"
REGISTER, STACK, FLAG = "register changed", "stack pointer changed", "direction flag set"
OVERFLOW = "stack overflow"
RESULT, WRONG_REMAINDER = "wrong return value", "wrong remainder"
MISALIGNED = "misaligned vector access"
LEAVES, NO_RETURN, NOT_RUN = "leaves the routine", "does not return", "unsupported instruction"
SOURCE_WRITTEN, STRAY = "writes to the source", "stray access"
CALLERS_STACK, BELOW_STACK = "writes to the caller's stack", "uses the stack below its end"
STATE, USER_ACCESS = "floating-point state changed", "user access left open"

# A frame may be large, so that not only the page below the stack belongs to it.
_BELOW_STACK = 1 << 19


class Breach(NamedTuple):
    """One thing one call did that the contract does not allow; `amount` is a number of bytes where that says more.

    `place` is the address of the byte concerned, 0 if it is none.
    """

    kind: str
    case: Case
    text: str
    amount: int = 0
    place: int = 0
    pc: int = 0


def of_ending(case: Case, ending: Exit) -> Breach:
    """Return the breach of a call that did not return."""
    if ending.kind == UNSUPPORTED:
        return Breach(NOT_RUN, case, f"{ending.detail} at {ending.pc:#x}", pc=ending.pc)
    if ending.kind == ENDLESS:
        return Breach(NO_RETURN, case, f"no return within a bound ({ending.detail})", pc=ending.pc)
    if ending.kind == UNALIGNED:
        return Breach(MISALIGNED, case, ending.detail, 0, ending.fault_address or 0, ending.pc)
    if ending.kind == LEFT or ending.fault_address is None:
        where = f"to {ending.fault_address:#x}" if ending.fault_address is not None else ending.detail
        return Breach(LEAVES, case, f"control leaves the routine: {where}", 0, ending.fault_address or 0, ending.pc)
    return _faulted(case, ending, ending.fault_address)


def _faulted(case: Case, ending: Exit, address: int) -> Breach:
    if case.fault_side and _is_injected(case, address):
        text = "no entry in the exception table for this instruction"
        return Breach(WRONG_REMAINDER, case, text, pc=ending.pc, place=address)
    if STACK_START - _BELOW_STACK <= address < STACK_START:
        return Breach(OVERFLOW, case, f"needs more than {STACK_SIZE >> 10} KiB of stack", pc=ending.pc)
    if not ARENA <= address < ARENA_END:
        verb = "writes to" if ending.is_write else "reads"
        return Breach(STRAY, case, f"{verb} {address:#x}, which is not mapped", 0, address, ending.pc)
    near_source = abs(address - case.source) < abs(address - case.destination)
    start = case.source if near_source else case.destination
    past = address >= start
    kind = (PAST if past else BEFORE) if ending.is_write else (READS_PAST if past else READS_BEFORE)
    gone = address - start - case.size + 1 if past else start - address
    area = "source" if near_source else "destination"
    text = f"{'writes' if ending.is_write else 'reads'} into the page {'behind' if past else 'before'} the {area}"
    return Breach(kind, case, text, gone, address, ending.pc)


def _is_injected(case: Case, address: int) -> bool:
    return 0 <= address - (DESTINATION_END if case.fault_side == "dst" else SOURCE_END) < 64
