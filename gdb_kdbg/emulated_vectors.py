"""Instructions with vectors that the emulator lacks, carried out in its place when control comes to them.

The code stays as it is: a hook in front of each such instruction does its work and goes on behind it, and behind all
those that follow it directly. Of the registers 0 to 15 the emulator has the lower 128 bits; these are kept in step only
where a routine also has instructions that the emulator runs with them.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable, NamedTuple, Optional, Sequence

from .emulated_pages import PAGE, physical
from .emulated_registers import reader, writer
from .units import ADDRESS_MASK
from .unsupported import Line
from .vector_actions import compile_action
from .vector_encoding import Encoded
from .vector_forms import ZERO, Form, form_of
from .vector_machine import Area, Stopped, VectorMachine, Watcher
from .vector_operands import Action, registers_read

_SHARED = range(16)
_LOW = 16
# Whoever has more vectors in a row gets several hooks.
_LONGEST_RUN = 32
_ZERO_FLAG, _SIGN_FLAG, _CARRY_FLAG = 0x40, 0x80, 1
_RESULT_FLAGS = 0x8D5


class _Step(NamedTuple):
    pc: int
    end: int
    action: Action
    general: frozenset[str]
    vectors: frozenset[int]


class _Run(NamedTuple):
    """Instructions one behind the other: what reads the general registers they use, and what goes on behind them."""

    steps: tuple[tuple[int, Action], ...]
    general: tuple[tuple[str, Callable[[], int]], ...]
    vectors: tuple[int, ...]
    leave: Callable[[], object]
    leave_first: Callable[[], object]


class MappedArea:
    """Memory of the emulator that is at hand without asking it."""

    def __init__(self, unicorn: Any, uc: Any, start: int, size: int) -> None:
        self._content = bytearray(size)
        self._held = (ctypes.c_char * size).from_buffer(self._content)
        uc.mem_map_ptr(start, size, unicorn.UC_PROT_ALL, ctypes.addressof(self._held))
        self.area: Area = (start, start + size, memoryview(self._content))


class EmulatedVectors:
    """The vector unit of an emulator's processor.

    `number` gives the emulator's number of a register, `fault` is what a page fault of the emulator calls, `stop` ends
    a run at a pc.
    """

    def __init__(
        self,
        unicorn: Any,
        uc: Any,
        areas: Sequence[MappedArea],
        number: Callable[[str], int],
        fault: Callable[[Any, int, int, int, int, object], bool],
        stop: Callable[[int, Stopped], None],
    ) -> None:
        self._unicorn, self._uc = unicorn, uc
        self._areas, self._number, self._fault, self._stop = areas, number, fault, stop
        self._open: set[tuple[int, bool]] = set()
        self._machine = VectorMachine(self, [area.area for area in areas])
        self._steps: dict[int, _Step] = {}
        self._is_shared = False
        self._rip = number("rip")
        self._followed: Optional[list[int]] = None

    def reset(self) -> None:
        """Begin a call."""
        self._machine.reset()

    def watch(self, watcher: Optional[Watcher]) -> None:
        """Tell of each access to memory: pc, address, size and whether it is a write."""
        self._machine.watcher = watcher

    def follow(self, executed: Optional[list[int]]) -> None:
        """Carry out one instruction at a time, the emulator telling of each; what cannot be is put on the list."""
        self._followed = executed

    def take(self, line: Line) -> bool:
        """Take over the instructions of a line; return whether there were new ones."""
        if line.has_legacy and not self._is_shared:
            self._is_shared = True
            self._give(_SHARED)
        new = [(pc, code) for pc, code in line.vectors if pc not in self._steps]
        if not new:
            return False
        self._steps.update((pc, self._step(pc, code)) for pc, code in new)
        for pc, _ in new:
            self._hook(pc, self._run_from(pc))
        return True

    def _step(self, pc: int, code: bytes) -> _Step:
        found = form_of(code)
        assert found is not None
        encoded, form = found
        end = pc + encoded.size
        action = compile_action(self._machine, encoded, form, end)
        return _Step(pc, end, action, frozenset(registers_read(encoded, form)), _vectors(encoded, form))

    def _run_from(self, pc: int) -> _Run:
        steps: list[_Step] = []
        step = self._steps.get(pc)
        while step is not None and len(steps) < _LONGEST_RUN:
            steps.append(step)
            step = self._steps.get(step.end)
        general = sorted(set().union(*(step.general for step in steps)))
        vectors = sorted(set().union(*(step.vectors for step in steps)))
        readers = tuple((name, reader(self._uc, self._number(name))) for name in general)
        actions = tuple((step.pc, step.action) for step in steps)
        leave, leave_first = (writer(self._uc, self._rip, one.end) for one in (steps[-1], steps[0]))
        return _Run(actions, readers, tuple(vectors), leave, leave_first)

    def _hook(self, pc: int, run: _Run) -> None:
        for place in {pc, physical(pc)}:
            self._uc.hook_add(self._unicorn.UC_HOOK_CODE, self._on_vector, run, place, place)

    def _on_vector(self, uc: Any, place: int, size: int, run: _Run) -> None:
        machine = self._machine
        for name, read in run.general:
            machine.general[name] = read()
        if self._is_shared:
            self._take_back(run.vectors)
        is_single = self._followed is not None
        leave = run.leave_first if is_single else run.leave
        try:
            for machine.pc, action in run.steps[:1] if is_single else run.steps:
                action()
        except Stopped as stopped:
            if self._followed is not None:
                self._followed.append(machine.pc)
            leave = writer(self._uc, self._rip, machine.pc)
            self._stop(machine.pc, stopped)
        if self._is_shared:
            self._give(run.vectors)
        leave()

    def _take_back(self, numbers: Sequence[int]) -> None:
        registers = self._machine.registers
        for number in numbers:
            low = self._uc.reg_read(self._number(f"xmm{number}"))
            registers[number] = low.to_bytes(_LOW, "little") + registers[number][_LOW:]

    def _give(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            low = self._machine.vector(number, _LOW)
            self._uc.reg_write(self._number(f"xmm{number}"), int.from_bytes(low, "little"))

    def set_general(self, name: str, value: int) -> None:
        """Set a general register, all 64 bits."""
        self._machine.general[name] = value
        self._uc.reg_write(self._number(name), value)

    def set_flags(self, is_zero: bool, is_carry: bool, is_sign: bool = False) -> None:
        """Set ZF, CF and SF, and clear the other flags of results."""
        flags = self._uc.reg_read(self._number("eflags")) & ~_RESULT_FLAGS
        flags |= (_ZERO_FLAG if is_zero else 0) | (_CARRY_FLAG if is_carry else 0) | (_SIGN_FLAG if is_sign else 0)
        self._uc.reg_write(self._number("eflags"), flags)

    def reach(self, address: int, size: int, is_write: bool) -> Optional[int]:
        """Bring in memory that is the target's; return the first address that is missing."""
        for place in (address, *range((address // PAGE + 1) * PAGE, address + size, PAGE)):
            page = place // PAGE, is_write
            if page not in self._open:
                kind = self._missing(place, is_write)
                if kind is not None and not self._fault(self._uc, kind, physical(place), 1, 0, None):
                    return int(place) & ADDRESS_MASK
                self._open.add(page)
        return None

    # As what the access would fault; None if it would not.
    def _missing(self, address: int, is_write: bool) -> Optional[int]:
        hooks, place = self._unicorn, physical(address)
        for begin, end, allowed in self._uc.mem_regions():
            if begin <= place <= end:
                is_open = not is_write or allowed & hooks.UC_PROT_WRITE
                return None if is_open else int(hooks.UC_MEM_WRITE_PROT)
        return int(hooks.UC_MEM_WRITE_UNMAPPED if is_write else hooks.UC_MEM_READ_UNMAPPED)

    def read(self, address: int, size: int) -> bytes:
        """Read memory that is there."""
        return bytes(self._uc.mem_read(physical(address), size))

    def write(self, address: int, data: bytes) -> None:
        """Write memory that is there."""
        self._uc.mem_write(physical(address), data)


# Of the registers that the emulator has too: those an instruction might read or change.
def _vectors(encoded: Encoded, form: Form) -> frozenset[int]:
    if form.action == ZERO:
        return frozenset(_SHARED)
    numbers = {encoded.reg, encoded.prefix.second}
    if encoded.memory is None:
        numbers.add(encoded.register)
    return frozenset(number for number in numbers if number in _SHARED)
