"""Exercises a copy routine in the emulator and compares what it did with what its contract promises."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Iterator, Mapping, NamedTuple, Optional

from .copy_cases import DESTINATION_END, SOURCE_END, Case
from .copy_contracts import DESTINATION as TO_START
from .copy_contracts import END, LENGTH, NOTHING, REMAINDER, Contract
from .copy_words import position, value_text
from .emulation import (
    AREA_SIZE,
    ARENA,
    ARENA_END,
    DESTINATION,
    DIRECTION_FLAG,
    ENDLESS,
    FAULTED,
    LEFT,
    NOISE_OF,
    PRESERVED,
    RETURNED,
    SOURCE,
    STACK_SIZE,
    STACK_TOP,
    UNALIGNED,
    UNSUPPORTED,
    Emulator,
    Exit,
)  # fmt: skip
from .emulation import STACK as STACK_START
from .units import ADDRESS_MASK

PAST, BEFORE, MISSING, WRONG = "writes past the end", "writes before the start", "bytes missing", "bytes wrong"
READS_PAST, READS_BEFORE = "reads past the end", "reads before the start"
REGISTER, STACK, FLAG = "register changed", "stack pointer changed", "direction flag set"
OVERFLOW = "stack overflow"
RESULT, WRONG_REMAINDER = "wrong return value", "wrong remainder"
MISALIGNED = "misaligned vector access"
LEAVES, NO_RETURN, NOT_RUN = "leaves the routine", "does not return", "unsupported instruction"
SOURCE_WRITTEN, STRAY = "writes to the source", "stray access"

# A first call that takes more instructions than this for some bytes does not come back.
_INSTRUCTIONS = 2_000_000
_AROUND = 64
# memset gets an int, of which only the lowest byte counts.
VALUE = 0x5EED_5A3C_00C3_99A7
_EFAULT = (-14) & ADDRESS_MASK
_FAULTS_HANDLED = 1 << 13
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


@lru_cache(maxsize=1)
def patterns() -> tuple[bytes, bytes]:
    """Return what the two areas hold before a call; no byte of one occurs in the other."""
    source = random.Random(1).randbytes(AREA_SIZE).translate(bytes(1 + byte % 127 for byte in range(256)))
    destination = random.Random(2).randbytes(AREA_SIZE).translate(bytes(128 + byte % 128 for byte in range(256)))
    return destination, source


class CopyCheck:
    """One routine under one contract. Each call leaves the areas as they were before."""

    def __init__(self, emulator: Emulator, entry: int, contract: Contract, fixups: Mapping[int, int]) -> None:
        self.emulator, self.entry, self.contract = emulator, entry, contract
        self._fixups = fixups
        self._calls = 0
        self._result_register = contract.arguments["result"]
        # A register that takes an argument is the routine's own, whatever the convention says of it otherwise.
        self._kept = tuple(name for name in PRESERVED if name not in contract.arguments.values())
        self._looked_at = tuple({*self._kept, self._result_register, "rsp", "eflags"})
        # The first case in which nothing was copied before a fault, although the first bytes could have been.
        self.gave_up: Optional[Case] = None
        self._destination, self._source = patterns()
        emulator.write(DESTINATION, self._destination)
        emulator.write(SOURCE, self._source)

    def run(self, case: Case) -> list[Breach]:
        """Call the routine once; return what it did wrong."""
        self._calls += 1
        prepared = self.prepare(case)
        ending = self._call(case)
        ending = self._handled(ending) if case.fault_side else ending
        breaches = self._judge(case, ending)
        if breaches or prepared or case.fault_side:
            self._restore()
        return breaches

    def _call(self, case: Case) -> Exit:
        # Only while it counts the emulator knows for sure which instruction faults, and so which fixup is meant.
        limit = _INSTRUCTIONS if self._calls <= 3 or case.fault_side else 0
        ending = self.emulator.call(self.entry, self.arguments(case), limit)
        if ending.kind != ENDLESS or limit:
            return ending
        # It may be this machine that is slow: its instructions decide.
        self._restore()
        self.prepare(case)
        return self.emulator.call(self.entry, self.arguments(case), _INSTRUCTIONS)

    def call_once(self, case: Case) -> str:
        """Call the routine without judging it, for who looks on; return how that ended."""
        self.prepare(case)
        ending = self.emulator.call(self.entry, self.arguments(case))
        self._restore()
        return ending.kind

    def arguments(self, case: Case) -> Mapping[str, int]:
        """Return the registers of a call."""
        values = {"dst": case.destination, "src": case.source, "size": case.size, "value": VALUE}
        roles = self.contract.arguments
        return {register: values[role] for role, register in roles.items() if role in values}

    def expected(self, case: Case) -> bytes:
        """Return the bytes that belong into the destination."""
        if self.contract.is_fill:
            return bytes([VALUE & 0xFF]) * case.size
        area, start = (self._source, SOURCE) if case.source >= SOURCE else (self._destination, DESTINATION)
        return area[case.source - start : case.source - start + case.size]

    def prepare(self, case: Case) -> bool:
        """Put a string's NUL where the size says, more text being behind it; return whether memory is changed."""
        if self.contract.is_string and self._string_end(case) < SOURCE_END:
            self.emulator.write(self._string_end(case), b"\0")
        return self.contract.is_string

    # Every other destination gets a string whose NUL is just behind the area, that is, none within it.
    @staticmethod
    def _string_end(case: Case) -> int:
        return case.source + case.size - ((case.size + case.destination) % 2 if case.size else 0)

    # The processor's page fault: its handler finds where to go on in a table, and goes on there.
    def _handled(self, ending: Exit) -> Exit:
        for _ in range(_FAULTS_HANDLED):
            fixup = self._fixups.get(ending.pc)
            if ending.kind != FAULTED or fixup is None:
                break
            ending = self.emulator.go_on(fixup, _INSTRUCTIONS)
        return ending

    def _judge(self, case: Case, ending: Exit) -> list[Breach]:
        if ending.kind != RETURNED:
            return [self._ended(case, ending), *self._memory(case, ending)]
        registers = self.emulator.registers(self._looked_at)
        found = [*self._state(case, registers), *self._memory(case, ending)]
        if case.fault_side:
            return [*found, *self._remainder(case, registers[self._result_register])]
        return [*found, *self._result(case, registers[self._result_register])]

    def _ended(self, case: Case, ending: Exit) -> Breach:
        if ending.kind == UNSUPPORTED:
            return Breach(NOT_RUN, case, f"{ending.detail} at {ending.pc:#x}", pc=ending.pc)
        if ending.kind == ENDLESS:
            return Breach(NO_RETURN, case, f"no return within a bound ({ending.detail})", pc=ending.pc)
        if ending.kind == UNALIGNED:
            return Breach(MISALIGNED, case, ending.detail, 0, ending.fault_address or 0, ending.pc)
        if ending.kind == LEFT or ending.fault_address is None:
            where = f"to {ending.fault_address:#x}" if ending.fault_address is not None else ending.detail
            return Breach(LEAVES, case, f"control leaves the routine: {where}", pc=ending.pc)
        return self._faulted(case, ending, ending.fault_address)

    def _faulted(self, case: Case, ending: Exit, address: int) -> Breach:
        if case.fault_side and self._is_injected(case, address):
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

    @staticmethod
    def _is_injected(case: Case, address: int) -> bool:
        limit = DESTINATION_END if case.fault_side == "dst" else SOURCE_END
        return limit <= address < limit + 64

    def _state(self, case: Case, registers: Mapping[str, int]) -> Iterator[Breach]:
        for name in self._kept:
            if registers[name] != NOISE_OF[name]:
                yield Breach(REGISTER, case, f"{name} is changed")
        if registers["rsp"] != STACK_TOP + 8:
            yield Breach(STACK, case, "rsp is not where the call left it", registers["rsp"] - STACK_TOP - 8)
        if registers["eflags"] & DIRECTION_FLAG:
            yield Breach(FLAG, case, "the direction flag is left set")

    # What was to be written, and that nothing around it was; a string may leave anything behind its end.
    def _memory(self, case: Case, ending: Exit) -> Iterator[Breach]:
        area, base = self._destination, DESTINATION
        low = max(case.destination - _AROUND, base)
        high = min(case.destination + 2 * case.size + _AROUND, DESTINATION_END)
        seen = self.emulator.read(low, high - low)
        start, before = case.destination - base, area[low - base : case.destination - base]
        if case.fault_side or self.contract.is_string or ending.kind != RETURNED:
            return
        wanted = before + self.expected(case) + area[start + case.size : high - base]
        if seen == wanted:
            if case.size:
                self.emulator.write(case.destination, area[start : start + case.size])
            return
        yield from self._differences(case, seen, wanted, low)

    def _differences(self, case: Case, seen: bytes, wanted: bytes, low: int) -> Iterator[Breach]:
        begin, end = case.destination - low, case.destination - low + case.size
        changed = [n for n in range(len(seen)) if seen[n] != wanted[n]]
        behind = [n for n in changed if n >= end]
        before = [n for n in changed if n < begin]
        if behind:
            yield Breach(PAST, case, "", behind[-1] + 1 - end, low + behind[0])
        if before:
            yield Breach(BEFORE, case, "", begin - before[0], low + before[0])
        yield from self._inside(case, seen[begin:end], wanted[begin:end])

    # Within the destination: bytes as they were before are missing, others wrong.
    def _inside(self, case: Case, seen: bytes, wanted: bytes) -> Iterator[Breach]:
        start = case.destination - DESTINATION
        changed = [n for n in range(len(seen)) if seen[n] != wanted[n]]
        missing = [n for n in changed if seen[n] == self._destination[start + n]]
        wrong = [n for n in changed if seen[n] != self._destination[start + n]]
        for kind, places in ((MISSING, missing), (WRONG, wrong)):
            if places:
                text = position(places, case.size)
                yield Breach(kind, case, text, len(places), case.destination + places[0])

    def _result(self, case: Case, result: int) -> Iterator[Breach]:
        returns = self.contract.returns
        if returns == NOTHING or (returns == LENGTH and not case.size):
            return
        wanted = {TO_START: case.destination, END: case.destination + case.size, REMAINDER: 0}.get(returns)
        if returns == LENGTH:
            wanted = min(self._string_end(case) - case.source, case.size)
            yield from self._string(case, wanted)
        if result != wanted:
            yield Breach(
                RESULT, case, f"returned {value_text(result, case)} instead of {value_text(wanted or 0, case)}"
            )

    def _string(self, case: Case, length: int) -> Iterator[Breach]:
        expected = self._source[case.source - SOURCE : case.source - SOURCE + length]
        expected += b"\0" if length < case.size else b""
        seen = self.emulator.read(case.destination, len(expected))
        yield from self._inside(case, seen, expected)
        end = case.destination + case.size
        behind = self.emulator.read(end, _AROUND) if end + _AROUND <= DESTINATION_END else b""
        start = end - DESTINATION
        changed = [n for n in range(len(behind)) if behind[n] != self._destination[start + n]]
        if changed:
            yield Breach(PAST, case, "", changed[-1] + 1, end + changed[0])

    # Linux, include/linux/uaccess.h: what is not in the remainder must have been copied, what is behind be as it was.
    def _remainder(self, case: Case, result: int) -> Iterator[Breach]:
        if self.contract.is_string:
            if result != _EFAULT and self._string_end(case) >= case.source + case.fault_at:
                yield Breach(WRONG_REMAINDER, case, f"returned {value_text(result, case)} instead of -EFAULT")
            return
        if not 0 < result <= case.size:
            yield Breach(WRONG_REMAINDER, case, f"returned {value_text(result, case)} of {case.size} bytes left")
            return
        copied = case.size - result
        if copied > case.fault_at:
            yield Breach(WRONG_REMAINDER, case, "fewer bytes left than were not copied", copied - case.fault_at)
            return
        start = case.destination - DESTINATION
        length = min(case.size, DESTINATION_END - case.destination)
        seen = self.emulator.read(case.destination, length)
        wanted = self.expected(case)[:copied] + self._destination[start + copied : start + length]
        if seen != wanted:
            wrong = next(n for n in range(length) if seen[n] != wanted[n])
            text = "more bytes left than were not copied" if wrong >= copied else "bytes said to be copied are not"
            yield Breach(WRONG_REMAINDER, case, text, 0, case.destination + wrong)
        elif not copied and case.fault_at:
            # Linux asks for one byte at least; other kernels do not.
            self.gave_up = self.gave_up or case

    def _restore(self) -> None:
        self.emulator.write(DESTINATION, self._destination)
        self.emulator.write(SOURCE, self._source)

    def stray(self) -> Optional[str]:
        """Return which area was written to far from where it should, after calls that all seemed right."""
        destination = self.emulator.read(DESTINATION, AREA_SIZE)
        source = self.emulator.read(SOURCE, AREA_SIZE)
        self._restore()
        if source != self._source:
            return "source"
        return "destination" if destination != self._destination else None
