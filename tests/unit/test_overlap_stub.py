"""The code of an overlap probe, run in an emulator: what it counts and records, and that nobody notices it."""

from __future__ import annotations

import struct
from typing import Any, Iterator, Optional

import pytest
import unicorn
from unicorn import x86_const as x86

from gdb_kdbg.disassembly import decode
from gdb_kdbg.mappings import PAGE
from gdb_kdbg.overlap_stub import GO_ON, SAVED, Entry, Stub, TaskPlace, build_stub
from gdb_kdbg.probe_area import (
    CAPACITY,
    CODE_PAGES,
    FIRST_TOKEN,
    INDEX,
    KINDS,
    LINE,
    LINES,
    LISTENING,
    SIGNAL_MASK,
    SWITCH,
    TOKENS,
    Area,
    Counts,
    read_counts,
)  # fmt: skip
from gdb_kdbg.units import Address, Size

AREA = Area(0x5000_0000)
ROUTINE, RETURN, STACK = 0x40_0000, 0x40_0100, 0x7000_8000
SIGNAL, PROCESS, THREAD = 23, 4321, 4322
ARGUMENTS = ("RDI", "RSI", "RDX", "RCX", "R8", "R9")
KEPT = (*ARGUMENTS, "RBX", "RBP", "R12", "R13", "R14", "R15", "RSP")
NUMBERS = {14: "rt_sigprocmask", 39: "getpid", 186: "gettid", 234: "tgkill"}


class Machine:
    """A processor with the probe, and a routine behind it that returns at once."""

    def __init__(self, task: Optional[TaskPlace] = None) -> None:
        self.stub: Stub = build_stub(AREA, [Entry("way", lambda code: code.jump(ROUTINE))], SIGNAL, task)
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self.uc.mem_map(AREA.start, (AREA.size + PAGE - 1) // PAGE * PAGE)
        self.uc.mem_map(ROUTINE, PAGE)
        self.uc.mem_map(STACK - 0x8000, 0x10000)
        self.uc.mem_write(AREA.start, self.stub.code)
        self.uc.mem_write(ROUTINE, b"\xc3")
        self.calls: list[tuple[Any, ...]] = []
        self.at_stop: dict[str, int] = {}
        self.uc.hook_add(unicorn.UC_HOOK_INSN, self._system_call, None, 1, 0, x86.UC_X86_INS_SYSCALL)
        for place, word in ((SWITCH, 1), (LISTENING, 1), (SIGNAL_MASK, 1 << SIGNAL - 1)):
            self.set(AREA.control + place, word)

    def set(self, address: int, word: int) -> None:
        self.uc.mem_write(address, struct.pack("<Q", word))

    def read_memory(self, address: Address, size: Size) -> bytes:
        return bytes(self.uc.mem_read(address, size))

    def register(self, name: str) -> int:
        return int(self.uc.reg_read(getattr(x86, f"UC_X86_REG_{name}")))

    def set_register(self, name: str, value: int) -> None:
        self.uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), value & (1 << 64) - 1)

    # As Linux does it: the result in rax, rcx and r11 lost.
    def _system_call(self, *nothing: object) -> None:
        number, *arguments = (self.register(name) for name in ("RAX", "RDI", "RSI", "RDX"))
        self.calls.append((NUMBERS[number], *arguments))
        self.set_register("RAX", {39: PROCESS, 186: THREAD}.get(number, 0))
        self.set_register("RCX", 0xBAD)
        self.set_register("R11", 0xBAD)
        if number == 234:
            self.at_stop = {name: self.register(name) for name in ("RSP",)}
            self.at_stop.update({name: self.word(STACK - below) for name, below in SAVED.items()})

    def word(self, address: int) -> int:
        return struct.unpack("<Q", self.uc.mem_read(address, 8))[0]  # type: ignore[no-any-return]

    def call(self, destination: int, source: int, size: int, sp: int = STACK, back: int = RETURN) -> None:
        """Call through the probe; everything that the routine or the caller may rely on must be as it was."""
        values = {name: 0x5EED0000 + number for number, name in enumerate(KEPT)}
        values.update(RDI=destination, RSI=source, RDX=size, RSP=sp)
        for name, value in values.items():
            self.set_register(name, value)
        self.set(sp, back)
        self.uc.mem_write(sp + 8, b"callers frame...")
        self.uc.emu_start(self.stub.entries["way"], ROUTINE)
        assert {name: self.register(name) for name in KEPT} == {
            name: value & (1 << 64) - 1 for name, value in values.items()
        }
        assert bytes(self.uc.mem_read(sp + 8, 16)) == b"callers frame..." and self.word(sp) == back
        words = [self.word(sp - GO_ON), *(self.register(name) for name in ("RAX", "R10", "R11", *KEPT))]
        assert not any(AREA.is_code(word) for word in words)

    @property
    def counts(self) -> Counts:
        return read_counts(self, AREA)

    @property
    def signals(self) -> int:
        return sum(call[0] == "tgkill" for call in self.calls)


@pytest.fixture
def machine() -> Iterator[Machine]:
    yield Machine()


BASES = (0x1000, 0, 0xFFFF_FFFF_FFFF_F000, 0x7FFF_FFFF_F000)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 31, 64, 171, 1 << 40])
@pytest.mark.parametrize("base", BASES)
def test_an_overlap_is_less_than_the_size_away_and_not_nowhere(machine: Machine, base: int, size: int) -> None:
    distances = {
        0,
        *(sign * (size + more) for sign in (-1, 1) for more in range(-2, 3)),
        1,
        -1,
        size // 2,
        -(size // 2),
    }
    overlaps = same = 0
    for distance in distances:
        machine.call(base + distance, base, size)
        overlaps += 0 < abs(distance) < size
        same += distance == 0 < size
    counts = machine.counts
    assert (counts.calls, counts.overlaps, counts.same) == (len(distances), overlaps, same)
    assert {(kind.distance, kind.size) for kind in counts.kinds} == {(d, size) for d in distances if 0 < abs(d) < size}


def test_the_ring_has_the_format_of_the_specification(machine: Machine) -> None:
    machine.call(0x2000 + 31, 0x2000, 171)
    machine.call(0x2000 - 31, 0x2000, 170, back=RETURN + 1)
    assert machine.word(AREA.control + INDEX) == 2
    assert struct.unpack("<8Q", machine.uc.mem_read(AREA.ring, 64)) == (
        0x2000 + 31, 0x2000, 171, RETURN, 0x2000 - 31, 0x2000, 170, RETURN + 1)  # fmt: skip
    assert struct.unpack("<2I", machine.uc.mem_read(AREA.contexts, 8)) == (THREAD << 16, THREAD << 16)


@pytest.mark.parametrize("pid", [57, None])
def test_in_a_kernel_a_record_is_of_the_task(pid: Optional[int]) -> None:
    pointer, offset = ROUTINE + 0x800, 0x320
    machine = Machine(TaskPlace(pointer, offset))
    machine.set(pointer, 0 if pid is None else STACK - 0x4000)  # none before the kernel's first
    machine.set(STACK - 0x4000 + offset, 0x1234_0000_0000 | (pid or 0))
    machine.call(0x2000 + 31, 0x2000, 171)
    assert struct.unpack("<I", machine.uc.mem_read(AREA.contexts, 4)) == ((pid or 0) << 16,)
    assert (machine.counts.overlaps, machine.signals) == (1, 1)


def test_the_ring_goes_round(machine: Machine) -> None:
    for number in range(CAPACITY + 3):
        machine.call(0x2000 + 31, 0x2000, 171 + number // CAPACITY)
    assert machine.word(AREA.control + INDEX) == CAPACITY + 3
    assert [machine.word(AREA.ring + 32 * slot + 16) for slot in range(4)] == [172, 172, 172, 171]


def test_only_the_first_of_a_kind_tells(machine: Machine) -> None:
    for _ in range(3):
        machine.call(0x2000 + 31, 0x2000, 171)
    machine.call(0x9000 + 31, 0x9000, 171)  # the same kind, elsewhere
    assert machine.signals == 1
    machine.call(0x2000 + 31, 0x2000, 172)
    machine.call(0x2000 - 31, 0x2000, 172)
    machine.call(0x2000 - 31, 0x2000, 172, back=RETURN + 1)
    assert machine.signals == 4 and sorted(kind.times for kind in machine.counts.kinds) == [1, 1, 1, 4]


def test_telling_unblocks_the_signal_and_puts_the_mask_back(machine: Machine) -> None:
    machine.call(0x2000 + 31, 0x2000, 171)
    old = STACK - 72
    assert machine.calls[1:] == [
        ("rt_sigprocmask", 1, AREA.control + SIGNAL_MASK, old), ("getpid", 1, AREA.control + SIGNAL_MASK, old),
        ("gettid", PROCESS, AREA.control + SIGNAL_MASK, old), ("tgkill", PROCESS, THREAD, SIGNAL),
        ("rt_sigprocmask", 2, old, 0),
    ]  # fmt: skip
    assert machine.at_stop["RSP"] == STACK
    assert (machine.at_stop["rdi"], machine.at_stop["rsi"], machine.at_stop["rdx"]) == (0x2000 + 31, 0x2000, 171)


def test_nobody_is_told_when_nobody_listens(machine: Machine) -> None:
    machine.set(AREA.control + LISTENING, 0)
    machine.call(0x2000 + 31, 0x2000, 171)
    assert machine.signals == 0 and machine.counts.overlaps == 1


def test_a_probe_that_is_off_only_counts_calls(machine: Machine) -> None:
    machine.set(AREA.control + SWITCH, 0)
    machine.call(0x2000 + 31, 0x2000, 171)
    counts = machine.counts
    assert (counts.calls, counts.overlaps, counts.kinds, machine.calls) == (1, 0, (), [])


def test_a_thread_that_was_shown_at_the_entry_is_let_by_once(machine: Machine) -> None:
    for number in range(TOKENS):
        machine.set(AREA.control + FIRST_TOKEN + 8 * number, STACK - 0x100 * number)
    for number in range(TOKENS):
        machine.call(0x2000 + 31, 0x2000, 171, sp=STACK - 0x100 * number)
    assert (machine.counts.overlaps, machine.counts.calls, machine.signals) == (0, 0, 0)
    machine.call(0x2000 + 31, 0x2000, 171)
    assert (machine.counts.overlaps, machine.counts.calls) == (1, 1)


def test_kinds_beyond_the_table_are_counted(machine: Machine) -> None:
    for number in range(KINDS + 200):
        machine.call(0x2000 + 31, 0x2000, 171 + number)
    counts = machine.counts
    assert counts.unlisted > 0 and len(counts.kinds) + counts.unlisted == KINDS + 200 == counts.overlaps
    assert machine.signals == len(counts.kinds) > KINDS * 3 // 4


def test_stacks_count_in_pages_of_their_own(machine: Machine) -> None:
    for page in range(4):
        machine.call(0x2000, 0x4000, 8, sp=STACK - page * PAGE)
    words = [machine.word(AREA.lines + LINE * line) for line in range(LINES)]
    assert sorted(words)[-5:] == [0, 1, 1, 1, 1]


def test_what_most_calls_execute_is_short(machine: Machine) -> None:
    start = machine.stub.entries["way"]
    path = []
    for instruction in decode(machine.stub.code[start - AREA.start :], Address(start)):
        path.append(instruction)
        if instruction.mnemonic == "jmp":
            break
    assert len(path) <= 10 and not any("lock" in i.mnemonic or i.is_call for i in path)
    assert {name for i in path for name in i.writes} <= {"rax", "r10", "rip", "eflags", "rflags"}


def test_a_routine_out_of_reach_is_jumped_to_through_memory() -> None:
    far = 0x7FFF_0000_0000
    stub = build_stub(AREA, [Entry("way", lambda code: code.jump(far))], SIGNAL)
    assert struct.pack("<Q", far) in stub.code


def test_the_parts_of_an_area_do_not_overlap() -> None:
    ends = [AREA.start + CODE_PAGES * PAGE, AREA.control, AREA.ring, AREA.contexts, AREA.kinds, AREA.lines, AREA.end]
    starts = [AREA.header, AREA.control, AREA.ring, AREA.contexts, AREA.kinds, AREA.lines]
    assert ends == sorted(ends) and starts == sorted(starts) and AREA.header == ends[0]
