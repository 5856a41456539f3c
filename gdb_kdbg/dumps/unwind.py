"""Unwinding the stack of an x86-64 thread: by call frame information, else by what its code must have pushed."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from ..dwarf import inline_depth
from ..elf import ElfFile
from ..elf_tables import PF_X
from ..errors import KdbgError, NotSupported
from ..symbols import Symbols
from ..target import Frame, Memory
from ..units import ADDRESS_MASK, Address, Size, address
from .call_frames import Rules, rules_at
from .expressions import evaluate

# Numbers of the System V ABI for x86-64, figure 3.36.
REGISTERS = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
# A call preserves these; the others are unknown in the caller's frame unless a rule restores them.
_PRESERVED = ("rbx", "rbp", "r12", "r13", "r14", "r15", "fs_base", "gs_base")
_PUSH_RBP, _MOV_RBP_RSP, _ENDBR64 = b"\x55", (b"\x48\x89\xe5", b"\x48\x8b\xec"), b"\xf3\x0f\x1e\xfa"
# No frame is larger than this; a saved rbp further away is not one.
_FRAME_LIMIT = 16 << 20

Registers = Mapping[str, int]


class Unwinder:
    """Walks from the registers of a thread to its callers."""

    def __init__(self, memory: Memory, symbols: Symbols) -> None:
        self._memory, self._symbols = memory, symbols

    def frames(self, registers: Registers, limit: int) -> Iterator[Frame]:
        """Yield at most `limit` frames, innermost first; stop where the stack no longer makes sense.

        Ends with `main`, as GDB does.
        """
        current: Optional[Registers] = registers
        after_call = False
        level = -1
        for _ in range(limit):
            if current is None:
                return
            pc = current["rip"]
            # A return address may already belong to the next function; the call before it does not.
            place = pc - 1 if after_call else pc
            level += 1 + self._inlined(place)
            yield Frame(level, Address(pc), Address(current["rsp"]), current, not after_call)
            if self._is_main(place):
                return
            current, after_call = self._caller(current, place)

    # GDB counts calls inlined at a frame's place as frames above it.
    def _inlined(self, place: int) -> int:
        with contextlib.suppress(KdbgError):
            return sum(inline_depth(elf, place - objfile.load_bias) for objfile, elf in self._symbols.holders(place))
        return 0

    def _caller(self, registers: Registers, place: int) -> tuple[Optional[Registers], bool]:
        try:
            rules = self._rules(place)
            if rules is None:
                return self._without_rules(registers, place), True
            caller = _apply(rules, registers, self._word)
        except KdbgError:
            return None, False
        # Each caller lies further up; only a signal may have switched to another stack.
        outward = caller is not None and (rules.signal_frame or caller["rsp"] > registers["rsp"])
        return (caller if outward else None), not rules.signal_frame

    def _rules(self, place: int) -> Optional[Rules]:
        for objfile, elf in self._symbols.holders(place):
            rules = rules_at(elf, place - objfile.load_bias)
            if rules is not None:
                return rules
        return None

    # As GDB's amd64_frame_cache: what the code before `place` has pushed decides where the return address is.
    def _without_rules(self, registers: Registers, place: int) -> Optional[Registers]:
        sp, bp = registers["rsp"], registers.get("rbp", 0)
        pushed = self._pushed(place)
        places = {0: [sp], 1: [sp + 8], 2: [bp + 8]}[pushed] + [bp + 8]
        for slot in places:
            if slot < sp or slot > sp + _FRAME_LIMIT or slot % 8:
                continue
            target = self._word(slot)
            if self._is_code(target):
                caller = {**_preserved(registers), "rsp": slot + 8, "rip": target}
                return caller if slot == sp else {**caller, "rbp": self._word(slot - 8)}
        return None

    # 0 nothing, 1 rbp, 2 rbp and the frame pointer is set up.
    def _pushed(self, place: int) -> int:
        found = self._symbols.at(place)
        if found is None:
            return 0
        start, done = found[0].address, found[1]
        code = self._memory.read_memory(start, Size(16))
        skipped = 4 if code.startswith(_ENDBR64) else 0
        if code[skipped : skipped + 1] != _PUSH_RBP or done <= skipped:
            return 0
        return 2 if code[skipped + 1 : skipped + 4] in _MOV_RBP_RSP and done > skipped + 1 else 1

    def _is_code(self, target: int) -> bool:
        return any(_executable(elf, target - objfile.load_bias) for objfile, elf in self._symbols.holders(target))

    def _is_main(self, place: int) -> bool:
        found = self._symbols.at(place)
        return found is not None and found[0].name == "main" and found[0].objfile == self._symbols.objfiles[0].path

    def _word(self, place: int) -> int:
        return int.from_bytes(self._memory.read_memory(address(place), Size(8)), "little")


def unwind(memory: Memory, symbols: Symbols, registers: Registers, limit: int) -> Sequence[Frame]:
    """Return at most `limit` frames, innermost first."""
    return tuple(Unwinder(memory, symbols).frames(registers, limit))


# The caller's registers; None where its return address is marked as unknown: that is the outermost frame.
def _apply(rules: Rules, registers: Registers, word: Callable[[int], int]) -> Optional[Registers]:
    def register(number: int) -> int:
        if number >= len(REGISTERS) or REGISTERS[number] not in registers:
            raise NotSupported(f"DWARF register {number} is unknown in this frame")
        return registers[REGISTERS[number]]

    if rules.cfa.expr is not None:
        cfa = evaluate(rules.cfa.expr, register, word)
    else:
        cfa = register(rules.cfa.reg) + rules.cfa.offset & ADDRESS_MASK
    caller = {**_preserved(registers), "rsp": cfa}
    for number, rule in rules.registers.items():
        name = "rip" if number == rules.return_address else REGISTERS[number] if number < len(REGISTERS) else ""
        value = _value(rule, cfa, register(number) if rule.type == rule.SAME_VALUE else 0, register, word)
        caller.pop(name, None)
        if name and value is not None:
            caller[name] = value & ADDRESS_MASK
    return caller if caller.get("rip") else None


def _value(rule: Any, cfa: int, same: int, register: Callable[[int], int], word: Callable[[int], int]) -> Optional[int]:
    if rule.type == rule.OFFSET:
        return word(cfa + rule.arg)
    if rule.type == rule.VAL_OFFSET:
        return int(cfa + rule.arg)
    if rule.type == rule.REGISTER:
        return register(rule.arg)
    if rule.type == rule.EXPRESSION:
        return word(evaluate(rule.arg, register, word, [cfa]))
    if rule.type == rule.VAL_EXPRESSION:
        return evaluate(rule.arg, register, word, [cfa])
    return same if rule.type == rule.SAME_VALUE else None


def _preserved(registers: Registers) -> dict[str, int]:
    return {name: registers[name] for name in _PRESERVED if name in registers}


def _executable(elf: ElfFile, link_address: int) -> bool:
    return any(s.flags & PF_X and s.address <= link_address < s.end for s in elf.loaded)
