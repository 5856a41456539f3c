"""Instructions that an emulator of one unprivileged processor without AVX must not be trusted with.

Those of them that kdbg carries out itself are listed apart.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional

from .disassembly import Instruction, decode
from .units import Address
from .vector_encoding import is_vector_code
from .vector_forms import form_of

_LONGEST = 15
_AT_A_TIME = 8
# Save and restore vectors, and name none.
_STATE = ("fxsave", "fxrstor", "xsave", "xrstor")
# Of what is VEX-coded, the emulator has the moves of bits; QEMU 5 forgets to cut some of their results to 32 bits, or
# mixes up the carry flag. The last two start with a v without being vectors: all else that does (VMX) is privileged.
_RIGHT = ("andn", "blsr", "blsmsk", "mulx", "pext", "rorx", "sarx", "shlx", "shrx", "verr", "verw")
_WRONG = ("bextr", "blsi", "pdep")
# Of segments and the size of addresses.
_PREFIXES = b"\x26\x2e\x36\x3e\x64\x65\x67"
_PRIVILEGED = frozenset(
    "hlt in out insb insw insd outsb outsw outsd cli sti rdmsr wrmsr rdpmc lgdt lidt lldt ltr lmsr clts invd wbinvd "
    "wbnoinvd invlpg invpcid swapgs sysret sysretq sysexit sysexitq iret iretd iretq monitor mwait xsetbv rsm".split()
)
# These leave the routine by design, for a kernel or a debugger.
_TRAPS = frozenset("syscall sysenter int int1 int3 into ud0 ud1 ud2".split())
_ALIGNED = frozenset("movaps movapd movdqa movntps movntpd movntdq movntdqa".split())


class Unsupported(NamedTuple):
    """An instruction that cannot be run, and what it is."""

    address: Address
    text: str


class Line(NamedTuple):
    """The code up to the next jump, call or return.

    `vectors` are the instructions that kdbg has to carry out: address and bytes. `has_legacy` tells whether others use
    the same registers. `next` is where control may go from the line's end, as far as the code tells.
    """

    unsupported: Optional[Unsupported] = None
    vectors: tuple[tuple[Address, bytes], ...] = ()
    has_legacy: bool = False
    next: tuple[Address, ...] = ()


def first_unsupported(code: bytes, start: Address) -> Optional[Unsupported]:
    """Return what cannot be run between `start` and the next jump, call or return; None if all of it can."""
    return look_through(code, start).unsupported


def look_through(code: bytes, start: Address) -> Line:
    """Look through the code from `start` to the next jump, call or return."""
    end = start
    vectors: list[tuple[Address, bytes]] = []
    has_legacy = False
    for instruction in straight_line(code, start):
        own = code[instruction.address - start : instruction.end - start]
        if is_carried_out(instruction, own):
            vectors.append((instruction.address, own))
        else:
            reason = _reason(instruction, own)
            if reason:
                found = Unsupported(instruction.address, f"{instruction}{reason}")
                return Line(found, tuple(vectors), has_legacy)
            has_legacy = has_legacy or _is_legacy(instruction)
        if instruction.is_jump or instruction.is_return or instruction.is_call:
            return Line(None, tuple(vectors), has_legacy, tuple(_next(instruction)))
        end = instruction.end
    rest = code[end - start :]
    unknown = Unsupported(end, f"undecodable bytes {rest[:8].hex(' ')}") if len(rest) >= _LONGEST else None
    return Line(unknown, tuple(vectors), has_legacy)


def is_carried_out(instruction: Instruction, code: bytes) -> bool:
    """Tell whether kdbg carries an instruction out itself."""
    found = form_of(code) if is_vector_code(code) else None
    return found is not None and found[0].size == instruction.size


def _is_legacy(instruction: Instruction) -> bool:
    return instruction.has_vector_register or instruction.mnemonic.startswith(_STATE)


def _next(instruction: Instruction) -> Iterator[Address]:
    if instruction.is_jump and instruction.immediate is not None:
        yield Address(instruction.immediate)
    if instruction.is_call or (instruction.is_jump and instruction.mnemonic != "jmp"):
        yield instruction.end


def straight_line(code: bytes, start: Address) -> Iterator[Instruction]:
    """Decode instruction by instruction, a few at a time: the first jump is near."""
    position = 0
    while position < len(code):
        window = code[position : position + _AT_A_TIME * _LONGEST]
        some = decode(window, Address(start + position), _AT_A_TIME)
        yield from some
        if not some:
            return
        position = some[-1].end - start


def needs_alignment(instruction: Instruction) -> bool:
    """Tell whether a 16-byte memory operand must be aligned; QEMU does not check that."""
    return instruction.mnemonic in _ALIGNED and bool(instruction.memory)


# QEMU 5, which unicorn is made of, takes VEX-coded vectors of 16 bytes for their SSE namesakes, and moves of masks for
# conditional moves: that is wrong.
def _reason(instruction: Instruction, code: bytes) -> str:
    name = instruction.mnemonic.split()[-1]
    if name in _PRIVILEGED or (name == "mov" and _is_system_register(instruction)):
        return " (privileged)"
    if name in _TRAPS:
        return " (a trap)"
    if name in _WRONG:
        return " (the emulator gets it wrong)"
    is_vector = is_vector_code(code.lstrip(_PREFIXES)) or name.startswith("v")
    return " (neither the emulator nor kdbg has it)" if is_vector and name not in _RIGHT else ""


def _is_system_register(instruction: Instruction) -> bool:
    return any(name[:2] in ("cr", "dr") and name[2:].isdigit() for name in instruction.registers)
