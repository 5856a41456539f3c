"""x86-64 instructions, decoded: what they store, which memory they name, where a function keeps its canary.

The only importer of capstone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .errors import KdbgError
from .ranges import Range
from .units import ADDRESS_MASK, Address, Size

# The guard's place in the thread control block (psABI x86-64; gcc -mstack-protector-guard=tls).
GUARD_OFFSET = 0x28
_STRING_STORES = ("movsb", "movsw", "movsd", "movsq", "stosb", "stosw", "stosd", "stosq")
_STORES = ("mov", "vmov", "pextr", "vpextr", "extract", "vextract", "fst", "lock cmpxchg", "cmpxchg")
_STRING_WIDTHS = {"b": 1, "w": 2, "d": 4, "q": 8}
_WHOLE = {
    **{part.replace("?", x): f"r{x}x" for x in "abcd" for part in ("?l", "?h", "?x", "e?x")},
    **{part.replace("?", x): f"r{x}" for x in ("si", "di", "bp", "sp") for part in ("?l", "?", "e?")},
    **{f"r{number}{part}": f"r{number}" for number in range(8, 16) for part in "bwd"},
}


@dataclass(frozen=True)
class MemoryOperand:
    """A memory operand; `address` is filled for rip-relative and absolute ones."""

    segment: str
    base: str
    index: str
    scale: int
    displacement: int
    size: Size
    written: bool
    address: Optional[Address]

    def resolve(self, registers: Mapping[str, int]) -> Optional[Address]:
        """Compute the address from register values; None if a register is unknown."""
        segment = {"fs": "fs_base", "gs": "gs_base"}.get(self.segment, "")
        if self.address is not None and not segment:
            return self.address
        total = self.displacement
        for name, factor in ((segment, 1), (self.base, 1), (self.index, self.scale)):
            if name and name not in registers:
                return None
            total += registers[name] * factor if name else 0
        return Address(total & ADDRESS_MASK)


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction; `is_call`, `is_jump` and `is_return` are by its control flow, not its name.

    `registers` are its operands in their order, `writes` the 64-bit registers it changes any part of.
    """

    address: Address
    size: Size
    mnemonic: str
    operands: str
    memory: tuple[MemoryOperand, ...]
    immediate: Optional[int]
    registers: tuple[str, ...]
    is_call: bool
    is_jump: bool
    is_return: bool
    writes: tuple[str, ...] = ()

    @property
    def end(self) -> Address:
        return Address(self.address + self.size)

    def __str__(self) -> str:
        # The operands of a string instruction are implied.
        return self.mnemonic if self.string_width else f"{self.mnemonic} {self.operands}".strip()

    @property
    def string_width(self) -> int:
        """Bytes a string store writes at a time; 0 for every other instruction."""
        name = self.mnemonic.split()[-1]
        return _STRING_WIDTHS[name[-1]] if name in _STRING_STORES and not self.has_vector_register else 0

    @property
    def has_vector_register(self) -> bool:
        return any(name.startswith(("xmm", "ymm", "zmm")) for name in self.registers)

    @property
    def is_repeated(self) -> bool:
        return self.mnemonic.startswith("rep")


@functools.lru_cache(maxsize=1)
def _decoder() -> Any:
    try:
        import capstone
    except ImportError:
        raise KdbgError("capstone is missing for this python: run scripts/setup, or install it with pip") from None
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.detail = True
    return decoder


def decode(code: bytes, address: Address, limit: int = 0) -> Sequence[Instruction]:
    """Decode instructions from `code`, at most `limit` of them if given; stops at bytes that are none."""
    return [_instruction(raw) for raw in _decoder().disasm(code, address, limit)]


class EncodedInstruction(NamedTuple):
    """An instruction with its bytes, where its 32-bit displacement is in them (0 without one), and what it reads."""

    instruction: Instruction
    code: bytes
    displacement_offset: int
    reads: frozenset[str]


def decode_encoded(code: bytes, address: int) -> Iterator[EncodedInstruction]:
    """Decode instructions with what is needed to move them; stops at bytes that are none."""
    for raw in _decoder().disasm(code, address):
        offset = raw.disp_offset if raw.encoding.disp_size == 4 else 0
        reads = frozenset(whole_register(raw.reg_name(number)) for number in raw.regs_access()[0])
        yield EncodedInstruction(_instruction(raw), bytes(raw.bytes), offset, reads)


def decode_to(code: bytes, address: Address, end: Address) -> Sequence[Instruction]:
    """Decode the instructions from a function's start up to, not including, the one at `end`."""
    return [i for i in decode(code[: end - address], address) if i.end <= end]


def _instruction(raw: Any) -> Instruction:
    from capstone import CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET
    from capstone.x86 import X86_OP_IMM, X86_OP_MEM, X86_OP_REG

    operands = list(raw.operands)
    immediates = [operand.imm for operand in operands if operand.type == X86_OP_IMM]
    return Instruction(
        Address(raw.address),
        Size(raw.size),
        raw.mnemonic,
        raw.op_str,
        tuple(_memory(raw, operand) for operand in operands if operand.type == X86_OP_MEM),
        immediates[0] if immediates else None,
        tuple(raw.reg_name(operand.reg) for operand in operands if operand.type == X86_OP_REG),
        raw.group(CS_GRP_CALL),
        raw.group(CS_GRP_JUMP),
        raw.group(CS_GRP_RET),
        tuple(whole_register(raw.reg_name(number)) for number in raw.regs_access()[1]),
    )


def whole_register(name: str) -> str:
    """Return the 64-bit register that a register is part of: `rax` of `al`, `r8` of `r8d`."""
    return _WHOLE.get(name, name)


def _memory(raw: Any, operand: Any) -> MemoryOperand:
    from capstone import CS_AC_WRITE

    def name(register: int) -> str:
        return raw.reg_name(register) if register else ""

    base, index = name(operand.mem.base), name(operand.mem.index)
    address = None
    if base == "rip":
        address = Address((raw.address + raw.size + operand.mem.disp) & ADDRESS_MASK)
    elif not base and not index:
        address = Address(operand.mem.disp & ADDRESS_MASK)
    # Capstone 4 and 5 miss the access of many stores (some `mov`, all of AVX): these write their first operand.
    written = bool(operand.access & CS_AC_WRITE) or (raw.mnemonic.startswith(_STORES) and operand is raw.operands[0])
    memory = operand.mem
    return MemoryOperand(
        name(memory.segment), base, index, memory.scale, memory.disp, Size(operand.size), written, address
    )


@dataclass(frozen=True)
class Store:
    """A store as seen right after it happened.

    `done` is what it has written for sure in this step, `rest` what a repeated string store will still write
    (None once it is through).
    """

    instruction: Instruction
    done: Range
    rest: Optional[Range]


def store_after(
    before: Optional[Instruction], current: Optional[Instruction], registers: Mapping[str, int]
) -> Optional[Store]:
    """Tell which store just happened, given the instructions before and at the pc, and the registers now.

    A repeated string store keeps the pc on itself while it runs, with rdi advanced and rcx counted down; any other
    instruction has the pc behind it. Source: Intel SDM vol. 3, 17.2.4 (data breakpoints are traps).
    """
    if current is not None and current.is_repeated and current.string_width and registers.get("rcx"):
        return _string_store(current, registers)
    if before is None:
        return None
    if before.string_width:
        return _string_store(before, registers)
    for operand in before.memory:
        start = operand.resolve({**registers, "rip": before.end})
        if operand.written and start is not None:
            return Store(before, Range(start, operand.size), None)
    if before.mnemonic.startswith(("push", "call")) and "rsp" in registers:
        return Store(before, Range(Address(registers["rsp"]), Size(8)), None)
    return None


def _string_store(instruction: Instruction, registers: Mapping[str, int]) -> Optional[Store]:
    if "rdi" not in registers:
        return None
    width = instruction.string_width
    backwards = bool(registers.get("eflags", 0) & 0x400)
    left = registers.get("rcx", 0) * width if instruction.is_repeated else 0
    position = registers["rdi"]
    if backwards:
        done = Range(Address(position + width), Size(width))
        rest = Range(Address(position + width - left), Size(left))
    else:
        done = Range(Address(position - width), Size(width))
        rest = Range(Address(position), Size(left))
    return Store(instruction, done, rest if left else None)


@dataclass(frozen=True)
class CanarySlot:
    """Where a function keeps its canary: `base` register (rsp or rbp) + `displacement`, valid from address `stored`."""

    base: str
    displacement: int
    stored: Address


def canary_slot(prologue: Iterable[Instruction]) -> Optional[CanarySlot]:
    """Find the store of the guard into the frame; pushes behind it do not occur in compiled prologues."""
    holder = ""
    for instruction in prologue:
        if instruction.is_return:
            return None
        operand = instruction.memory[0] if instruction.memory else None
        if operand and operand.segment == "fs" and operand.displacement == GUARD_OFFSET and not operand.written:
            holder = instruction.registers[0] if instruction.mnemonic == "mov" and instruction.registers else ""
        elif operand and holder and _saves(instruction, operand, holder):
            return CanarySlot(operand.base, operand.displacement, instruction.end)
    return None


def _saves(instruction: Instruction, operand: MemoryOperand, holder: str) -> bool:
    in_frame = operand.base in ("rsp", "rbp") and not operand.index
    return operand.written and in_frame and instruction.registers == (holder,)
