"""Instructions moved to another place: what a jump to a probe overwrites is executed elsewhere, with the same effect.

Relative branches and rip-relative operands are corrected, short jumps made long. What cannot be moved is refused with
the reason. Source: Intel SDM vol. 2, 2.1 and 2.2.1.6, and the pages of Jcc, JMP, LOOP.
"""

from __future__ import annotations

import struct
from typing import Iterator, NamedTuple, Optional, Sequence

from .assembly import JUMP, JUMP_SIZE, Assembler, CannotPlace, distance
from .disassembly import EncodedInstruction, decode_encoded

_ENDBR64 = b"\xf3\x0f\x1e\xfa"
_LONGEST = 15
# Prefixes that a branch may have and does not need: bnd, and the hints that no processor follows any more.
_IDLE_PREFIXES = b"\xf2\x2e\x3e"
_SHORT_JUMP, _LOOPS = 0xEB, range(0xE0, 0xE4)
_PADDING = ("nop", "int3")
# These hand out or take the address they stand at, or leave the program's view.
_IMMOVABLE = ("call", "syscall", "sysenter", "sysret", "sysexit", "int", "iret", "xbegin", "hlt", "ud")
SCRATCH = frozenset(("rax", "r10", "r11"))


class Displaced(NamedTuple):
    """The instructions at a routine's entry that make room for a jump.

    `address` is where the jump goes, behind an `endbr64`; `returns` tells whether control goes on behind them, and
    `takes_code` whether instructions of the routine's own are among them that control does not come to from its entry.
    """

    address: int
    size: int
    instructions: tuple[EncodedInstruction, ...]
    returns: bool
    takes_code: bool = False

    @property
    def inside(self) -> range:
        """The addresses that must not be entered: all but the first."""
        return range(self.address + 1, self.address + self.size)

    @property
    def end(self) -> int:
        return self.address + self.size


def displace(code: bytes, address: int, size: int) -> Displaced:
    """Choose the instructions to displace at the entry of a routine of `size` bytes.

    `code` is the routine with some bytes behind it, which count if they are padding. Raises CannotPlace where an
    instruction cannot be moved, a branch leads into them, or there are too few. Behind a first jump it takes what
    the routine does not come to: Linux's memcpy has its other variant there, for processors that are patched to it.
    """
    start = address + len(_ENDBR64) * code.startswith(_ENDBR64)
    found: list[EncodedInstruction] = []
    returns = True
    for item in decode_encoded(code[start - address :], start):
        if found and found[-1].instruction.end >= start + JUMP_SIZE:
            break
        _check(item, returns, address + size)
        found.append(item)
        returns = returns and not _is_end(item)
    if not found or found[-1].instruction.end - start < JUMP_SIZE:
        raise CannotPlace(f"the routine at {address:#x} is too short for a jump of {JUMP_SIZE} bytes")
    takes_code = not returns and _is_code(found, address + size)
    displaced = Displaced(start, found[-1].instruction.end - start, tuple(found), returns, takes_code)
    _check_branches(displaced, code, address, size)
    return displaced


# Behind the first end of control, up to the end of the routine.
def _is_code(found: Sequence[EncodedInstruction], end: int) -> bool:
    behind = found[next(n for n, item in enumerate(found) if _is_end(item)) + 1 :]
    return any(i.instruction.end <= end and not i.instruction.mnemonic.startswith(_PADDING) for i in behind)


def _check(item: EncodedInstruction, is_reached: bool, end: int) -> None:
    instruction = item.instruction
    name = instruction.mnemonic
    if not is_reached or instruction.end > end:
        if instruction.end > end and not name.startswith(_PADDING):
            raise CannotPlace(
                f"the code before {instruction.address:#x} is too short for a jump of {JUMP_SIZE} bytes, "
                "and what follows is not its own"
            )
        return
    if name == "int3":
        raise CannotPlace(f"there is a breakpoint in the code at {instruction.address:#x}: delete it first")
    if name.split()[-1].startswith(_IMMOVABLE):
        raise CannotPlace(f"{instruction} at {instruction.address:#x} cannot be moved")
    if _target_of(item) is not None and _branch(item) is None:
        raise CannotPlace(f"{instruction} at {instruction.address:#x} is a branch of a form that cannot be moved")


def _is_end(item: EncodedInstruction) -> bool:
    instruction = item.instruction
    return instruction.is_return or (instruction.is_jump and instruction.mnemonic.split()[-1].startswith("jmp"))


def _check_branches(displaced: Displaced, code: bytes, address: int, size: int) -> None:
    entries = (address, displaced.address)
    for item in decode_encoded(code[:size], address):
        target, instruction = _target_of(item), item.instruction
        if displaced.takes_code and _goes_anywhere(item):
            raise CannotPlace(f"{instruction} at {instruction.address:#x} may lead into the bytes to be patched")
        if target in displaced.inside:
            raise CannotPlace(f"{instruction} at {instruction.address:#x} leads into the bytes to be patched")
        # A call of itself is a call; a loop would be counted as many.
        if target in entries and not instruction.is_call:
            raise CannotPlace(f"{instruction} at {instruction.address:#x} leads back to the routine's entry")


def _goes_anywhere(item: EncodedInstruction) -> bool:
    return item.instruction.is_jump and _target_of(item) is None


def _target_of(item: EncodedInstruction) -> Optional[int]:
    instruction = item.instruction
    # Capstone does not count `loop` among the jumps.
    goes = instruction.is_jump or instruction.is_call or instruction.mnemonic.startswith("loop")
    is_direct = goes and not instruction.memory and not instruction.registers
    return instruction.immediate if is_direct and instruction.immediate is not None else None


# Opcode without the prefixes that may go.
def _branch(item: EncodedInstruction) -> Optional[bytes]:
    code = item.code.lstrip(_IDLE_PREFIXES)
    if code[:1] in (b"\xe9", b"\xeb") or code[0] in range(0x70, 0x80) or code[0] in _LOOPS:
        return code[:1]
    return code[:2] if code[0] == 0x0F and code[1] in range(0x80, 0x90) else None


def moved(displaced: Displaced, to: int) -> bytes:
    """Return the displaced instructions as they must be at address `to`, with a jump back behind them if needed.

    Raises CannotPlace where a target is too far from there.
    """
    code = Assembler(to)
    for item in _reached(displaced):
        target = _target_of(item)
        if target is not None and _branch(item) is not None:
            _emit_branch(code, item, target)
        elif item.displacement_offset and item.instruction.memory[0].base == "rip":
            _emit_rip_relative(code, item)
        else:
            code.emit(item.code)
    if displaced.returns:
        code.jump(displaced.end)
    return code.finish()


def _reached(displaced: Displaced) -> Iterator[EncodedInstruction]:
    for item in displaced.instructions:
        yield item
        if _is_end(item):
            return


def moved_size(displaced: Displaced) -> int:
    """Return how many bytes `moved` makes at most."""
    return len(displaced.instructions) * _LONGEST + len(_ENDBR64) + 14


def _emit_branch(code: Assembler, item: EncodedInstruction, target: int) -> None:
    opcode = _branch(item)
    assert opcode is not None
    if opcode[0] in _LOOPS:
        # They have no long form: they jump over a jump that is jumped over otherwise.
        code.emit(opcode + b"\x02", bytes([_SHORT_JUMP, JUMP_SIZE]))
        code.relative(JUMP, target)
    elif opcode[0] in (_SHORT_JUMP, 0xE9):
        code.relative(JUMP, target)
    else:
        code.relative(opcode if len(opcode) == 2 else bytes([0x0F, opcode[0] + 0x10]), target)


def _emit_rip_relative(code: Assembler, item: EncodedInstruction) -> None:
    old = item.code
    place = item.displacement_offset
    (offset,) = struct.unpack_from("<i", old, place)
    target = item.instruction.end + offset
    code.emit(old[:place], distance(code.here + len(old), target), old[place + 4 :])


def used_scratch(code: bytes, address: int) -> Sequence[str]:
    """Return the registers of a probe that a routine reads before it has written them, following its branches."""
    at = {int(item.instruction.address): item for item in decode_encoded(code, address)}
    used: set[str] = set()
    known: dict[int, frozenset[str]] = {}
    work: list[tuple[int, frozenset[str]]] = [(address, SCRATCH)]
    while work:
        place, unwritten = work.pop()
        unwritten = unwritten - used
        item = at.get(place)
        if item is None or not unwritten or unwritten <= known.get(place, frozenset()):
            continue
        known[place] = known.get(place, frozenset()) | unwritten
        used |= unwritten & _inputs(item)
        left = unwritten - frozenset(item.instruction.writes)
        target = _target_of(item)
        work += [(target, left)] if target is not None else []
        work += [] if _is_end(item) else [(item.instruction.end, left)]
    return sorted(used)


def _inputs(item: EncodedInstruction) -> frozenset[str]:
    # `xor eax, eax` reads nothing.
    instruction = item.instruction
    names = instruction.registers
    is_zeroing = instruction.mnemonic in ("xor", "sub") and len(names) == 2 and names[0] == names[1]
    return frozenset() if is_zeroing else item.reads
