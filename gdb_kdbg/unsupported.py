"""Instructions that an emulator of one unprivileged processor without AVX must not be trusted with."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional

from .disassembly import Instruction, decode
from .units import Address

_LONGEST = 15
_AT_A_TIME = 8
# Start with a v without being vectors of AVX: verify a segment. All else that does (VMX) is privileged.
_NO_VECTORS = ("verr", "verw")
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


def first_unsupported(code: bytes, start: Address) -> Optional[Unsupported]:
    """Return what cannot be run between `start` and the next jump, call or return; None if all of it can."""
    end = start
    for instruction in straight_line(code, start):
        reason = _reason(instruction)
        if reason:
            return Unsupported(instruction.address, f"{instruction}{reason}")
        if instruction.is_jump or instruction.is_return or instruction.is_call:
            return None
        end = instruction.end
    rest = code[end - start :]
    return Unsupported(end, f"undecodable bytes {rest[:8].hex(' ')}") if len(rest) >= _LONGEST else None


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


# QEMU 5, which unicorn is made of, takes VEX-coded vectors of 16 bytes for their SSE namesakes: that is wrong.
def _reason(instruction: Instruction) -> str:
    name = instruction.mnemonic.split()[-1]
    if name in _PRIVILEGED or (name == "mov" and _is_system_register(instruction)):
        return " (privileged)"
    if name in _TRAPS:
        return " (a trap)"
    return " (the emulator lacks AVX)" if name.startswith("v") and name not in _NO_VECTORS else ""


def _is_system_register(instruction: Instruction) -> bool:
    return any(name[:2] in ("cr", "dr") and name[2:].isdigit() for name in instruction.registers)
