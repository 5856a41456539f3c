"""A small kernel with a trace ring and one process, for the tests of attribution and of the rules."""

from __future__ import annotations

from typing import Mapping, Optional

from fakes import FakeTarget

from gdb_kdbg.finding import Finding
from gdb_kdbg.ring import RingRecord, read_ring
from gdb_kdbg.scene import Note, Scene
from gdb_kdbg.session import Guards

FS_BASE = 0x7FFF_F7D8_A740
GUARD = FS_BASE + 0x28
GOOD = 0x5AD1_9C3E_77B2_4100
CR3, OTHER_CR3 = 0x0010_0000, 0x0020_0000
PID, OTHER_PID = 7, 8
KERNEL = 0xFFFF_FFFF_8000_0000
ROUTINE, CALLER, USER_TEXT = KERNEL + 0x10_0000, KERNEL + 0x10_1000, 0x40_1000
SOURCE = KERNEL + 0x20_0000
RING, INDEX, SWITCH, CONTEXT, PROCESS = (KERNEL + 0x30_0000 + offset for offset in (0, 0x2000, 0x2008, 0x2010, 0x2018))
CONTEXTS, TAGS, PROCESS_RECORD = KERNEL + 0x30_3000, KERNEL + 0x30_4000, KERNEL + 0x30_5000
KERNEL_STACK = KERNEL + 0x40_0F00
CAPACITY = 32
TAG = 1  # offset of the only tag's text
# A copy routine that falls through from its short path, and so copies twice.
DOUBLED = bytes.fromhex(
    "4889d1"  # +0  mov rcx, rdx
    "f3a4"  #   +3  rep movsb
    "4889d1"  # +5  mov rcx, rdx       copy_to_user_small
    "f3a4"  #   +8  rep movsb
    "31c0"  #   +10 xor eax, eax
    "c3"  #     +12 ret
)
RIGHT = bytes.fromhex("4889d1f3a431c0c3")  # mov rcx, rdx; rep movsb; xor eax, eax; ret
AGAIN = ROUTINE + 8  # the second rep movsb
CALL = bytes.fromhex("e8fbefffff")  # call from CALLER + 0 to ROUTINE
RETURN = CALLER + len(CALL)
# Eight bytes of a kernel variable and eight behind it, all different.
DATA = bytes(range(0x11, 0x21))


class Kernel(FakeTarget):
    """Stopped in user mode of a process whose guard is good, with an empty ring."""

    def __init__(self) -> None:
        super().__init__({"fs_base": FS_BASE, "rip": USER_TEXT, "rsp": KERNEL_STACK, "eflags": 2}, cr3=CR3)
        self.map(FS_BASE - 0x740, bytes(0x1000))
        self.map(SOURCE, DATA.ljust(0x100, b"\xaa"))
        self.map(ROUTINE, DOUBLED.ljust(0x100, b"\x90"))
        self.map(CALLER, CALL.ljust(0x100, b"\x90"))
        self.map(USER_TEXT, b"\x90" * 0x100)
        self.map(KERNEL_STACK - 0xF00, bytes(0x1000))
        self.place("copy_to_user", ROUTINE, 0x100, "copy.S", 40)
        self.place("tty_ioctl", CALLER, 0x100, "tty.c", 77)
        self.place("main", USER_TEXT, 0x100, "main.c", 12)
        self.define("copy_to_user", ROUTINE, len(DOUBLED))
        self.labels["copy_to_user_small"] = ROUTINE + 5
        self.set_guard(GOOD)
        self._lay_ring()
        self.total = 0

    def _lay_ring(self) -> None:
        self.map(RING, bytes(CAPACITY * 32))
        self.map(INDEX, bytes(64))
        self.map(CONTEXTS, bytes(4 * CAPACITY))
        self.map(TAGS, b"\0ioctl:TIOCGWINSZ\0".ljust(0x100, b"\0"))
        self.put(SWITCH, b"\1")
        self.define("ucopy_trace_buf", RING, CAPACITY * 32)
        for name, address in (
            ("ucopy_trace_idx", INDEX), ("ucopy_trace_on", SWITCH), ("ucopy_context", CONTEXT),
            ("ucopy_trace_context", CONTEXTS), ("ucopy_tags", TAGS),
        ):  # fmt: skip
            self.define(name, address)
        self.put(CONTEXT, (PID << 16).to_bytes(4, "little"))

    def set_guard(self, value: int) -> None:
        self.put_words(GUARD, value)

    def copy(
        self, destination: int, size: int, source: int = SOURCE, caller: int = RETURN, pid: int = PID, tag: int = TAG
    ) -> None:
        """Record a copy as asked for; no byte is copied."""
        slot = self.total % CAPACITY
        self.put_words(RING + 32 * slot, destination, source, size, caller)
        self.put(CONTEXTS + 4 * slot, (tag | pid << 16).to_bytes(4, "little"))
        self.total += 1
        self.put_words(INDEX, self.total)

    def others(self, count: int) -> None:
        """Record copies that have nothing to do with the guard."""
        for _ in range(count):
            self.copy(FS_BASE - 0x700, 8)

    def process(self, pid: int = PID, expected: int = GOOD, intact_at: int = 0, system_call: int = 16) -> None:
        """Lay the kit's record of the running process."""
        self.define("ucopy_process", PROCESS)
        self.put_words(PROCESS, PROCESS_RECORD)
        self.map(PROCESS_RECORD, bytes(64))
        self.put_words(PROCESS_RECORD, pid, system_call, expected, intact_at)
        self.put(PROCESS_RECORD + 32, b"tty\0")

    def stop_in_copy(self, written: int, left: int) -> None:
        """Stop in the second `rep movsb`, which has written up to `written` and has `left` bytes to go."""
        self.registers.update(rip=AGAIN, rdi=written, rcx=left, rdx=4)
        self.put_words(KERNEL_STACK, RETURN)
        self.stack.clear()
        self.frame(AGAIN, KERNEL_STACK)
        self.frame(RETURN, KERNEL_STACK + 8)

    def records(self) -> tuple[RingRecord, ...]:
        return read_ring(self).records


def damaged(first: bytes, at: int = 0, good: int = GOOD) -> int:
    """The good guard with some of its bytes replaced."""
    data = bytearray(good.to_bytes(8, "little"))
    data[at : at + len(first)] = first
    return int.from_bytes(data, "little")


def scene_of(
    target: FakeTarget,
    seen: Optional[int] = None,
    settings: Optional[Mapping[str, str]] = None,
    note: Optional[Note] = None,
) -> Scene:
    """The scene of a stop; `seen` is the guard kdbg saw in this process earlier."""
    guards = Guards()
    if seen is not None:
        guards.note((target.registers.get("cr3", 0), target.registers.get("fs_base", 0)), seen)
    return Scene(target, settings or {}, guards, note)


def only(findings: tuple[Finding, ...]) -> Finding:
    """The one finding there is."""
    (finding,) = findings
    return finding
