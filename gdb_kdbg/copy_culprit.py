"""Which instruction of a copy routine did what the contract does not allow, found by running the example again."""

from __future__ import annotations

from typing import Optional

from .blocks import read_available
from .copy_breaches import BEFORE, FLAG, PAST, REGISTER, STATE, USER_ACCESS, Breach
from .copy_check import CopyCheck
from .disassembly import Instruction, decode
from .emulation import FAULTED, LEFT
from .target import Memory
from .units import Address, Size

_LONGEST_INSTRUCTION = 15
# Looking back further than this takes too long to be worth it.
_LOOK_BACK = 20_000
# Which instructions can have done what only shows at the end.
_CHANGES = {FLAG: ("std", "popfq"), USER_ACCESS: ("stac", "popfq"), STATE: ("ldmxcsr", "fldcw")}
_LATE = (REGISTER, *_CHANGES)


def culprit(check: CopyCheck, code: Memory, breach: Breach) -> int:
    """Return the address of the instruction, 0 where none of them can be named."""
    if breach.case.fault_side:
        return breach.pc
    if breach.pc or breach.kind in _LATE:
        return _executed(check, code, breach) or breach.pc
    return _writer(check, breach)


# The instruction that wrote the byte concerned.
def _writer(check: CopyCheck, breach: Breach) -> int:
    if not breach.place:
        return 0
    with check.emulator.tracing() as accesses:
        check.call_once(breach.case)
    hits = [a for a in accesses if a.is_write and a.address <= breach.place < a.address + a.size]
    return (hits[0] if breach.kind in (PAST, BEFORE) else hits[-1]).pc if hits else 0


# The last one that changed the register; and where a call did not return, the last one of all.
def _executed(check: CopyCheck, code: Memory, breach: Breach) -> int:
    with check.emulator.following() as executed:
        ending = check.call_once(breach.case)
    if ending in (FAULTED, LEFT):
        return executed[-1] if executed else 0
    if breach.kind not in _LATE:
        return 0
    for pc in executed[: -_LOOK_BACK - 1 : -1]:
        instruction = _instruction(code, pc)
        if instruction and _changed(instruction, breach):
            return pc
    return 0


def _changed(instruction: Instruction, breach: Breach) -> bool:
    if breach.kind == REGISTER:
        return breach.text.split()[0] in instruction.writes
    return instruction.mnemonic in _CHANGES[breach.kind]


def _instruction(code: Memory, pc: int) -> Optional[Instruction]:
    decoded = decode(read_available(code, Address(pc), Size(_LONGEST_INSTRUCTION)), Address(pc), 1)
    return decoded[0] if decoded else None
