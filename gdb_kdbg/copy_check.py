"""Exercises a copy routine in the emulator and compares what it did with what its contract promises."""

from __future__ import annotations

from typing import Iterator, Mapping, Optional

from .copy_breaches import (
    BEFORE,
    FLAG,
    MISSING,
    PAST,
    REGISTER,
    RESULT,
    STACK,
    USER_ACCESS,
    WRONG,
    WRONG_REMAINDER,
    Breach,
    of_ending,
)
from .copy_cases import DESTINATION_END, SOURCE_END, Case, patterns
from .copy_contracts import ABSENT, END, LENGTH, NOTHING, REMAINDER, Contract
from .copy_contracts import DESTINATION as TO_START
from .copy_words import both, differing, position, value_text
from .emulation import (
    ALIGNMENT_FLAG,
    AREA_SIZE,
    DESTINATION,
    DIRECTION_FLAG,
    ENDLESS,
    FAULTED,
    NOISE_OF,
    PRESERVED,
    RETURNED,
    SOURCE,
    STACK_TOP,
    UNSUPPORTED,
    Emulator,
    Exit,
)  # fmt: skip
from .exception_handlers import handle
from .exception_table import Entry
from .units import ADDRESS_MASK

# A call that takes more instructions than this does not come back: so many, and so many for each byte.
_INSTRUCTIONS, _FOR_A_BYTE = 500_000, 64
_AROUND = 64
# memset gets an int, of which only the lowest byte counts.
VALUE = 0x5EED_5A3C_00C3_99A7
_EFAULT = (-14) & ADDRESS_MASK
_FAULTS_HANDLED = 1 << 13


class CopyCheck:
    """One routine under one contract. Each call leaves the areas as they were before."""

    def __init__(self, emulator: Emulator, entry: int, contract: Contract, fixups: Mapping[int, Entry]) -> None:
        self.emulator, self.entry, self.contract = emulator, entry, contract
        self._fixups = fixups
        self._calls = 0
        self._result_register = contract.arguments["result"]
        # A register that takes an argument is the routine's own, whatever the convention says of it otherwise.
        self._kept = tuple(name for name in PRESERVED if name not in contract.arguments.values())
        self._looked_at = tuple({*self._kept, self._result_register, "rsp", "eflags"} - {ABSENT})
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
        ending = self._handled(case, ending) if case.fault_side else ending
        breaches = self._judge(case, ending)
        if breaches:
            self._restore()
        elif prepared or case.fault_side:
            self._put_back(case)
        return breaches

    def _call(self, case: Case) -> Exit:
        # Only while it counts the emulator knows for sure which instruction faults, and so which fixup is meant.
        limit = _bound(case) if self._calls <= 3 or case.fault_side else 0
        ending = self.emulator.call(self.entry, self.arguments(case), limit)
        if ending.kind != ENDLESS or limit:
            return ending
        # It may be this machine that is slow: its instructions decide.
        self._restore()
        self.prepare(case)
        return self.emulator.call(self.entry, self.arguments(case), _bound(case))

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
        return {register: values[role] for role, register in roles.items() if role in values and register != ABSENT}

    def expected(self, case: Case) -> bytes:
        """Return the bytes that belong into the destination."""
        if self.contract.is_fill:
            return bytes([0 if self.contract.clears else VALUE & 0xFF]) * case.size
        area, start = (self._source, SOURCE) if case.source >= SOURCE else (self._destination, DESTINATION)
        return area[case.source - start : case.source - start + case.size]

    def prepare(self, case: Case) -> bool:
        """Put a string's NUL where the size says, more text being behind it; return whether memory is changed."""
        if self.contract.is_string and (end := self._string_end(case)) < SOURCE_END:
            self.emulator.write(end, b"\0")
        return self.contract.is_string

    # Every other destination gets a string whose NUL is just behind the area, that is, none within it.
    @staticmethod
    def _string_end(case: Case) -> int:
        return case.source + case.size - ((case.size + case.destination) % 2 if case.size else 0)

    # The processor's page fault: its handler finds where to go on in a table, and goes on there.
    def _handled(self, case: Case, ending: Exit) -> Exit:
        for _ in range(_FAULTS_HANDLED):
            entry = self._fixups.get(ending.pc)
            if ending.kind != FAULTED or entry is None:
                break
            if not handle(self.emulator, entry):
                return Exit(UNSUPPORTED, ending.pc, detail=f"an exception handler of type {entry.kind} is needed")
            ending = self.emulator.go_on(entry.fixup, _bound(case))
        return ending

    def _judge(self, case: Case, ending: Exit) -> list[Breach]:
        if ending.kind != RETURNED:
            return [of_ending(case, ending), *self._memory(case, ending)]
        registers = self.emulator.registers(self._looked_at)
        found = [*self._state(case, registers), *self._memory(case, ending)]
        if case.fault_side:
            return [*found, *self._remainder(case, registers[self._result_register])]
        return [*found, *self._result(case, registers.get(self._result_register, 0))]

    def _state(self, case: Case, registers: Mapping[str, int]) -> Iterator[Breach]:
        for name in self._kept:
            if registers[name] != NOISE_OF[name]:
                yield Breach(REGISTER, case, f"{name} is changed")
        if registers["rsp"] != STACK_TOP + 8:
            yield Breach(STACK, case, "rsp is not where the call left it", registers["rsp"] - STACK_TOP - 8)
        if registers["eflags"] & DIRECTION_FLAG:
            yield Breach(FLAG, case, "the direction flag is left set")
        if registers["eflags"] & ALIGNMENT_FLAG:
            yield Breach(USER_ACCESS, case, "the flag AC is left set, as by stac without clac")

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
        changed = differing(seen, wanted)
        before, behind = changed[:begin], changed[end:]
        if 1 in behind:
            yield Breach(PAST, case, "", behind.rindex(1) + 1, low + end + behind.index(1))
        if 1 in before:
            yield Breach(BEFORE, case, "", begin - before.index(1), low + before.index(1))
        yield from self._inside(case, seen[begin:end], wanted[begin:end])

    # Within the destination: bytes as they were before are missing, others wrong.
    def _inside(self, case: Case, seen: bytes, wanted: bytes) -> Iterator[Breach]:
        start = case.destination - DESTINATION
        changed = differing(seen, wanted)
        wrong = both(changed, differing(seen, self._destination[start : start + len(seen)]))
        for kind, marks in ((MISSING, differing(changed, wrong)), (WRONG, wrong)):
            if 1 in marks:
                text = position(marks.ljust(case.size, b"\0"))
                yield Breach(kind, case, text, marks.count(1), case.destination + marks.index(1))

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
        changed = differing(behind, self._destination[start : start + len(behind)])
        if 1 in changed:
            yield Breach(PAST, case, "", changed.rindex(1) + 1, end + changed.index(1))

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
        behind = self._destination[start + copied : start + length]
        # What could not be read a caller of copy_from_user finds zeroed.
        is_zeroed = case.fault_side == "src" and not any(seen[copied:])
        wanted = self.expected(case)[:copied] + (bytes(len(behind)) if is_zeroed else behind)
        if seen != wanted:
            wrong = differing(seen, wanted).index(1)
            text = "more bytes left than were not copied" if wrong >= copied else "bytes said to be copied are not"
            yield Breach(WRONG_REMAINDER, case, text, 0, case.destination + wrong)
        elif not copied and case.fault_at:
            # Linux asks for one byte at least; other kernels do not.
            self.gave_up = self.gave_up or case

    # What a call that seemed right may have changed; if it was more, the next comparison of all tells.
    def _put_back(self, case: Case) -> None:
        low = max(case.destination - _AROUND, DESTINATION) - DESTINATION
        high = case.destination + case.size + _AROUND - DESTINATION
        self.emulator.write(DESTINATION + low, self._destination[low:high])
        end = self._string_end(case)
        if self.contract.is_string and end < SOURCE_END:
            self.emulator.write(end, self._source[end - SOURCE : end - SOURCE + 1])

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


def _bound(case: Case) -> int:
    return _INSTRUCTIONS + _FOR_A_BYTE * case.size
