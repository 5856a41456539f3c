"""Vector registers that carry pointers, two at a time: which instruction puts what into which half.

Compilers fill two neighbouring words by one store of 16 bytes. Known are the instructions of SSE2 and SSE4 that they
make for it, and their AVX forms, which name what they keep as an operand of its own.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from .disassembly import Instruction, MemoryOperand, whole_register

_MOVES = ("movaps", "movups", "movapd", "movupd", "movdqa", "movdqu", "lddqu")
_LOW, _HIGH = ("movq", "movsd", "movlps", "movlpd"), ("movhps", "movhpd")
_PAIRS = ("punpcklqdq", "unpcklpd", "movlhps")
_WORD = 8


class Source(NamedTuple):
    """Where 8 bytes of a register come from: `offset` bytes into another register, or into the operand in memory where
    `register` is empty."""

    register: str
    offset: int


def vector_name(register: str) -> str:
    """Return the one name of a vector register of any width, of others the 64-bit register."""
    return f"x{register[1:]}" if is_vector(register) else whole_register(register)


def is_vector(register: str) -> bool:
    """Tell whether a register is one of 16 bytes or more."""
    return register[1:3] == "mm" and register[:1] in ("x", "y", "z")


def written_vector(instruction: Instruction) -> str:
    """Return the vector register that an instruction may change, empty for none."""
    is_store = bool(instruction.memory) and instruction.memory[0].written
    first = instruction.registers[0] if instruction.registers and not is_store else ""
    return vector_name(first) if is_vector(first) else ""


def stored_offset(instruction: Instruction, operand: MemoryOperand) -> Optional[int]:
    """Return how far into what a vector store writes an operand lies, None if it does not lie in it."""
    if not instruction.memory or _name(instruction) not in _MOVES or not instruction.registers:
        return None
    to = instruction.memory[0]
    offset = operand.displacement - to.displacement
    same = (to.base, to.index, to.segment) == (operand.base, operand.index, operand.segment)
    return offset if to.written and same and 0 <= offset <= to.size - operand.size else None


def source_of(instruction: Instruction, offset: int) -> Optional[Source]:
    """Return where an instruction takes the 8 bytes from that it leaves at an offset of its first register."""
    name, registers = _name(instruction), tuple(map(vector_name, instruction.registers))
    if not registers or not is_vector(registers[0]):
        return None
    given = Source("", 0) if instruction.memory else Source(registers[-1], 0)
    kept = Source(registers[1 if instruction.mnemonic[0] == "v" and len(registers) > 1 else 0], offset)
    if name in _MOVES:
        fits = not instruction.memory or offset + _WORD <= instruction.memory[0].size
        return given._replace(offset=offset) if fits else None
    if name in _LOW:
        return given if not offset else kept if name.startswith("movl") else None
    if name in _HIGH or name in _PAIRS:
        return given if offset == _WORD else kept if not offset else None
    if name == "pinsrq" and instruction.immediate is not None:
        return given if offset == _WORD * (instruction.immediate & 1) else kept
    return None


def _name(instruction: Instruction) -> str:
    name = instruction.mnemonic
    return name[1:] if name[0] == "v" else name
