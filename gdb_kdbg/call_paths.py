"""Where a register or an operand got its value: instructions read backwards from the one that uses it.

What no instruction changed since is in the registers still; what was loaded from memory is read there again.
"""

from __future__ import annotations

from typing import Callable, Mapping, NamedTuple, Optional, Sequence

from .disassembly import Instruction, MemoryOperand, whole_register
from .units import ADDRESS_MASK, Address
from .vector_lanes import is_vector, source_of, stored_offset, vector_name, written_vector

# A call may change these (psABI x86-64, figure 3.4).
_CLOBBERED = frozenset(("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"))
_LOADS = ("mov", "movabs")
_DEPTH = 8
_FRAME = ("rbp", "rsp")
_SUMS: Mapping[str, Callable[[int, int], int]] = {
    "add": lambda one, other: one + other,
    "sub": lambda one, other: one - other,
    "shl": lambda one, other: one << (other & 63),
}


class Load(NamedTuple):
    """The instruction that read a value from memory, and where; `place` is None if that cannot be told.

    `is_sure` tells that no other instruction can have been the one.
    """

    instruction: Instruction
    place: Optional[Address]
    is_sure: bool


class _Definition(NamedTuple):
    at: int
    is_sure: bool


class Path:
    """Instructions by their addresses, up to the call, jump or fault of interest; `registers` are those at the last.

    `function` is all of the function they are of, where it is known how far that goes.
    """

    def __init__(
        self,
        instructions: Sequence[Instruction],
        registers: Mapping[str, int],
        word_at: Callable[[int], Optional[int]],
        function: Sequence[Instruction] = (),
    ) -> None:
        self.instructions = instructions
        self._last = len(instructions) - 1
        self._registers, self._word_at = registers, word_at
        self._function = function or instructions
        self._targets = {i.immediate for i in self._function if i.is_jump and i.immediate is not None}

    @property
    def last(self) -> Instruction:
        return self.instructions[self._last]

    def loads(self) -> Sequence[Load]:
        """Return what may have read the destination of the last instruction, a call or jump; one if that is sure."""
        if self.last.memory:
            return (self._loaded_at(_Definition(self._last, True), _DEPTH),)
        return self.loads_of(self.last.registers[0]) if self.last.registers else ()

    def loads_of(self, register: str) -> Sequence[Load]:
        """Return what may have read from memory the value that a register has in the last instruction."""
        register = whole_register(register)
        found = self._definition(register, self._last)
        if found is not None and found.is_sure:
            load = self._load_of(register, self._last, _DEPTH)
            return (load,) if load else ()
        return [
            Load(instruction, instruction.memory[0].address, False)
            for instruction in self._function
            if self._is_load(instruction, register) and instruction.memory[0].address is not None
        ]

    def _is_load(self, instruction: Instruction, register: str) -> bool:
        return (
            instruction.mnemonic in _LOADS
            and bool(instruction.memory)
            and instruction.registers == (register,)
            and not instruction.memory[0].written
        )

    def _load_of(self, register: str, before: int, depth: int) -> Optional[Load]:
        found = self._definition(register, before)
        if found is None or not depth:
            return None
        instruction = self.instructions[found.at]
        if instruction.mnemonic not in _LOADS or whole_register(instruction.registers[0]) != register:
            return None
        if instruction.memory:
            return self._loaded_at(found, depth)
        if len(instruction.registers) != 2:
            return None
        load = self._load_of(instruction.registers[1], found.at, depth - 1)
        return load._replace(is_sure=load.is_sure and found.is_sure) if load else None

    # What was kept in a local variable was loaded into a register before.
    def _loaded_at(self, found: _Definition, depth: int) -> Load:
        instruction = self.instructions[found.at]
        operand, place = instruction.memory[0], self.address_of(instruction.memory[0], found.at)
        saved = self._saved(operand, found.at) if operand.base in _FRAME and not operand.index else None
        load = self._load_of_saved(operand, saved.at, depth - 1) if saved else None
        if saved and load and self._is_still(place, load.place):
            return load._replace(is_sure=load.is_sure and saved.is_sure and found.is_sure)
        return Load(instruction, place, found.is_sure)

    def _load_of_saved(self, operand: MemoryOperand, at: int, depth: int) -> Optional[Load]:
        store = self.instructions[at]
        return self._load_of_part(vector_name(store.registers[0]), stored_offset(store, operand) or 0, at, depth)

    # A variable may have been given another value since, by a function that has its address.
    def _is_still(self, place: Optional[Address], source: Optional[Address]) -> bool:
        one, other = (self._word_at(a) if a is not None else None for a in (place, source))
        return None in (one, other) or one == other

    # What loaded the 8 bytes at an offset of a vector register.
    def _load_of_part(self, register: str, offset: int, before: int, depth: int) -> Optional[Load]:
        if not is_vector(register):
            return self._load_of(register, before, depth)
        found = self._definition(register, before)
        source = source_of(self.instructions[found.at], offset) if found and depth else None
        if found is None or source is None:
            return None
        if source.register:
            load = self._load_of_part(source.register, source.offset, found.at, depth - 1)
            return load._replace(is_sure=load.is_sure and found.is_sure) if load else None
        instruction = self.instructions[found.at]
        start = self.address_of(instruction.memory[0], found.at)
        place = None if start is None else Address(start + source.offset & ADDRESS_MASK)
        return Load(instruction, place, found.is_sure)

    def _saved(self, operand: MemoryOperand, before: int) -> Optional[_Definition]:
        for index in range(before - 1, -1, -1):
            instruction = self.instructions[index]
            if _stores_to(instruction, operand):
                others = sum(_stores_to(i, operand) for i in self._function) > 1
                return _Definition(index, self._is_straight(index, before) or not others)
            if _never_goes_on(instruction) or (operand.base in instruction.writes and not instruction.is_call):
                return None
        return None

    def address_of(self, operand: MemoryOperand, index: int, depth: int = _DEPTH) -> Optional[Address]:
        """Compute the address of an operand of the instruction at `index`."""
        known = {"rip": int(self.instructions[index].end)}
        for name in ("fs_base", "gs_base"):
            if name in self._registers:
                known[name] = self._registers[name]
        for name in filter(None, (operand.base, operand.index)):
            value = self._value(name, index, depth)
            if name != "rip" and value is not None:
                known[name] = value
        return operand.resolve(known)

    def _value(self, register: str, before: int, depth: int) -> Optional[int]:
        if not any(self._changes(i, register) for i in self.instructions[before:]):
            return self._registers.get(register)
        found = self._definition(register, before)
        return self._result(register, found.at, depth - 1) if found and depth else None

    # What an instruction has put into a register, as far as the simple ones go that addresses are made with.
    def _result(self, register: str, index: int, depth: int) -> Optional[int]:
        instruction = self.instructions[index]
        name = instruction.mnemonic
        if not instruction.registers or whole_register(instruction.registers[0]) != register:
            return None
        if name == "xor" and instruction.registers == (instruction.registers[0],) * 2:
            return 0
        if name == "lea":
            return self.address_of(instruction.memory[0], index, depth)
        if name in _SUMS:
            return self._sum(register, index, depth)
        if name not in _LOADS or instruction.registers[0].startswith(("al", "ah")):
            return None
        if instruction.memory:
            place = self.address_of(instruction.memory[0], index, depth)
            word = self._word_at(place) if place is not None else None
            return None if word is None else word & (1 << 8 * instruction.memory[0].size) - 1
        if len(instruction.registers) == 2:
            return self._value(instruction.registers[1], index, depth)
        if instruction.immediate is None:
            return None
        return instruction.immediate & (ADDRESS_MASK if instruction.registers[0] == register else 0xFFFF_FFFF)

    def _sum(self, register: str, index: int, depth: int) -> Optional[int]:
        instruction = self.instructions[index]
        one, other = self._value(register, index, depth), instruction.immediate
        if len(instruction.registers) == 2:
            other = self._value(whole_register(instruction.registers[1]), index, depth)
        if one is None or other is None or instruction.memory or instruction.registers[0] != register:
            return None
        return _SUMS[instruction.mnemonic](one, other & ADDRESS_MASK) & ADDRESS_MASK

    def _definition(self, register: str, before: int) -> Optional[_Definition]:
        for index in range(before - 1, -1, -1):
            instruction = self.instructions[index]
            if self._changes(instruction, register):
                return _Definition(index, self._is_straight(index, before) or self._is_only(register, index))
            if _never_goes_on(instruction):
                break
        # Reached from elsewhere: sure only of what is set in one place at all, and even then not when.
        found = [i for i in range(self._last) if self._changes(self.instructions[i], register)]
        return _Definition(found[0], False) if len(found) == 1 else None

    def _is_straight(self, index: int, before: int) -> bool:
        start, end = self.instructions[index].end, self.instructions[before].address
        return not any(start <= target <= end for target in self._targets)

    def _is_only(self, register: str, index: int) -> bool:
        defined = self.instructions[index].address
        others = (i for i in self._function if i.address != defined and i.mnemonic != "pop")
        return not any(self._changes(i, register) for i in others)

    def _changes(self, instruction: Instruction, register: str) -> bool:
        if instruction.address == self.last.address:
            return False
        if instruction.is_call and (register in _CLOBBERED or is_vector(register)):
            return True
        return register in instruction.writes or written_vector(instruction) == register


def _stores_to(instruction: Instruction, operand: MemoryOperand) -> bool:
    if stored_offset(instruction, operand) is not None:
        return True
    if not instruction.memory or instruction.mnemonic != "mov" or len(instruction.registers) != 1:
        return False
    to = instruction.memory[0]
    same = (to.base, to.index, to.displacement, to.segment, to.size)
    return to.written and same == (operand.base, operand.index, operand.displacement, operand.segment, operand.size)


def _never_goes_on(instruction: Instruction) -> bool:
    return instruction.is_return or instruction.mnemonic.endswith("jmp") or instruction.mnemonic in ("ud2", "hlt")
